"""TLS in front: with the project's own authority; without it there is only a way to it, and never a key in clear."""

import socket
import ssl
from pathlib import Path

import pytest
import requests

from tests.gateway.conftest import Start
from tests.gateway.engine_double import Doubles
from tests.gateway.running import Running, key, plan
from tests.gateway.tls import Authority


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    found = Authority(tmp_path_factory.mktemp("authority"))
    found.server("gw1", "127.0.0.1")
    return found


@pytest.fixture(scope="module")
def gateway(start: Start, doubles: Doubles, authority: Authority) -> Running:
    pem = "".join((authority.directory / name).read_text() for name in ("gateway.pem", "gateway.key"))
    return start(plan({"m": ([doubles.engine("one")], 2)}, tls=True), keys=(key("alice"),), certificate=pem)


def ask(gateway: Running, url: str, authority: Authority, **options: object) -> requests.Response:
    headers = {"Authorization": "Bearer k-alice"}
    ca = str(authority.directory / "ca.pem")
    return requests.get(url + "/v1/models", headers=headers, verify=ca, timeout=10, **options)  # type: ignore[arg-type]


def test_clients_need_the_authority_alone(gateway: Running, authority: Authority) -> None:
    assert ask(gateway, gateway.url, authority).status_code == 200
    with pytest.raises(requests.exceptions.SSLError):
        requests.get(gateway.url + "/v1/models", timeout=10)


def test_old_tls_is_refused(gateway: Running, authority: Authority) -> None:
    context = ssl.create_default_context(cafile=str(authority.directory / "ca.pem"))
    with pytest.warns(DeprecationWarning):
        context.minimum_version, context.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
    with (
        pytest.raises((ssl.SSLError, OSError)),
        socket.create_connection(("127.0.0.1", gateway.plan.settings.port)) as plain,
        context.wrap_socket(plain, server_hostname="127.0.0.1"),
    ):
        pass


def test_http_leads_to_https(gateway: Running) -> None:
    url = f"http://127.0.0.1:{gateway.plan.settings.http_port}/v1/models?x=1"
    answer = requests.get(url, timeout=10, allow_redirects=False)
    assert answer.status_code == 308
    assert answer.headers["location"].startswith("https://127.0.0.1")
    assert answer.headers["location"].endswith("/v1/models?x=1")


@pytest.mark.parametrize("header", [{"Authorization": "Bearer k-alice"}, {"X-Api-Key": "k-alice"}])
def test_a_key_in_clear_is_answered_with_that(gateway: Running, header: dict[str, str]) -> None:
    """A redirect would let clients send it in clear for ever, unnoticed."""
    url = f"http://127.0.0.1:{gateway.plan.settings.http_port}/v1/models"
    answer = requests.get(url, headers=header, timeout=10, allow_redirects=False)
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "key_sent_in_clear")


def test_sockets_and_secrets_are_the_gateways_alone(gateway: Running) -> None:
    run = Path(gateway.places.run)
    assert run.stat().st_mode & 0o777 == 0o700
    modes = {one.name: oct(one.stat().st_mode & 0o777) for one in run.iterdir()}
    assert modes.pop("stats.sock") == "0o660"  # of a group that the prober is in, and nothing can be changed there
    assert set(modes.values()) == {"0o600"}
    assert "st_keys" in gateway.ask("show table")
