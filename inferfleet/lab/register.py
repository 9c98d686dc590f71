"""The labs of this cache directory: taking a name and a network, sweeping the dead, removing."""

import secrets
import shutil

from inferfleet.errors import LabError
from inferfleet.lab import network, state
from inferfleet.lab.cgroup import Cgroup
from inferfleet.lab.paths import labs_dir
from inferfleet.lab.say import Say, quiet
from inferfleet.lab.state import LabState, Process
from inferfleet.lab.system import locked


def sweep(say: Say = quiet) -> None:
    """Labs whose owner is dead have left nothing."""
    with locked(labs_dir() / ".lock"):
        _sweep(say)


def remove(lab: LabState) -> None:
    """Nothing is left of a lab: no process, mount, interface, address, cgroup or file.

    Raises:
        LabError: something cannot be removed.
    """
    cgroup = lab_cgroup(lab)
    if lab.init is not None:
        # First, so that each nsenter collects its child: a zombie handed to this machine's process 1
        # would hold the pid namespace for as long as that one takes its time.
        lab.init.kill()
    cgroup.kill()
    network.disconnect(lab.tag)
    cgroup.remove()
    shutil.rmtree(lab.directory, ignore_errors=True)
    if lab.directory.exists():
        raise LabError(f"{lab.directory}: cannot be removed", "see what holds it, then inferfleet lab down again")


def check_absent(found: LabState | None) -> None:
    """No lab of that name is up.

    Raises:
        LabError: it is, or is being made.
    """
    if found is not None and found.alive():
        raise LabError(f"lab {found.name}: is {found.phase()} already", f"inferfleet lab down {found.name}")


def lab_cgroup(lab: LabState) -> Cgroup:
    """The cgroup that holds all processes of a lab."""
    return Cgroup(f"inferfleet-{lab.tag}")


def register(name: str, keep: bool, say: Say) -> LabState:
    """A name and a network are taken for a lab; the dead are swept first.

    Raises:
        LabError: a lab of that name is up, or no network is free.
    """
    with locked(labs_dir() / ".lock"):
        _sweep(say)
        check_absent(state.load(name))
        net = network.free_net({other.net for other in state.readable(say)})
        lab = LabState(name, f"{net}-{secrets.token_hex(2)}", net, Process.own(), bound=not keep)
        (lab.directory / "logs").mkdir(parents=True)
        lab.save()
        return lab


def _sweep(say: Say) -> None:
    for name in state.names():
        if not (labs_dir() / name / "lab.json").exists():  # killed before it had anything else
            shutil.rmtree(labs_dir() / name, ignore_errors=True)
    for found in state.readable(say):
        if not found.alive():
            say(f"lab {found.name}: its owner is dead; removing what is left")
            remove(found)
