"""Unit and drop-in of an instance, byte for byte, and as systemd itself reads them.

The expected texts are in `golden/`. To renew them after a wanted change: `INFERFLEET_GOLDEN=write pytest tests/render`,
then read the difference.
"""

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from inferfleet.engines.ollama_host import DROP_IN, MARK, OllamaHost, Service
from inferfleet.errors import FleetError
from inferfleet.plan import make_plan
from inferfleet.render import render, systemd_quote
from inferfleet.services import ollama_host
from inferfleet.spec import parse_fleet
from tests.render.systemd_syntax import environment_of, settings_of
from tests.spec.inventories import OLLAMA, UUID, Hosts, fleet, instances

GOLDEN = Path(__file__).parent / "golden"
ODD = {
    "QUOTES": "she said \"no\" and 'yes'",
    "PERCENT": "100 %h %% %",
    "DOLLAR": "$HOME ${PATH} $$",
    "BACKSLASH": "C:\\new\\temp \\x41 \\",
    "SPACES": "  two  spaces  ",
    "HASH": "# no comment; no end",
    "EMPTY": "",
    "UNICODE": "Grüße, 世界",
}


def _with(cards: list[Any], **settings: Any) -> Hosts:
    return fleet(gpus=cards, engines={"ollama": {**OLLAMA, "parallel": 4, **settings}})


HOSTS: dict[str, Hosts] = {
    "cuda-by-uuid": _with([{"model": "A30", "uuid": UUID.format(n)} for n in (1, 2)]),
    "cuda-by-index": _with(["A30"]),
    "vulkan": _with([{"model": "Arc", "backend": "vulkan", "vram_gib": 48}]),
    "node": _with(["A30", "A30"], per="node", host="0.0.0.0", models_dir="/srv/ollama/models"),
    "cpu": instances({}, {"port": 11500, "name": "small"}),
    "odd-environment": _with([{"model": "Arc", "backend": "vulkan", "vram_gib": 48}], environment=ODD),
}


def _host(hosts: Hosts) -> OllamaHost:
    (node,) = make_plan(parse_fleet(hosts)).nodes
    return ollama_host(node)


@pytest.mark.parametrize("case", HOSTS)
def test_golden(case: str) -> None:
    host = _host(HOSTS[case])
    texts = {f"{s.name}.service": s.unit for s in host.services}
    texts |= {f"{s.name}.service.d/{DROP_IN}": s.drop_in for s in host.services}
    if os.environ.get("INFERFLEET_GOLDEN") == "write":
        shutil.rmtree(GOLDEN / case, ignore_errors=True)
        for name, text in texts.items():
            (GOLDEN / case / name).parent.mkdir(parents=True, exist_ok=True)
            (GOLDEN / case / name).write_text(text, encoding="utf-8")
    files = [path for path in (GOLDEN / case).rglob("*") if path.is_file()]
    assert {str(path.relative_to(GOLDEN / case)): path.read_text(encoding="utf-8") for path in files} == texts


@pytest.mark.parametrize("case", HOSTS)
def test_the_environment_arrives(case: str) -> None:
    """What systemd makes of the drop-in is what the running process is compared with."""
    for service in _host(HOSTS[case]).services:
        assert environment_of(service.drop_in) == service.environment


@pytest.mark.parametrize("value", ODD.values(), ids=ODD)
def test_quoting(value: str) -> None:
    assert environment_of(f"[Service]\nEnvironment={systemd_quote(f'X={value}')}\n") == {"X": value}


@pytest.mark.parametrize("case", HOSTS)
def test_ownership_and_program(case: str) -> None:
    for service in _host(HOSTS[case]).services:
        assert service.unit.startswith(MARK) and service.drop_in.startswith(MARK)
        found = settings_of(service.drop_in)["Service"]
        assert found["ExecStart"] == ["", "/opt/inferfleet/ollama/current/bin/ollama serve"]
        assert found["User"] == found["Group"] == ["ollama"]
        assert found["ReadWritePaths"] == [f"/usr/share/ollama {service.environment['OLLAMA_MODELS']}"]


@pytest.mark.parametrize(("case", "waits"), [("cuda-by-uuid", True), ("node", True), ("vulkan", False), ("cpu", False)])
def test_only_cuda_waits_for_the_driver(case: str, waits: bool) -> None:
    for service in _host(HOSTS[case]).services:
        assert ("ExecStartPre" in settings_of(service.drop_in)["Service"]) is waits


@pytest.mark.parametrize(("case", "made"), [("cuda-by-uuid", True), ("vulkan", False), ("cpu", False)])
def test_root_makes_the_device_nodes(case: str, made: bool) -> None:
    """The .run installer leaves no udev rule, and NoNewPrivileges disarms nvidia-modprobe, which is setuid."""
    for service in _host(HOSTS[case]).services:
        before = settings_of(service.drop_in)["Service"].get("ExecStartPre", [])
        assert [line.startswith("-+/bin/sh -c 'nvidia-modprobe -u") for line in before] == ([False, True, False] * made)


@pytest.mark.parametrize("case", HOSTS)
def test_the_models_disk_is_mounted_first(case: str) -> None:
    for service in _host(HOSTS[case]).services:
        found = settings_of(service.drop_in)["Unit"]["RequiresMountsFor"]
        assert found == [service.environment["OLLAMA_MODELS"]]


def _digest(**settings: Any) -> str:
    return _host(_with(["A30"], **settings)).services[0].environment["INFERFLEET_SPEC"]


@pytest.mark.parametrize(
    "settings",
    [{"version": "0.32.14"}, {"context": 2048}, {"environment": {"A": "b"}}, {"models_dir": "/srv/ollama/models"}],
    ids=str,
)
def test_what_a_process_is_started_with_is_marked(settings: dict[str, Any]) -> None:
    assert _digest(**settings) != _digest()
    assert _digest(**settings) == _digest(**settings)


def test_a_change_of_the_template_is_marked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hardening is in no variable of its own, yet a process that was started without it is not as declared."""
    before = _digest()
    own = tmp_path / "templates/systemd/_hardening.conf.j2"
    own.parent.mkdir(parents=True)
    own.write_text("NoNewPrivileges=no\n")
    monkeypatch.chdir(tmp_path)
    assert "NoNewPrivileges=no" in render("systemd/_hardening.conf.j2")
    assert _digest() != before


def test_another_comment_in_a_template_restarts_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before, shipped = _digest(), render("systemd/_hardening.conf.j2", home="{{ home }}", models_dir="{{ models_dir }}")
    own = tmp_path / "templates/systemd/_hardening.conf.j2"
    own.parent.mkdir(parents=True)
    own.write_text(f"# Another comment.\n\n{shipped}")
    monkeypatch.chdir(tmp_path)
    assert "Another comment" in _host(_with(["A30"])).services[0].drop_in
    assert _digest() == before


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{% if %}", r"^templates/systemd/_hardening\.conf\.j2:1: Expected an expression.*; mend your copy"),
        ("{{ no_such }}", r"_hardening\.conf\.j2: 'no_such' is undefined; mend your copy"),
    ],
)
def test_a_copy_with_a_mistake_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, says: str
) -> None:
    own = tmp_path / "templates/systemd/_hardening.conf.j2"
    own.parent.mkdir(parents=True)
    own.write_text(text)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FleetError, match=says) as raised:
        render("systemd/_hardening.conf.j2", home="/h", models_dir="/m")
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("settings", "preload"),
    [({}, ("llama2:13b",)), ({"keep_alive": "5m"}, ()), ({"keep_alive": 0}, ())],
    ids=str,
)
def test_only_what_stays_is_loaded_ahead(settings: dict[str, Any], preload: tuple[str, ...]) -> None:
    assert _host(_with(["A30"], **settings)).servers[0].preload == preload


@pytest.mark.parametrize(
    ("listens", "reached"),
    [
        ("127.0.0.1", "127.0.0.1:11434"),
        ("0.0.0.0", "127.0.0.1:11434"),
        ("::", "[::1]:11434"),
        ("10.0.0.1", "10.0.0.1:11434"),
    ],
)
def test_reached_from_the_host_itself(listens: str, reached: str) -> None:
    assert _host(_with(["A30"], host=listens)).services[0].address == reached


def _verify(service: Service, folder: Path, drop_in: str) -> str:
    """What `systemd-analyze verify` says of a unit, with a program in place of Ollama that exists here."""
    there = "/bin/true"
    unit, extra = (text.replace("/opt/inferfleet/ollama/current/bin/ollama", there) for text in (service.unit, drop_in))
    (folder / f"{service.name}.service.d").mkdir()
    (folder / f"{service.name}.service").write_text(unit, encoding="utf-8")
    (folder / f"{service.name}.service.d" / DROP_IN).write_text(extra, encoding="utf-8")
    command = ["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", f"{folder}/{service.name}.service"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    ours = [line for line in (done.stdout + done.stderr).splitlines() if str(folder) in line or service.name in line]
    return "\n".join(ours) + (f"\nexit {done.returncode}" if done.returncode else "")


needs_systemd = pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd-analyze is not installed")


@needs_systemd
@pytest.mark.parametrize("case", HOSTS)
def test_systemd_accepts_it(case: str, tmp_path: Path) -> None:
    service = _host(HOSTS[case]).services[0]
    assert _verify(service, tmp_path, service.drop_in) == ""


@needs_systemd
@pytest.mark.parametrize("wrong", ["KillMode=sometimes", "Environment=X", "TimeoutStopSec=soon", "ProtectSystm=yes"])
def test_systemd_would_say_so(wrong: str, tmp_path: Path) -> None:
    """The check above can fail."""
    service = _host(HOSTS["cpu"]).services[0]
    assert str(tmp_path) in _verify(service, tmp_path, f"{service.drop_in}\n{wrong}\n")
