"""`inferfleet lab`: make, look at and remove labs of real hosts on this machine."""

import json
import shlex
import subprocess
import sys
from typing import Any

import click

from inferfleet.lab import network, ssh, state
from inferfleet.lab.gpu.switches import SWITCHES
from inferfleet.lab.host import LabHost
from inferfleet.lab.inventory import current, current_name
from inferfleet.lab.lab import Lab
from inferfleet.lab.mirror.cli import mirror as mirror_command
from inferfleet.lab.mirror.offer import prepare_offer, serve_offer
from inferfleet.lab.paths import cache_dir
from inferfleet.lab.preflight import check_user
from inferfleet.lab.register import remove, sweep
from inferfleet.lab.state import HostSpec, LabState
from inferfleet.lab.system import environment

DEFAULT_HOSTS = ("gpu1:trixie:4xA30", "cpu1:bookworm")

_in_lab = click.option("--lab", "name", metavar="NAME", help="Which lab; default $INFERFLEET_LAB, else lab.")


def host_spec(text: str) -> HostSpec:
    """`NAME[:SUITE[:CARDS[:bare]]]` as a host; cards are written `4xA30` or `A30,RTX 4090`; `bare`: without driver."""
    name, suite, cards, driver = (*text.split(":", 3), "", "", "")[:4]
    gpus: list[str] = []
    for word in filter(None, cards.split(",")):
        count, times, model = word.partition("x")
        gpus += [model] * int(count) if times and count.isdigit() else [word]
    return HostSpec(name, suite or HostSpec.suite, tuple(gpus), driver != "bare")


@click.group()
def lab() -> None:
    """Real hosts on this machine, for trying out and for tests."""


@lab.command()
@click.argument("name", required=False)
@click.option(
    "--host",
    "hosts",
    multiple=True,
    metavar="NAME[:SUITE[:CARDS[:bare]]]",
    help="A host to make, such as gpu1:trixie:4xA30; may be repeated.",
)
@click.option("--mirror/--no-mirror", default=True, help="Serve Ollama, Docker, the toolkit and the tiny model.")
def up(name: str | None, hosts: tuple[str, ...], mirror: bool) -> None:
    """Make a lab; it stays until `down`."""
    specs = [host_spec(text) for text in hosts or DEFAULT_HOSTS]
    offer = prepare_offer(cache_dir(), click.echo) if mirror else None
    made = Lab(current_name(name), specs, keep=True, say=click.echo).up()
    if offer:
        serve_offer(made, offer)
    for host in made.hosts.values():
        click.echo(f"{host.address}  {host.name}  {host.spec.suite}")


@lab.command()
@click.argument("name", required=False)
@click.option("--all", "everything", is_flag=True, help="Every lab of this cache directory.")
def down(name: str | None, everything: bool) -> None:
    """Remove a lab without a trace."""
    check_user()
    one = current_name(name)
    found = list(state.readable(click.echo)) if everything else [state.load(one)]
    for each in found:
        if each is None:
            click.echo(f"lab {one}: is not up")
        else:
            remove(each)
            click.echo(f"lab {each.name}: removed")
    sweep(click.echo)


@lab.command()
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def status(as_json: bool) -> None:
    """Show the labs and their hosts."""
    check_user()
    rows = [describe(found) for found in state.readable(lambda line: click.echo(line, err=True))]
    if as_json:
        click.echo(json.dumps(rows, indent=2))
        return
    for row in rows:
        click.echo(f"{row['name']}: {row['state']}, gateway {row['gateway']}")
        for host in row["hosts"]:
            click.echo(f"  {host['address']}  {host['name']}  {host['suite']}  {host['state']}")
    if not rows:
        click.echo("no lab is up; start one with: inferfleet lab up")


def describe(found: LabState) -> dict[str, Any]:
    """A lab as plain data for `status`."""
    return {
        "name": found.name,
        "state": found.phase(),
        "gateway": network.gateway(found.net),
        "hosts": [_describe_host(LabHost(found, spec)) for spec in found.hosts],
    }


def _describe_host(host: LabHost) -> dict[str, str]:
    power = "off" if not host.powered else "up" if ssh.answers(host.address) else "booting"
    return {"name": host.name, "suite": host.spec.suite, "address": host.address, "state": power}


def _host(lab_name: str | None, name: str) -> LabHost:
    return current(lab_name).host(name)


@lab.command(name="exec", context_settings={"ignore_unknown_options": True})
@_in_lab
@click.argument("host")
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
def execute(name: str | None, host: str, command: tuple[str, ...]) -> None:
    """Run a command on a host as root, with this terminal's input and the command's exit status.

    One word is a line for the shell there; several are one command and its arguments; none is a login.
    """
    found = current(name)
    words = [command[0]] if len(command) == 1 else [shlex.join(command)] if command else []
    argv = ssh.command(found.directory, found.host(host).address, words)
    sys.exit(subprocess.run(argv, env=environment()).returncode)


@lab.command()
@_in_lab
@click.argument("host")
def reset(name: str | None, host: str) -> None:
    """Make a host bare again."""
    _host(name, host).reset()
    click.echo(f"{host}: bare again")


@lab.command()
@_in_lab
@click.argument("host")
def reboot(name: str | None, host: str) -> None:
    """Reboot a host and wait for it."""
    _host(name, host).reboot()
    click.echo(f"{host}: rebooted")


@lab.command()
@_in_lab
@click.argument("host", metavar="HOST[:SUITE]")
def add(name: str | None, host: str) -> None:
    """Add a host to a running lab."""
    found = current(name)
    made = found.add(host_spec(host))
    click.echo(f"{made.address}  {made.name}  {made.spec.suite}")


@lab.command()
@_in_lab
@click.argument("host")
@click.argument("switch", required=False, type=click.Choice(list(SWITCHES)))
@click.argument("card", required=False, default=0)
@click.option("--off", is_flag=True, help="Undo it.")
def gpu(name: str | None, host: str, switch: str | None, card: int, off: bool) -> None:
    """Show the cards of a host, or let something go wrong with CARD, counted as delivered."""
    found = _host(name, host)
    if switch:
        found.gpus.switch(switch, card, on=not off)
        what = SWITCHES[switch]
        stays = f"; its line in the kernel log stays until: inferfleet lab reboot {host}" if off and what.stays else ""
        click.echo(f"{host}: {switch} {'off' if off else 'on'}: {what.words}{stays}")
        return
    for each in found.gpus:
        wrong = f"  ({', '.join(each.faults)})" if each.faults else ""
        click.echo(f"{each.index}  {each.uuid}  {each.pci}  {each.memory_mib} MiB  {each.name}{wrong}")


lab.add_command(mirror_command)
