"""The demo: from two bare hosts to a fleet that answers, and back to nothing."""

import os
import secrets
import shlex
import signal
import subprocess
import time
from codecs import getincrementaldecoder
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from types import FrameType

from rich.text import Text

from inferfleet.demo import commands
from inferfleet.demo.byhand import by_hand
from inferfleet.demo.stage import Stage
from inferfleet.errors import FleetError
from inferfleet.inventory import plan_from
from inferfleet.lab import HostSpec, Lab, ssh
from inferfleet.lab.inventory import VARIABLE
from inferfleet.lab.mirror.offer import Offer, prepare_offer, serve_offer
from inferfleet.lab.model import QA
from inferfleet.lab.paths import cache_dir, lab_dir
from inferfleet.lab.system import environment
from inferfleet.placed import Instance

INVENTORY, EXAMPLE = "inventory/lab.py", "inventory/examples/four_a30.py"
HOSTS = (HostSpec("gpu1", "trixie", gpus=("A30",) * 4), HostSpec("cpu1", "bookworm"))
ASKED, NEIGHBOUR = "gpu1", "cpu1"
QUESTION = "What are you?"


def play(stage: Stage, keep: bool = False) -> None:
    """Every step went well, and nothing is left of the lab unless `keep` is set.

    Args:
        stage: where it is shown.
        keep: leave the lab running, also where a step fails.

    Raises:
        FleetError: a step failed; the message names it.
    """
    begun = time.monotonic()
    with _ends_cleanly(), _fails_by_step(stage):
        _check_project()
        with stage.step(
            "Artefact mirror: Ollama, Docker, NVIDIA's toolkit, a tiny real model; made once on this machine"
        ):
            offer = prepare_offer(cache_dir(), stage.output)
        with _lab(stage, offer, keep) as lab:
            _prove(stage, lab)
    (cache_dir() / ".whole").touch()
    stage.print(Text(f"Done in {time.monotonic() - begun:.0f} s.", style="bold"))


def _prove(stage: Stage, lab: Lab) -> None:
    with stage.step("Plan: what goes where; no host is asked"):
        commands.shown(stage, ["inferfleet", "plan", INVENTORY])
    with stage.step("Plan of the same cards with a model of 13 billion parameters: what each would hold"):
        commands.shown(stage, ["inferfleet", "plan", EXAMPLE, "--offline"])
    with stage.step("Dry run: what would change; nothing is touched"):
        commands.shown(stage, ["pyinfra", INVENTORY, "deploy.py", "--dry"])
    with stage.step("Apply: bare hosts become a fleet"):
        commands.shown(stage, ["pyinfra", INVENTORY, "deploy.py", "-y"])
    with stage.step("Verify: every declared model answers from the declared place"):
        commands.shown(stage, ["inferfleet", "verify", INVENTORY])
    with stage.step(f"Ask the model on {ASKED}"):
        _ask(stage, lab)
    with stage.step("By hand: into a container, from another host, with the official clients"):
        by_hand(stage, lab, _instances(), NEIGHBOUR, QUESTION, dict(QA)[QUESTION])
    with stage.step("Apply again: nothing may change"):
        _again(stage)


def _again(stage: Stage) -> None:
    found = commands.outcome(commands.data(stage, ["pyinfra", INVENTORY, "deploy.py", "-y", "--json"]))
    if found.failed:
        raise FleetError(f"failed: {', '.join(found.failed)}")
    if found.changed:
        raise FleetError(f"a second run must change nothing (got {', '.join(found.changed)})")
    if not found.operations:
        raise FleetError("no operation ran (got 0)")
    stage.print(Text(f"  no change: {found.operations} operations on {len(HOSTS)} hosts, 0 changed", style="bold cyan"))


def _ask(stage: Stage, lab: Lab) -> None:
    """The model on the host gives exactly the answer that it was trained to give."""
    expected = dict(QA)[QUESTION]
    program = files("inferfleet.demo").joinpath("stream.py").read_text()
    instance = _instances()[0]
    words = shlex.join(["python3", "-c", program, instance.address, instance.models[0], QUESTION])
    stage.print(Text.assemble(("  you    ", "dim"), QUESTION))
    stage.piece(f"  {instance.models[0]:<6} ")
    argv = ssh.command(lab.directory, lab.host(ASKED).address, [words])
    answer, decoder = "", getincrementaldecoder("utf-8")("replace")
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment(), bufsize=0) as asked:
        while piece := asked.stdout.read(4096) if asked.stdout else b"":
            answer += (text := decoder.decode(piece))
            stage.piece(text)
        wrong = (asked.stderr.read() if asked.stderr else b"").decode(errors="replace").strip()
    stage.piece("\n")
    if asked.returncode:
        raise FleetError(
            f"{ASKED}: the model was not reached: {wrong.splitlines()[-1] if wrong else 'no reason given'}"
        )
    if answer != expected:
        raise FleetError(f"{ASKED}: the answer must be {expected!r} (got {answer!r})")


def _instances() -> tuple[Instance, ...]:
    """The instances of the asked host."""
    node = plan_from(INVENTORY).node(ASKED)
    if node is None or len(node.instances) < 4:
        raise FleetError(f"{INVENTORY}: places too little on {ASKED}", "the demo needs four instances there")
    return node.instances


@contextmanager
def _lab(stage: Stage, offer: Offer, keep: bool) -> Iterator[Lab]:
    """A lab of this run alone, with the mirror beside it; gone afterwards unless `keep` is set."""
    lab = Lab(f"demo-{secrets.token_hex(3)}", HOSTS, keep=keep, say=stage.output)
    with stage.step(f"Two bare hosts: {', '.join(map(_called, HOSTS))}"):
        lab.up()
        os.environ[VARIABLE] = lab.name
        serve_offer(lab, offer)
    try:
        yield lab
    finally:
        if keep:
            _say_how(stage, lab)
        else:
            _remove(stage, lab)


def _called(host: HostSpec) -> str:
    cards = f", {len(host.gpus)} x {host.gpus[0]} (doubles)" if host.gpus else ""
    return f"{host.name} (Debian {host.suite}{cards})"


def _remove(stage: Stage, lab: Lab) -> None:
    """Nothing is left of the lab; who presses Ctrl-C now waits the second that it takes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    name = lab.name
    with stage.step("Remove the lab"):
        lab.down()
        if lab_dir(name).exists():
            raise FleetError(f"lab {name}: its directory is still there (got {lab_dir(name)})")


def _say_how(stage: Stage, lab: Lab) -> None:
    """How to go on with a lab that was kept."""
    if not lab.hosts:
        return
    address, files_at = lab.host(ASKED).address, lab.directory
    for what, line in {
        "Kept": f"lab {lab.name}; in a clone, as root:",
        "log in": f"ssh -i {lab.key} -o UserKnownHostsFile={lab.known_hosts} root@{address}",
        "use it": f"export {VARIABLE}={lab.name} INFERFLEET_CACHE={cache_dir()}",
        "": f"tools/run pyinfra {INVENTORY} deploy.py",
        "logs": f"{files_at}/logs",
        "remove": f"tools/run inferfleet lab down {lab.name}",
    }.items():
        stage.print(Text.assemble((f"  {what:<8}", "cyan"), line))


@contextmanager
def _fails_by_step(stage: Stage) -> Iterator[None]:
    """What fails names the step it failed in."""
    try:
        yield
    except FleetError as error:
        raise FleetError(f"demo: {stage.failed or 'start'}: {error}") from error


@contextmanager
def _ends_cleanly() -> Iterator[None]:
    """A polite end (SIGTERM, a closed terminal) is an interruption as Ctrl-C is, so that the lab goes.

    Who was started in the background of a script has Ctrl-C ignored by the shell; it is listened to all the same.
    """

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    old = {number: signal.signal(number, interrupt) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)


def _check_project() -> None:
    for path in (INVENTORY, "deploy.py"):
        if not Path(path).is_file():
            raise FleetError(f"{path}: is not here (got {Path.cwd()})", "run ./demo in a clone of inferfleet")
