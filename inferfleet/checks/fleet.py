"""The checks of one inventory and the hosts that they ask, made once for a run."""

from inferfleet.checks import fleet_checks
from inferfleet.checks.target import RemoteTarget
from inferfleet.inventory import read_inventory
from inferfleet.plan import make_plan
from inferfleet.spec import parse_fleet


class CheckedFleet:
    """What an inventory file declares, as checks.

    Raises:
        FleetError: the file cannot be read.
        SpecError: one line for each mistake in it.
    """

    def __init__(self, path: str) -> None:
        self._data = read_inventory(path)
        self._plan = make_plan(parse_fleet(self._data))
        self.checks = fleet_checks(self._plan)
        self._targets: dict[str, RemoteTarget] = {}

    def target(self, name: str) -> RemoteTarget:
        """The host of that name; one connection serves all its checks."""
        if name not in self._targets:
            node, gateway = self._plan.node(name), self._plan.gateway(name)
            if node is None and gateway is None:
                raise LookupError(name)
            self._targets[name] = RemoteTarget(name, self._data[name], node, gateway)
        return self._targets[name]
