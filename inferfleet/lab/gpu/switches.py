"""What goes wrong with cards, each on a host that is switched on, and the way back from it.

Names, as `inferfleet lab gpu HOST NAME [CARD]` and `host.gpus.switch(NAME, card=...)` take them. A card is named by its
index as delivered. Where it says "reboot", the host has to be rebooted for it, as a real one would.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from inferfleet.errors import LabError
from inferfleet.lab.gpu.catalogue import card_model
from inferfleet.lab.gpu.conf import identity
from inferfleet.lab.gpu.driver import DRIVER

NEWER: Final = "580.105.08"
"""A later version of the same branch, as an unattended upgrade brings it."""

OLD: Final = "535.183.01"
"""A branch that engines of today no longer run with."""

_PROGRAMS: Final = "/usr/lib/gpu-double"


class Machine(Protocol):
    """What a switch needs of a host and its cards."""

    name: str

    @property
    def gpu_names(self) -> tuple[str, ...]:
        """Cards as declared."""

    def change(self, host: dict[str, str] | None = None, cards: dict[int, dict[str, str]] | None = None) -> None:
        """Change the conf file."""

    def run(self, command: str) -> str:
        """Run a command on the host."""

    def install(self, version: str) -> None:
        """Put a driver's files on the disk in place of those there; what is loaded stays as it is."""


@dataclass(frozen=True)
class Switch:
    """One thing that goes wrong.

    Args:
        words: what it is, for people.
        on: it has gone wrong, with the card of that slot.
        off: it is as before.
        stays: whether something of it stays in the kernel log, where it refuses the host until a reboot.
    """

    words: str
    on: Callable[[Machine, int], None]
    off: Callable[[Machine, int], None]
    stays: bool = False


def _of_card(**keys: str) -> Callable[[Machine, int], None]:
    return lambda machine, slot: machine.change(cards={slot: keys})


def _of_host(**keys: str) -> Callable[[Machine, int], None]:
    return lambda machine, slot: machine.change(host=keys)


def _runs(command: str) -> Callable[[Machine, int], None]:
    def act(machine: Machine, slot: int) -> None:
        machine.run(command)

    return act


def _all(*steps: Callable[[Machine, int], None]) -> Callable[[Machine, int], None]:
    def act(machine: Machine, slot: int) -> None:
        for step in steps:
            step(machine, slot)

    return act


def _xid(number: int, text: str) -> Callable[[Machine, int], None]:
    """The driver's words in the kernel log: https://docs.nvidia.com/deploy/xid-errors."""

    def act(machine: Machine, slot: int) -> None:
        bus = f"$(sed -n '/^slot = {slot}$/,/^minor/s/^pci = 0000\\(.*\\)\\.0$/\\1/p' /etc/gpu-double.conf)"
        machine.run(f'{_PROGRAMS}/kmsg.py "NVRM: Xid (PCI:{bus}): {number}, {text}"')

    return act


def _swapped(again: int) -> Callable[[Machine, int], None]:
    return lambda machine, slot: machine.change(cards={slot: identity(machine.name, slot, again)})


def _memory(part: float) -> Callable[[Machine, int], None]:
    def act(machine: Machine, slot: int) -> None:
        memory_mib = card_model(machine.gpu_names[slot]).memory_mib
        machine.change(cards={slot: {"memory_mib": str(int(memory_mib * part))}})

    return act


def _divided(machine: Machine, slot: int) -> None:
    mig = card_model(machine.gpu_names[slot]).mig
    if not mig:
        raise LabError(f"{machine.name}: card {slot} cannot be divided (got {machine.gpu_names[slot]})", "take an A30")
    machine.change(cards={slot: {"mig": mig}})


def _shuffled(machine: Machine, slot: int) -> None:
    count = len(machine.gpu_names)
    machine.change(host={"order": " ".join(str((number - 1) % count) for number in range(count))})


def _installs(version: str) -> Callable[[Machine, int], None]:
    return lambda machine, slot: machine.install(version)


_LOAD: Final = _all(_runs(f"{_PROGRAMS}/driver.py load"), _runs("systemctl try-restart nvidia-persistenced"))
_RELOAD: Final = _all(_runs(f"{_PROGRAMS}/driver.py unload"), _LOAD)


def _unit(unit: str, verb: str) -> Callable[[Machine, int], None]:
    return _runs(f"systemctl {verb} --now {unit}")


SWITCHES: Final[dict[str, Switch]] = {
    "library-newer": Switch(
        "the driver's files were upgraded, the old module is still loaded; a reboot ends it, too",
        _installs(NEWER),
        _all(_installs(DRIVER), _RELOAD),
    ),
    "lost": Switch(
        "the card has fallen off the bus",
        _all(_of_card(lost="1"), _xid(79, "pid='<unknown>', name=<unknown>, GPU has fallen off the bus.")),
        _of_card(lost="0"),
        stays=True,
    ),
    "ecc": Switch(
        "uncorrectable errors of its memory; a row waits for being remapped",
        _all(
            _of_card(ecc_uncorrected="3", remap_pending="1"),
            _xid(48, "pid='<unknown>', name=<unknown>, DBE (double bit error) ECC Error on GPU."),
        ),
        _of_card(ecc_uncorrected="0", remap_pending="0"),
        stays=True,
    ),
    "xid": Switch(
        "an error in the kernel log; only a reboot begins a new log",
        _xid(119, "pid=4242, name=ollama, Timeout after 45s of waiting for RPC response from GPU GSP!"),
        _all(),
        stays=True,
    ),
    "shuffled": Switch("from the next reboot the cards have other indices", _shuffled, _of_host(order="")),
    "swapped": Switch("another card of the kind is in the slot", _swapped(1), _swapped(0)),
    "mig": Switch(
        "the card is divided in two by MIG",
        _all(_divided, _runs(f"{_PROGRAMS}/driver.py mig")),
        _all(_of_card(mig=""), _runs(f"{_PROGRAMS}/driver.py mig")),
    ),
    "not-loaded": Switch(
        "the module is not loaded, and will not be at a reboot",
        _all(_of_host(blocked="1"), _runs(f"{_PROGRAMS}/driver.py unload")),
        _all(_of_host(blocked="0"), _LOAD),
    ),
    "persistence-off": Switch(
        "the persistence daemon is off",
        _unit("nvidia-persistenced", "disable"),
        _unit("nvidia-persistenced", "enable"),
    ),
    "fabric-off": Switch(
        "the Fabric Manager is off",
        _unit("nvidia-fabricmanager", "disable"),
        _unit("nvidia-fabricmanager", "enable"),
    ),
    "old-driver": Switch(
        f"driver {OLD} is installed and loaded",
        _all(_installs(OLD), _RELOAD),
        _all(_installs(DRIVER), _RELOAD),
    ),
    "less-memory": Switch("half of the card's memory is not there", _memory(0.5), _memory(1)),
}
