"""What-if questions: the inventory without a host, or with one more; and what that would change in the plan."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from inferfleet import catalogue
from inferfleet.errors import FleetError
from inferfleet.plan.types import FleetPlan
from inferfleet.spec import NODE_KEYS

Hosts = Mapping[str, Mapping[str, Any]]
_ITS_OWN = {*NODE_KEYS, "gateway"}
_CARDS = re.compile(r"(?:(\d{1,3})x)?(\S.*)")


def changed(hosts: Hosts, without: Sequence[str], add: Sequence[str]) -> dict[str, Mapping[str, Any]]:
    """The inventory without some hosts, and with new ones at its end.

    Args:
        hosts: host name -> that host's data.
        without: names of hosts that go.
        add: cards of a new host each, such as `2xRTX4090`; what runs on it is what the first host's groups say.

    Raises:
        FleetError: a host is not there, or a card is in no catalogue.
    """
    for name in without:
        if name not in hosts:
            raise FleetError(f"--without: {name!r} is no host of the inventory", f"name one of {', '.join(hosts)}")
    left = {name: data for name, data in hosts.items() if name not in without}
    shared = next((data for data in hosts.values() if data.get("gpus")), next(iter(hosts.values()), {}))
    for count, cards in enumerate(add, start=1):
        same = {key: value for key, value in shared.items() if key not in _ITS_OWN}
        where = {"address": f"192.0.2.{count}"} if "address" in shared else {}  # RFC 5737: no host has it
        left[f"added-{count}"] = {**same, **where, "gpus": _cards(cards)}
    return left


def _cards(text: str) -> list[str]:
    match = _CARDS.fullmatch(text)
    count, name = (int(match[1] or 1), match[2]) if match else (0, text)
    card = catalogue.find(name)
    if not count or card is None:
        near = " or ".join(repr(one) for one in catalogue.near(name))
        meant = f"did you mean {near}?" if near else "write it as in 2xRTX4090, or put the host into the inventory"
        raise FleetError(f"--add: {text!r} names no cards that are known", meant)
    return [card.name] * count


def differences(now: FleetPlan, then: FleetPlan) -> tuple[str, ...]:
    """What another plan changes, a line for each model that it touches: replicas lost, moved and gained."""
    before = {use.name: use for use in now.capacity.models}
    after = {use.name: use for use in then.capacity.models}
    return tuple(line for name in before if (line := _difference(name, before[name].placed, after[name].placed)))


def _difference(name: str, before: Sequence[str], after: Sequence[str]) -> str:
    gone = [place for place in before if place not in after]
    new = [place for place in after if place not in before]
    moves = [f"moves from {old} to {place}" for old, place in zip(gone, new, strict=False)]
    more = [f"runs on {place} too" for place in new[len(gone) :]]
    lost = gone[len(new) :]
    if lost:
        more.append(f"loses {len(lost)} of {len(before)} replicas" + ", the last" * (not after))
    return f"{name}: {', '.join([*moves, *more])}" if moves or more else ""
