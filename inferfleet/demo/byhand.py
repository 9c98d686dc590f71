"""What a user of the fleet does by hand: into a container, from another host, with the official clients."""

import json
import shlex
import subprocess
import sys

from rich.text import Text

from inferfleet.demo.stage import Stage
from inferfleet.errors import FleetError
from inferfleet.lab import Lab, ssh
from inferfleet.lab.system import environment
from inferfleet.placed import Instance

_S = 120


def by_hand(
    stage: Stage, lab: Lab, instances: tuple[Instance, ...], neighbour: str, question: str, answer: str
) -> None:
    """Each way to ask gives exactly the answer.

    Args:
        stage: where it is shown.
        lab: it runs in.
        instances: of one host, all of them containers.
        neighbour: another host of the lab.
        question: for the model.
        answer: that it must give.

    Raises:
        FleetError: another answer came, or none.
    """
    model, host = instances[0].models[0], instances[0].node
    inside = shlex.join(["docker", "exec", instances[2].name, "ollama", "run", model, question])
    _expect(stage, host, inside, _on(lab, host, inside).strip(), answer)
    body = f'{{"model": "{model}", "stream": false, "messages": [{{"role": "user", "content": "{question}"}}]}}'
    curl = f"curl -s http://{instances[3].address}/api/chat -d {shlex.quote(body)}"
    _on(lab, neighbour, "command -v curl >/dev/null || { apt-get -qq update && apt-get -qq install -y curl; } 2>&1")
    # What it says of its own time is of no interest here.
    _expect(stage, neighbour, curl, _on(lab, neighbour, curl), f'"content":"{answer}"')
    clients = [sys.executable, "-m", "inferfleet.demo.clients", *(one.address for one in instances[:2])]
    for said, got in json.loads(_run("this machine", [*clients, model, question])).items():
        _expect(stage, "here", said, got, answer)


def _on(lab: Lab, host: str, command: str) -> str:
    return _run(host, ssh.command(lab.directory, lab.host(host).address, [command]))


def _run(where: str, argv: list[str]) -> str:
    done = subprocess.run(argv, capture_output=True, text=True, timeout=_S, env=environment(), check=False)
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip() or "no reason given").splitlines()[-1]
        raise FleetError(f"{where}: nobody answered (got exit status {done.returncode}): {said}")
    return done.stdout


def _expect(stage: Stage, where: str, said: str, got: str, wanted: str) -> None:
    stage.print(Text.assemble((f"  {where:<5} $ ", "dim"), (said, "bold")))
    if wanted not in got:
        raise FleetError(f"{where}: the answer must be {wanted!r} (got {got!r})")
    stage.print(Text(f"    {wanted}", style="green"))
