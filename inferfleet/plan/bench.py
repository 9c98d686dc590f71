"""Hosts with what is placed on them, and models with where they are placed."""

from dataclasses import dataclass, field

from inferfleet.plan.demand import Demand
from inferfleet.plan.filters import Ask
from inferfleet.plan.groups import Group
from inferfleet.plan.rooms import HostRoom
from inferfleet.plan.seats import Seat
from inferfleet.spec import FleetNode


@dataclass(slots=True, eq=False)
class Bench:
    """One host: its seats, and the groups of cards that engines with one model have taken."""

    node: FleetNode
    room: HostRoom
    seats: tuple[Seat, ...]
    groups: list[Group] = field(default_factory=list)

    @property
    def name(self) -> str:
        """The host's."""
        return self.node.name


@dataclass(slots=True, eq=False)
class Placed:
    """Where one model came to be.

    Attributes:
        wanted: how many replicas there should be.
        seats: instances that serve it.
        groups: cards of engines of its own.
        refused: of `all` and `fitting`, the instances that it does not fit on.
        reason: why it is short of groups: what is wrong, and what to do.
        steps: what each filter left of the cards.
    """

    ask: Ask
    wanted: int
    seats: list[Seat] = field(default_factory=list)
    groups: list[Group] = field(default_factory=list)
    refused: list[Seat] = field(default_factory=list)
    reason: str = ""
    steps: tuple[str, ...] = ()

    @property
    def places(self) -> list[Seat | Group]:
        """All that serve it."""
        return [*self.seats, *self.groups]

    def demand(self, place: Seat | Group) -> Demand:
        """What it takes at one of its places."""
        return place.demand if isinstance(place, Group) else self.ask.demand(place)

    def slots(self, place: Seat | Group) -> int:
        """Requests that it answers there at once."""
        serving = self.demand(place).serving
        return serving.parallel if serving else place.settings.parallel

    @property
    def short(self) -> int:
        """Replicas that have no place."""
        return self.wanted - len(self.seats) - len(self.groups)
