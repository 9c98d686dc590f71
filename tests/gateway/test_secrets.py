"""Secrets behind references, keys of users, certificates: one line for each mistake, and never a secret in it."""
# ruff: noqa: E501  # a table: each line as the user sees it

import datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from inferfleet.errors import FleetError, SpecError
from inferfleet.gateway import read_secrets, resolve
from inferfleet.gateway.authority import own_certificate
from inferfleet.gateway.certificates import checked, names_in
from inferfleet.plan import GatewayPlan
from inferfleet.spec import parse_keys
from tests.gateway.running import plan

NOW = datetime.datetime(2026, 6, 1, tzinfo=datetime.UTC)
DAY = datetime.timedelta(days=1)
HASH = "ab" * 32
SECRET = "sk-very-secret"


def line(error: pytest.ExceptionInfo[FleetError]) -> str:
    text = str(error.value)
    assert "\n" not in text and SECRET not in text
    return text


def test_references(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_KEY", SECRET)
    (tmp_path / "key").write_text(f"{SECRET}\n")
    assert resolve("env:A_KEY", "x") == SECRET
    assert resolve("file:key", "x", tmp_path) == SECRET
    assert resolve(f"file:{tmp_path}/key", "x") == SECRET


@pytest.mark.parametrize(
    ("reference", "said"),
    [
        ("env:NO_KEY", "w: env:NO_KEY is not set; export NO_KEY, or name a file, as in file:secrets/x"),
        ("env:BLANK", "w: env:BLANK is empty; put the secret there"),
        ("file:none", "w: file:none is not there; make it: {base}/none"),
        ("file:blank", "w: file:blank is empty; put the secret there"),
        ("file:.", "w: file:. cannot be read (Is a directory); see its rights"),
        ("file:binary", "w: file:binary is no text; write it anew"),
    ],
)
def test_references_that_lead_nowhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reference: str, said: str
) -> None:
    monkeypatch.setenv("BLANK", " ")
    monkeypatch.delenv("NO_KEY", raising=False)
    (tmp_path / "blank").write_text("\n")
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(FleetError) as error:
        resolve(reference, "w", tmp_path)
    assert line(error) == said.format(base=tmp_path)


KEYS = [
    ("no TOML", "key = [", "k: is no TOML (Invalid value (at end of document)); write [[key]] with id and sha256"),
    ("another table", "[[keys]]\nid='a'", "k: holds something else than keys; write each as [[key]] with id and sha256"),
    ("a table", "[key]\nid='a'", "k: holds something else than keys; write each as [[key]] with id and sha256"),
    ("no hash", "[[key]]\nid='a'", "k: key[0].sha256: is missing; add it: SHA-256 of the key, as `printf %s KEY | sha256sum` prints it"),
    ("the key itself", f"[[key]]\nid='a'\nsha256='{SECRET}'", "k: key[0].sha256: is not a SHA-256; write 64 lower-case hexadecimal digits, never the key itself"),
    ("id", f"[[key]]\nid='A b'\nsha256='{HASH}'", "k: key[0].id: is not a key's id (got 'A b'); write up to 48 lower-case letters, digits, dots and dashes"),
    ("no models", f"[[key]]\nid='a'\nsha256='{HASH}'\nmodels=[]", 'k: key[0].models: names no model; write ["*"] for all, or remove the key'),
    ("unknown model", f"[[key]]\nid='a'\nsha256='{HASH}'\nmodels=['llama']", "k: a: names 'llama', which is not offered; did you mean 'llama2'?"),
    ("unknown setting", f"[[key]]\nid='a'\nsha256='{HASH}'\nrps=1", "k: key[0]: unknown key 'rps'; did you mean 'rpm'?"),
    ("id twice", f"[[key]]\nid='a'\nsha256='{HASH}'\n[[key]]\nid='a'\nsha256='{'cd' * 32}'", "k: id 'a' is there twice; give each key an id of its own"),
    ("key twice", f"[[key]]\nid='a'\nsha256='{HASH}'\n[[key]]\nid='b'\nsha256='{HASH}'", "k: a and b are the same key; give each user another"),
    ("nothing a minute", f"[[key]]\nid='a'\nsha256='{HASH}'\nrpm=0", "k: key[0].rpm: is too small (got 0); write at least 1: requests in a minute"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "said"), [case[1:] for case in KEYS], ids=[case[0] for case in KEYS])
def test_bad_keys(text: str, said: str) -> None:
    with pytest.raises(SpecError) as error:
        parse_keys(text, "k", ("llama2", "tiny"))
    assert line(error) == said
    assert HASH not in line(error)


def test_good_keys() -> None:
    (one,) = parse_keys(f"[[key]]\nid='a'\nsha256='{HASH}'", "k", ("m",))
    assert (one.models, one.rpm, one.concurrency) == (("*",), 600, 64)
    assert parse_keys("", "k", ()) == ()


def authority(directory: Path, now: datetime.datetime = NOW) -> tuple[str, str]:
    own_certificate(directory, ("gw1", "10.0.0.1"), now)
    return (directory / "gateway.pem").read_text(), (directory / "gateway.key").read_text()


def test_certificates_are_checked(tmp_path: Path) -> None:
    pem, key = authority(tmp_path / "one")
    _, other = authority(tmp_path / "two")
    assert checked(pem, key, "w", NOW) == pem + key
    private = serialization.load_pem_private_key(key.encode(), None)
    locked = private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.BestAvailableEncryption(b"x")
    ).decode()
    cases = [
        (pem, other, NOW, "w: the key is not that of the certificate; name the two that belong together"),
        (pem, key, NOW + 400 * DAY, "w: the certificate CN=gw1 has expired (on 2027-06-01); renew it"),
        (pem, key, NOW - DAY, "w: the certificate CN=gw1 is not valid before 2026-05-31; see this machine's clock"),
        (key, key, NOW, "w: holds no certificate; write a PEM file that begins with the gateway's"),
        ("junk", key, NOW, "w: holds no certificate; write a PEM file that begins with the gateway's"),
        (pem, pem, NOW, "w: the key is no private key; write it in PEM"),
        (pem, locked, NOW, "w: the key has a password; write it without one: `openssl pkey -in KEY -out NEW`"),
    ]
    for certificate, private_key, now, said in cases:
        with pytest.raises(FleetError) as error:
            checked(certificate, private_key, "w", now)
        assert line(error) == said


def test_the_own_authority_is_made_once(tmp_path: Path) -> None:
    """A second run changes nothing; another name, or a month before the end, makes a new certificate alone."""
    first = own_certificate(tmp_path, ("gw1",), NOW)
    ca = (tmp_path / "ca.pem").read_bytes()
    assert own_certificate(tmp_path, ("gw1",), NOW + 300 * DAY) == first
    renamed = own_certificate(tmp_path, ("gw1", "llm.example.net", "10.0.0.1"), NOW)
    assert renamed != first
    names = names_in(x509.load_pem_x509_certificate(renamed.encode()))
    assert names == ("gw1", "llm.example.net", "10.0.0.1")
    later = own_certificate(tmp_path, ("gw1", "llm.example.net", "10.0.0.1"), NOW + 340 * DAY)
    assert later != renamed
    assert (tmp_path / "ca.pem").read_bytes() == ca
    assert {path.name: oct(path.stat().st_mode & 0o777) for path in tmp_path.iterdir()} == {
        "ca.pem": "0o644", "ca.key": "0o600", "gateway.pem": "0o644", "gateway.key": "0o600",
    }  # fmt: skip


def test_half_an_authority_is_refused(tmp_path: Path) -> None:
    own_certificate(tmp_path, ("gw1",), NOW)
    (tmp_path / "ca.key").unlink()
    with pytest.raises(FleetError, match=r"ca\.key: is not there; bring it back, or remove the other"):
        own_certificate(tmp_path, ("gw1",), NOW)


def _plan(**settings: object) -> GatewayPlan:
    providers = {"openai": {"url": "https://api.openai.com", "key": "env:A_KEY", "models": {"o3": "o3"}}}
    return plan({}, tls=True, keys="file:keys.toml", providers=providers, **settings)


def test_all_of_a_gateways_secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_KEY", f"{SECRET}\n")
    (tmp_path / "keys.toml").write_text(f"[[key]]\nid='a'\nsha256='{HASH}'\nmodels=['o3']")
    found = read_secrets(_plan(), tmp_path, NOW)
    assert found.providers == {"openai": SECRET}
    assert found.certificate is not None and "PRIVATE KEY" in found.certificate
    assert (tmp_path / "secrets" / "ca.pem").exists()
    assert SECRET not in repr(found) and "PRIVATE" not in repr(found)
    assert read_secrets(_plan(), tmp_path, NOW) == found
    pem, key = authority(tmp_path / "given")
    (tmp_path / "gw.pem").write_text(pem)
    (tmp_path / "gw.key").write_text(key)
    given = _plan(certificate={"certificate": "file:gw.pem", "key": "file:gw.key"})
    assert read_secrets(given, tmp_path, NOW).certificate == pem + key
    with pytest.raises(FleetError, match=r"gateway\.certificate: the certificate CN=gw1 has expired"):
        read_secrets(given, tmp_path, NOW + 400 * DAY)


def test_a_providers_key_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_KEY", f"{SECRET}\nX-Injected: 1")
    (tmp_path / "keys.toml").write_text("")
    (tmp_path / "keys.toml").write_text(f"[[key]]\nid='a'\nsha256='{HASH}'")
    with pytest.raises(FleetError) as error:
        read_secrets(_plan(), tmp_path, NOW)
    said = "gateway.providers.openai.key: what env:A_KEY holds is no key; write the key alone, on one line"
    assert line(error) == said
