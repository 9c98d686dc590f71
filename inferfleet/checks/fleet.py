"""The checks of one inventory and the hosts that they ask, made once for a run."""

from collections.abc import Iterator, Mapping
from typing import Any

from inferfleet.calibration import Measurement, digest_of, setting_of
from inferfleet.checks import fleet_checks
from inferfleet.checks.base import Peak
from inferfleet.checks.target import RemoteTarget
from inferfleet.inventory import read_inventory
from inferfleet.placed import Instance
from inferfleet.plan import make_plan
from inferfleet.services import reached_at
from inferfleet.spec import Model, parse_fleet, tagged


class CheckedFleet:
    """What an inventory file declares, as checks.

    Raises:
        FleetError: the file cannot be read.
        SpecError: one line for each mistake in it.
    """

    def __init__(self, path: str) -> None:
        self._data = read_inventory(path)
        fleet = parse_fleet(self._data)
        self._models = dict(fleet.models)
        self._plan = make_plan(fleet)
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

    def measurements(self, date: str) -> Iterator[Measurement]:
        """What models took of cards, as the checks that have run saw it.

        Args:
            date: of today, as `2026-01-31`.
        """
        for node in self._plan.nodes:
            if (target := self._targets.get(node.name)) is None:
                continue
            by_address = {reached_at(instance): instance for instance in node.instances}
            for peak in target.peaks:
                found = measurement(peak, by_address[peak.address], self._models, target.report["models"], date)
                if found:
                    yield found


def measurement(
    peak: Peak, instance: Instance, models: Mapping[str, Model], store: Mapping[str, Any], date: str
) -> Measurement | None:
    """A peak with the setting that it holds for; None where it is none, or of another model than is declared.

    Args:
        peak: what was seen.
        instance: where.
        models: all that are declared.
        store: the host's models, by their full names (`remote/ollama_state.py`).
        date: of today.
    """
    name = next(name for name in instance.models if tagged(name) == peak.model)
    weights = next(iter((store.get(peak.model) or {}).get("weights", ())), None)
    pin = digest_of(name, models)
    there = {digest for entry in store.values() if entry for digest in (entry["manifest"], *entry["weights"])}
    if not peak.size or (pin and pin not in there):
        return None
    other = pin if pin != weights else None
    return Measurement(peak.model, weights, other, setting_of(models[name], instance), peak.size, peak.by, date)
