"""Units: written whole, removed only where they are ours, restarted only where told, and waited for."""

import os
from pathlib import Path
from typing import Any

import pytest

from inferfleet.engines.ollama_host import DROP_IN, MARK
from inferfleet.remote import ollama_services
from inferfleet.remote import units as units_part
from tests.remote.conftest import Answer, Site

OURS, THEIRS = f"{MARK}: the next apply restores it.\n", "[Service]\nExecStart=/usr/local/bin/ollama serve\n"


class Systemd:
    """A `systemctl` that writes down what it is told.

    Attributes:
        shown: what it answers to `show`.
    """

    def __init__(self, folder: Path) -> None:
        self._log = folder / "log"
        self.shown = folder / "shown"
        self.shown.write_text("LoadState=loaded\nActiveState=active\n")
        program = folder / "systemctl"
        program.write_text(
            f'#!/bin/sh\n[ "$1" = show ] && exec cat {self.shown}\n'
            f'echo "$@" >>{self._log}\n[ "$1 $2" != "restart bad" ] || {{ echo "no such unit" >&2; exit 5; }}\n'
        )
        program.chmod(0o755)

    @property
    def told(self) -> list[str]:
        return self._log.read_text().splitlines() if self._log.exists() else []


@pytest.fixture
def systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Systemd:
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
    monkeypatch.setattr(os, "chown", lambda *_: None)
    monkeypatch.setattr(ollama_services, "READY_S", 5)
    return Systemd(tmp_path / "bin")


@pytest.fixture
def units(tmp_path: Path) -> Path:
    (tmp_path / "units").mkdir()
    return tmp_path / "units"


def _work(units: Path, **changed: Any) -> dict[str, Any]:
    work = {"mark": MARK, "unit_dir": str(units), "files": {}, "links": {}, "enable": [], "names": [], "restart": []}
    work["environment"] = {name: {} for name, _ in changed.get("restart", [])}
    work["stay"] = {name: [] for name, _ in changed.get("restart", [])}
    return {**work, "remove": [], "version": "0.32.15", **changed}


def _unit(units: Path, name: str, text: str) -> Path:
    (units / f"{name}.service").write_text(text)
    (units / f"{name}.service.d").mkdir()
    (units / f"{name}.service.d" / DROP_IN).write_text(OURS)
    return units / f"{name}.service"


def test_files(systemd: Systemd, units: Path) -> None:
    files = {f"{units}/a.service": "A\n", f"{units}/a.service.d/{DROP_IN}": "B\n"}
    ollama_services.main(_work(units, files=files, enable=["a"], names=["a"]))
    assert {path: Path(path).read_text() for path in files} == files
    assert all(Path(path).stat().st_mode & 0o777 == 0o644 for path in files)
    assert [path.name for path in units.rglob("*.inferfleet")] == []
    assert systemd.told == ["daemon-reload", "unmask --quiet a", "enable --quiet a"]


def test_written_whole_or_not_at_all(systemd: Systemd, units: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = units / "a.service"
    path.write_text("old\n")

    def dies(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as killed:
        killed.setattr(os, "replace", dies)
        with pytest.raises(KeyboardInterrupt):
            ollama_services.write_file(str(path), "new\n")
    assert path.read_text() == "old\n"
    ollama_services.write_file(str(path), "new\n")
    assert path.read_text() == "new\n"


def test_a_link_is_replaced_not_followed(systemd: Systemd, units: Path) -> None:
    """Writing through it would change the file of somebody else."""
    (units / "theirs").write_text(THEIRS)
    (units / "a.service").symlink_to("theirs")
    ollama_services.write_file(f"{units}/a.service", "new\n")
    assert (units / "theirs").read_text() == THEIRS
    assert not (units / "a.service").is_symlink()


def test_masked(systemd: Systemd, units: Path) -> None:
    (units / "a.service").symlink_to("/dev/null")
    ollama_services.main(_work(units, files={f"{units}/a.service": "A\n"}, names=["a"], enable=["a"]))
    assert (units / "a.service").read_text() == "A\n"


@pytest.mark.parametrize("before", ["nothing", "file", "other link", "same link"])
def test_link(units: Path, before: str) -> None:
    path, target = units / "a.service", "/usr/lib/systemd/system/ollama.service"
    if before == "file":
        path.write_text("x")
    elif before != "nothing":
        path.symlink_to(target if before == "same link" else "/elsewhere")
    ollama_services.link(str(path), target)
    assert os.readlink(path) == target


def test_one_of_ours_goes_whole(systemd: Systemd, units: Path) -> None:
    _unit(units, "old", OURS)
    ollama_services.main(_work(units, remove=["old"]))
    assert list(units.iterdir()) == []
    assert systemd.told == ["disable --now old", "daemon-reload"]


def test_a_stranger_keeps_its_file_and_runs_on_as_its_own(systemd: Systemd, units: Path) -> None:
    path = _unit(units, "ollama", THEIRS)
    ollama_services.main(_work(units, remove=["ollama"]))
    assert path.read_text() == THEIRS
    assert [entry.name for entry in units.iterdir()] == ["ollama.service"]
    assert systemd.told == ["daemon-reload", "restart ollama.service", "daemon-reload"]


def test_a_stranger_of_the_distribution(systemd: Systemd, units: Path) -> None:
    """Its file is not beside our drop-in, but it runs with it: it must start again without."""
    path = _unit(units, "ollama", THEIRS)
    path.unlink()
    ollama_services.main(_work(units, remove=["ollama"]))
    assert list(units.iterdir()) == []
    assert systemd.told == ["daemon-reload", "restart ollama.service", "daemon-reload"]


def test_a_stranger_under_our_name(systemd: Systemd, units: Path) -> None:
    path = _unit(units, "ollama-gpu0", OURS)
    path.unlink()
    path.symlink_to("/usr/lib/systemd/system/ollama.service")
    ollama_services.main(_work(units, remove=["ollama-gpu0"]))
    assert list(units.iterdir()) == []
    assert systemd.told == ["daemon-reload", "restart ollama.service", "daemon-reload"]


@pytest.mark.parametrize(
    ("shown", "told"),
    [
        ("LoadState=not-found\nActiveState=active\n", ["stop ollama.service"]),
        ("LoadState=not-found\nActiveState=inactive\n", []),
        ("LoadState=loaded\nActiveState=inactive\n", []),
    ],
)
def test_what_is_left_of_a_unit(systemd: Systemd, units: Path, shown: str, told: list[str]) -> None:
    """A run that was killed, or a user, took the file away: nothing of it may run on, and nothing else may start."""
    _unit(units, "ollama", OURS).unlink()
    systemd.shown.write_text(shown)
    ollama_services.main(_work(units, remove=["ollama"]))
    assert systemd.told == ["daemon-reload", *told, "daemon-reload"]


def test_a_user_s_drop_in_stays(systemd: Systemd, units: Path) -> None:
    _unit(units, "old", OURS)
    (units / "old.service.d/override.conf").write_text("[Service]\n")
    ollama_services.main(_work(units, remove=["old"]))
    assert [str(path.relative_to(units)) for path in units.rglob("*.conf")] == ["old.service.d/override.conf"]


def test_restart_waits_for_the_version(
    systemd: Systemd, units: Path, site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is still starting, then the old one answers for a moment, then it is there."""
    answers: list[Answer] = [500, b"<html>", [], {"version": "0.32.14"}, {"version": "0.32.15"}]
    site.routes["/api/version"] = lambda handler: site.say(handler, answers[min(len(site.asked), len(answers)) - 1])
    ollama_services.main(_work(units, restart=[["a", site.address]]))
    assert systemd.told == ["daemon-reload", "restart a"]
    assert capsys.readouterr().out == f"a answers at {site.address}\n"
    assert len(site.asked) == len(answers)


def test_what_was_in_memory_is_there_again_before_the_next_is_stopped(
    systemd: Systemd, units: Path, site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    """Else no instance is quick while the models of all of them are loaded anew."""
    site.routes |= {
        "/api/version": {"version": "0.32.15"},
        "/api/ps": {"models": [{"name": "a:latest"}, {"name": "users:own"}]},
        "/api/show": {"capabilities": ["completion"]},
        "/api/generate": {"done": True},
    }
    stay = {"one": ["a:latest", "b:latest"], "two": ["a:latest"]}
    ollama_services.main(_work(units, restart=[["one", site.address], ["two", site.address]], stay=stay))
    said = [line.partition(" at ")[0] for line in capsys.readouterr().out.splitlines()]
    assert said == ["one answers", "a:latest is in memory", "two answers", "a:latest is in memory"]
    loads = [body["model"] for _, path, body in site.asked if path == "/api/generate"]
    assert loads == ["a:latest", "a:latest"]


def test_a_model_that_does_not_load_again_stops_nothing(systemd: Systemd, units: Path, site: Site) -> None:
    """The models' own operation says it."""
    ps = {"models": [{"name": "a:latest"}]}
    site.routes |= {"/api/version": {"version": "0.32.15"}, "/api/ps": ps, "/api/show": 500}
    ollama_services.main(_work(units, restart=[["a", site.address]], stay={"a": ["a:latest"]}))


def _runs_with(systemd: Systemd, *later: str) -> None:
    """The unit's process is this one, and systemd read these drop-ins after ours."""
    paths = " ".join([f"/etc/systemd/system/a.service.d/{DROP_IN}", *later])
    systemd.shown.write_text(f"MainPID={os.getpid()}\nDropInPaths={paths}\n")


def test_a_drop_in_that_sorts_after_ours(systemd: Systemd, units: Path, site: Site) -> None:
    """Else each run restarts the instance, which comes up as the other drop-in says, and calls it a success."""
    site.routes["/api/version"] = {"version": "0.32.15"}
    _runs_with(systemd, "/etc/systemd/system/a.service.d/zzz.conf")
    with pytest.raises(SystemExit) as raised:
        ollama_services.main(_work(units, restart=[["a", site.address]], environment={"a": {"NO_SUCH": "1"}}))
    assert raised.value.code == (
        f"a answers at {site.address}, but it runs with NO_SUCH=(unset), declared is 1: "
        "/etc/systemd/system/a.service.d/zzz.conf says otherwise; remove it"
    )


def test_what_answers_is_another_unit(systemd: Systemd, units: Path, site: Site) -> None:
    site.routes["/api/version"] = {"version": "0.32.15"}
    _runs_with(systemd)
    with pytest.raises(SystemExit, match="another unit may answer there"):
        ollama_services.main(_work(units, restart=[["a", site.address]], environment={"a": {"NO_SUCH": "1"}}))
    as_it_is = {"a": {"PATH": _started_with("PATH")}}
    ollama_services.main(_work(units, restart=[["a", site.address]], environment=as_it_is))


def _started_with(name: str) -> str:
    entries = Path(f"/proc/{os.getpid()}/environ").read_text().split("\0")
    return next(entry.split("=", 1)[1] for entry in entries if entry.startswith(f"{name}="))


def test_ours_stops_before_another_unit_gets_its_name(systemd: Systemd, units: Path) -> None:
    """systemd would not start the joined unit again: "control group exists already"."""
    path = _unit(units, "ollama-gpu0", OURS)
    links = {str(path): "/usr/lib/systemd/system/ollama.service"}
    for _ in range(2):
        ollama_services.main(_work(units, links=links))
    assert systemd.told == ["stop ollama-gpu0.service", "daemon-reload", "daemon-reload"]
    assert path.is_symlink()


def test_one_that_does_not_come_up(systemd: Systemd, units: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ollama_services, "READY_S", 0.2)
    monkeypatch.setattr(units_part, "journal", lambda _: "no space left | exit 1")
    with pytest.raises(SystemExit) as raised:
        ollama_services.main(_work(units, restart=[["a", "127.0.0.1:9"]]))
    assert raised.value.code == ("a does not answer as 0.32.15 at 127.0.0.1:9 after 0.2 s: no space left | exit 1")


def test_one_that_ends_at_each_start_is_not_waited_for(
    systemd: Systemd, units: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as one that is to listen on an address that the host has not."""
    counts = iter([7, 9, 10])
    monkeypatch.setattr(units_part, "LOOK_S", 0.05)
    monkeypatch.setattr(units_part, "restarts_of", lambda _: next(counts))
    monkeypatch.setattr(units_part, "journal", lambda _, own: "cannot assign requested address" if own else "")
    with pytest.raises(SystemExit) as raised:
        ollama_services.main(_work(units, restart=[["a", "127.0.0.1:9"]]))
    assert raised.value.code == "a ends at each start: cannot assign requested address"


def test_how_often_a_unit_was_started_again(systemd: Systemd) -> None:
    systemd.shown.write_text("NRestarts=12\n")
    assert units_part.restarts_of("a") == 12
    systemd.shown.write_text("")
    assert units_part.restarts_of("a") == 0


def test_systemd_s_own_words(systemd: Systemd, units: Path) -> None:
    with pytest.raises(SystemExit) as raised:
        ollama_services.main(_work(units, restart=[["bad", "127.0.0.1:9"]]))
    assert raised.value.code == "systemctl restart bad: no such unit"
