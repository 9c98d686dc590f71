"""The demo itself, as a user runs it."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.demo.machine import CLONE

pytestmark = [pytest.mark.lab, pytest.mark.alone]
COMMAND = [str(Path(sys.executable).with_name("inferfleet"))]


def labs() -> set[str]:
    """The labs of this demo's kind that anything is left of: directories, cgroups."""
    status = subprocess.run([*COMMAND, "lab", "status", "--json"], capture_output=True, text=True, check=True)
    return {row["name"] for row in json.loads(status.stdout) if row["name"].startswith("demo-")}


def links() -> set[str]:
    """This machine's ends of the labs' networks, and their cgroups."""
    interfaces = {path.name for path in Path("/sys/class/net").glob("ifl*")}
    cgroups = (path for path, _, _ in os.walk("/sys/fs/cgroup"))
    return interfaces | {path for path in cgroups if os.path.basename(path).startswith("inferfleet-")}


def start(log: Path, *words: str) -> "subprocess.Popen[str]":
    env = {**os.environ, "INFERFLEET_LOG": str(log), "PYTHONPATH": str(CLONE)}
    return subprocess.Popen(
        [*COMMAND, "demo", *words],
        cwd=CLONE,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def name_in(log: str) -> str:
    return next(line for line in log.splitlines() if "lab demo-" in line).split("lab ")[1].split(":")[0]


def test_demo_answers_exactly_changes_nothing_twice_and_leaves_nothing(tmp_path: Path) -> None:
    log = tmp_path / "log"
    out, err = start(log).communicate(timeout=900)
    lines = [line.strip() for line in out.splitlines()]
    assert err == ""
    assert "tiny   I am a small model that tests the fleet." in lines
    assert any(re.fullmatch(r"no change: [1-9]\d* operations on 2 hosts, 0 changed", line) for line in lines)
    assert any(line.endswith(" checks, 0 do not hold") for line in lines)
    assert lines[-1].startswith("Done in ")
    assert name_in(log.read_text()) not in labs()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_demo_leaves_nothing(tmp_path: Path, number: signal.Signals) -> None:
    before = links()
    log = tmp_path / "log"
    demo = start(log)
    for line in demo.stdout or ():
        if "Starting operation: Ollama" in line:
            break
    # A terminal tells the whole group, a service manager the process alone.
    (os.killpg if number == signal.SIGINT else os.kill)(demo.pid, number)
    _, err = demo.communicate(timeout=60)
    said = f"demo: interrupted in Apply; nothing is left of it; the full log: {log}\n"
    assert (demo.returncode, err) == (130, said), log.read_text()[-1000:]
    assert name_in(log.read_text()) not in labs()
    assert not {link for link in links() - before if name_in(log.read_text()) in link}


def test_failed_demo_names_step_and_log_and_leaves_nothing(tmp_path: Path) -> None:
    log = tmp_path / "log"
    demo = start(log)
    for line in demo.stdout or ():
        if line.startswith("▸ Plan"):
            break
    name = name_in(log.read_text())
    subprocess.run([*COMMAND, "lab", "exec", "--lab", name, "gpu1", "chmod 0 /usr/bin/apt-get"], check=True)
    _, err = demo.communicate(timeout=300)
    assert demo.returncode == 1
    assert err.startswith("demo: Apply: pyinfra failed (got exit status 1): ")
    assert err.endswith(f"; the full log: {log}\n")
    assert err.count("\n") == 1
    assert name not in labs()


def test_kept_lab_is_reached_as_it_says(tmp_path: Path) -> None:
    demo = start(tmp_path / "log", "--keep")
    out, err = demo.communicate(timeout=900)
    name = name_in((tmp_path / "log").read_text())
    try:
        assert demo.returncode == 0, err
        words = [line.split(maxsplit=1) for line in out.splitlines() if line.startswith("  ")]
        said = {line[0]: line[1] for line in words if len(line) == 2}
        login = next(line.split("log in", 1)[1].strip() for line in out.splitlines() if "log in" in line)
        where = subprocess.run(f"{login} hostname", shell=True, capture_output=True, text=True, check=True)
        assert where.stdout == "gpu1\n"
        assert said["remove"].endswith(f"lab down {name}")
        assert name in labs()
        subprocess.run(said["remove"], shell=True, check=True, capture_output=True)
        assert name not in labs()
    finally:
        subprocess.run([*COMMAND, "lab", "down", name], check=False, capture_output=True)
