"""What holds of every plan, whatever the fleet: added up from the inventory and the plan, not by the ledger."""

import copy
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings

from inferfleet import catalogue
from inferfleet.placed import Instance, PlacedGpu
from inferfleet.plan import FleetPlan, plan_or_refuse
from inferfleet.plan.capacity import GIB, CardUse
from inferfleet.spec import Fleet, Model, parse_fleet, tagged
from tests.plan.fleets import Drawn, Hosts, fleets, up_to

# Of 10,000 fleets in all; INFERFLEET_FLEETS=10 looks at ten times as many, and makes those that fail smaller.
MORE = float(os.environ.get("INFERFLEET_FLEETS", "1"))


def _examples(count: int) -> settings:
    """The same fleets in each run: CI must not fail by chance."""
    return settings(
        max_examples=max(int(count * MORE), 1),
        derandomize=True,
        deadline=None,
        database=None,
        phases=(Phase.generate, Phase.shrink) if MORE > 1 else (Phase.generate,),
        suppress_health_check=list(HealthCheck),
    )


@dataclass(frozen=True)
class Seen:
    """A plan beside the inventory that it is of."""

    fleet: Fleet
    plan: FleetPlan

    @classmethod
    def of(cls, hosts: Hosts) -> "Seen":
        fleet = parse_fleet(hosts)
        return cls(fleet, plan_or_refuse(fleet))

    @property
    def models(self) -> dict[str, Model]:
        return dict(self.fleet.models)

    @property
    def instances(self) -> dict[str, Instance]:
        return {f"{node.name}/{one.name}": one for node in self.plan.nodes for one in node.instances}

    @property
    def placed(self) -> dict[str, tuple[str, ...]]:
        return {use.name: use.placed for use in self.plan.capacity.models}

    @property
    def refused(self) -> set[str]:
        return {refusal.model for refusal in self.plan.capacity.refusals}

    @property
    def cards(self) -> dict[tuple[str, PlacedGpu], CardUse]:
        return {(card.node, card.gpu): card for card in self.plan.capacity.cards}

    def gib(self, name: str) -> int:
        return int((self.models[name].vram_gib or 0) * GIB)

    def root(self, name: str) -> str:
        """The name at the end of its sources: models with the same one share their weights."""
        source = self.models[name].source if name in self.models else None
        return self.root(source) if source else tagged(name)

    def runners(self, instance: Instance) -> dict[str, int]:
        """Root -> bytes of the largest of its names."""
        found: dict[str, int] = {}
        for name in instance.models:
            found[self.root(name)] = max(found.get(self.root(name), 0), self.gib(name))
        return found

    def loaded(self, instance: Instance, more: str | None = None) -> int:
        """Bytes at once at worst, with one more model: all of them, or as many as take turns."""
        every = self.runners(instance)
        if more:
            every[self.root(more)] = max(every.get(self.root(more), 0), self.gib(more))
        return sum(sorted(every.values())[-_at_once(instance) :])

    def on_cards(self, instance: Instance, more: str | None = None) -> list[int]:
        """Bytes on each of its cards, in proportion to what the cards hold."""
        usable = [self.cards[instance.node, gpu].usable for gpu in instance.gpus]
        return [self.loaded(instance, more) * room // sum(usable) for room in usable]

    def groups_on(self, node: str, gpu: PlacedGpu) -> int:
        """Bytes that engines with one model take of a card."""
        fleet_node = next(one for one in self.fleet.nodes if one.name == node)
        taken = 0
        for server in self.plan.servers:
            if any(host == node and gpu in gpus for host, gpus in server.parts):
                taken += _each(self.models[server.model], getattr(fleet_node.engines, server.engine))
        return taken

    def taken(self, node: str, gpu: PlacedGpu) -> int:
        """Bytes on a card, of everything."""
        taken = self.groups_on(node, gpu)
        for one in self.instances.values():
            if one.node == node and gpu in one.gpus:
                taken += self.on_cards(one)[one.gpus.index(gpu)]
        return taken

    def ram(self, node: str) -> int:
        """Bytes of a host's memory: its instances on the CPU."""
        return sum(self.loaded(one) for one in self.instances.values() if one.node == node and not one.gpus)

    def stored(self, node: str) -> dict[str, int]:
        """What lies on a host's disk: root -> bytes, the fewest that one of its names says."""
        names = [name for one in self.instances.values() if one.node == node for name in one.models]
        names += [one.model for one in self.plan.servers if any(host == node for host, _ in one.parts)]
        found: dict[str, int] = {}
        for name in names:
            found[self.root(name)] = min(found.get(self.root(name), self.gib(name)), self.gib(name))
        return found


def _at_once(instance: Instance) -> int:
    return instance.settings.max_loaded_models if instance.settings.keep_alive == "forever" else 1


def _each(model: Model, engine: Any) -> int:
    """Bytes of each card of a replica: its part of the model, or the budget where that is more."""
    cards = model.tensor_parallel * model.pipeline_parallel
    part = -(-int((model.vram_gib or 0) * GIB) // cards)
    return max(part, int((engine.vram_budget_gib or 0) * GIB))


# Rounding: a byte for each model on a card.
SLACK = 32


@_examples(2000)
@given(fleets())
def test_nothing_is_overfull(drawn: Drawn) -> None:
    """Cards, memory, disks: by the sizes that the inventory declares, and by the shares that the plan shows."""
    seen = Seen.of(drawn.hosts)
    for card in seen.plan.capacity.cards:
        taken = seen.taken(card.node, card.gpu)
        assert taken <= card.usable + SLACK
        assert abs(taken - card.taken) <= SLACK
        assert sum(_shares(seen, card)) == card.taken <= card.usable
    for host, node in zip(seen.plan.capacity.hosts, seen.fleet.nodes, strict=True):
        assert host.ram_taken == seen.ram(host.node)
        assert host.ram is None or host.ram_taken <= host.ram <= (node.node.ram_gib or 0) * GIB
        assert sum(seen.stored(host.node).values()) <= host.disk_taken
        assert host.disk is None or host.disk_taken <= host.disk == int((node.node.disk_gib or 0) * GIB)


@_examples(300)
@given(fleets(calculated=True))
def test_shares_add_up_where_sizes_are_calculated(drawn: Drawn) -> None:
    """Of models that take turns on cards of several sizes, the largest of each card counts there."""
    seen = Seen.of(drawn.hosts)
    for card in seen.plan.capacity.cards:
        assert sum(_shares(seen, card)) == card.taken <= card.usable
        assert sum(share.total for share in card.shares if not share.waits) == card.taken
    for host in seen.plan.capacity.hosts:
        assert host.ram is None or host.ram_taken <= host.ram
        assert host.disk is None or host.disk_taken <= host.disk


def _shares(seen: Seen, card: CardUse) -> Iterator[int]:
    """The shares of a card that count: all, but of an instance whose models take turns the largest."""
    for name in dict.fromkeys(share.instance for share in card.shares):
        sizes = sorted(share.total for share in card.shares if share.instance == name)
        instance = seen.instances.get(f"{card.node}/{name}")
        yield sum(sizes[-_at_once(instance) :] if instance else sizes)


@_examples(2000)
@given(fleets())
def test_replicas_are_where_they_may_be(drawn: Drawn) -> None:
    seen = Seen.of(drawn.hosts)
    for name, model in seen.fleet.models:
        places = seen.placed[name]
        assert len(set(places)) == len(places)
        if isinstance(model.replicas, int) and len(places) < model.replicas:
            assert name in seen.refused
        if model.engine == "ollama":
            _check_seats(seen, name, model)
        else:
            _check_servers(seen, name, model)
    _check_ports(seen)


def _check_seats(seen: Seen, name: str, model: Model) -> None:
    seats = [seen.instances[place] for place in seen.placed[name]]
    assert all(name in seat.models for seat in seats)
    assert sum(seat.models.count(name) for seat in seen.instances.values()) == len(seats)
    assert all(_is_named(model, seat) for seat in seats)
    if model.placement == "spread":
        assert len({seat.node for seat in seats}) == len(seats)


def _is_named(model: Model, seat: Instance) -> bool:
    cards = [str(gpu.index) for gpu in seat.gpus]  # all are CUDA's: index and position are one
    names = [seat.node, *(f"{seat.node}/{card}" for card in cards), f"{seat.node}/{seat.name}"]
    return not model.on or any(place in names for place in model.on)


def _check_servers(seen: Seen, name: str, model: Model) -> None:
    servers = [one for one in seen.plan.servers if one.model == name]
    assert {f"{one.parts[0][0]}/{one.name}" for one in servers} == set(seen.placed[name])
    used = Counter((host, gpu) for one in servers for host, gpus in one.parts for gpu in gpus)
    assert max(used.values(), default=1) == 1
    for host, gpu in used:
        assert not model.on or host in model.on or f"{host}/{gpu.index}" in model.on
        assert not catalogue.unable(model.engine, "0.11.0", found) if (found := catalogue.find(gpu.model)) else True
    for one in servers:
        assert one.engine == model.engine
        assert sum(len(gpus) for _, gpus in one.parts) == model.tensor_parallel * model.pipeline_parallel
        for _, gpus in one.parts:
            kinds = Counter((gpu.model, gpu.vram_gib) for gpu in gpus)
            assert all(count % model.tensor_parallel == 0 for count in kinds.values())
    if model.placement == "spread":
        hosts = Counter(host for one in servers for host, _ in one.parts)
        assert max(hosts.values(), default=1) == 1


def _check_ports(seen: Seen) -> None:
    """No two listen at one port of a host, or share a name there."""
    found = [(one.node, one.port, one.name) for one in seen.instances.values()]
    found += [(one.parts[0][0], int(one.address.rpartition(":")[2]), one.name) for one in seen.plan.servers]
    assert len({(node, port) for node, port, _ in found}) == len(found)
    assert len({(node, name) for node, _, name in found}) == len(found)


@_examples(2000)
@given(fleets())
def test_what_is_appended_moves_nothing(drawn: Drawn) -> None:
    """Hosts, models or both: each replica keeps its place, name and port."""
    before = Seen.of(drawn.hosts)
    with_models = Seen.of(drawn.with_models())
    with_hosts = Seen.of(drawn.with_hosts())
    assert _kept(before, with_models) and with_models.placed.items() >= before.placed.items()
    # What was refused, and may be split over hosts, waits for a second host: see `serve`.
    if not any(before.models[name].pipeline_parallel > 1 for name in before.refused):
        assert _kept(before, with_hosts)


def _kept(before: Seen, after: Seen) -> bool:
    places = all(after.placed[name][: len(old)] == old for name, old in before.placed.items())
    servers = {(one.parts[0][0], one.name): one for one in after.plan.servers}
    same = all(servers[one.parts[0][0], one.name] == one for one in before.plan.servers)
    for name, old in before.instances.items():
        new = after.instances[name]
        same = same and (new.port, new.gpus, new.models[: len(old.models)]) == (old.port, old.gpus, old.models)
    return places and same


@_examples(500)
@given(fleets(calculated=True))
def test_the_same_inventory_gives_the_same_plan(drawn: Drawn) -> None:
    """Whether hosts share the objects of their group or each has copies."""
    assert plan_or_refuse(parse_fleet(drawn.hosts)) == plan_or_refuse(parse_fleet(_copies(drawn.hosts)))


def _copies(data: Any) -> Any:
    """The same data with no object in it twice."""
    if isinstance(data, dict):
        return {key: _copies(value) for key, value in data.items()}
    return [_copies(value) for value in data] if isinstance(data, list) else copy.deepcopy(data)


@_examples(1500)
@given(fleets(calculated=True))
def test_suggestions_are_true(drawn: Drawn) -> None:
    """Written into the inventory, each places its model, and no other that was placed is refused."""
    before = Seen.of(drawn.hosts)
    for refusal in before.plan.capacity.refusals:
        for change in refusal.changes:
            assert any(_helps(hosts, refusal.model, before) for hosts in _written(drawn.hosts, change)), refusal.line


def _helps(hosts: Hosts, name: str, before: Seen) -> bool:
    after = Seen.of(hosts)
    return after.refused <= before.refused - {name}


def _written(hosts: Hosts, change: Any) -> Iterator[Hosts]:
    """The inventory with a change: of engines that differ by group, in one group."""
    groups = [host["engines"]["ollama"] for host in hosts.values()]
    for settings_there in [group for position, group in enumerate(groups) if group not in groups[:position]]:
        new = _copies(hosts)
        for key, value in change.items():
            if key.startswith("models."):
                for host in new.values():
                    host["models"][key[7:].rpartition(".")[0]]["replicas"] = value
        engines = {key.rpartition(".")[2]: value for key, value in change.items() if key.startswith("engines.ollama.")}
        for host in new.values():
            if host["engines"]["ollama"] == settings_there:
                host["engines"]["ollama"].update(engines)
        yield new


@_examples(1500)
@given(fleets())
def test_refused_only_where_there_is_no_room(drawn: Drawn) -> None:
    """At its turn no seat, and no group of cards, would have held one more replica."""
    for refusal in Seen.of(drawn.hosts).plan.capacity.refusals:
        seen = Seen.of(up_to(drawn.hosts, refusal.model))
        model = seen.models[refusal.model]
        if model.engine == "ollama":
            assert _seats_with_room(seen, refusal.model, model) == []
        else:
            assert _teams_with_room(seen, refusal.model, model) < model.pipeline_parallel


def _seats_with_room(seen: Seen, name: str, model: Model) -> list[str]:
    hosts = {seen.instances[place].node for place in seen.placed[name]}
    return [
        place
        for place, seat in seen.instances.items()
        if _is_named(model, seat)
        and name not in seat.models
        and not (model.placement == "spread" and seat.node in hosts)
        and _would_fit(seen, name, seat)
    ]


def _would_fit(seen: Seen, name: str, seat: Instance) -> bool:
    for gpu, now, then in zip(seat.gpus, seen.on_cards(seat), seen.on_cards(seat, name), strict=True):
        if seen.taken(seat.node, gpu) + then - now > seen.cards[seat.node, gpu].usable - SLACK:
            return False
    host = next(one for one in seen.plan.capacity.hosts if one.node == seat.node)
    if (
        host.ram is not None
        and not seat.gpus
        and host.ram_taken + seen.loaded(seat, name) - seen.loaded(seat) > host.ram
    ):
        return False
    more = 0 if seen.root(name) in seen.stored(seat.node) else seen.gib(name)
    return host.disk is None or more == 0 or host.disk_taken + more <= host.disk


def _teams_with_room(seen: Seen, name: str, model: Model) -> int:
    """Groups of cards that are free for one more replica: the most of hosts with the same settings."""
    servers = [one for one in seen.plan.servers if one.model == name]
    used = {(host, gpu) for one in servers for host, gpus in one.parts for gpu in gpus}
    there = {host for host, _ in used} if model.placement == "spread" else set()
    teams, counts = Counter[str](), []
    for node in seen.fleet.nodes:
        engine = getattr(node.engines, model.engine)
        if engine is None or node.name in there or not _has_disk(seen, name, node.name):
            continue
        kinds = Counter[Any]()
        for card in (card for card in seen.plan.capacity.cards if card.node == node.name):
            named = not model.on or node.name in model.on or f"{node.name}/{card.gpu.index}" in model.on
            known = catalogue.find(card.gpu.model)
            able = not (known and catalogue.unable(model.engine, engine.version, known))
            fits = seen.taken(node.name, card.gpu) + _each(model, engine) <= card.usable - SLACK
            if named and able and fits and (node.name, card.gpu) not in used:
                kinds[card.gpu.model, card.total] += 1
        here = sum(count // model.tensor_parallel for count in kinds.values())
        counts.append(here)
        teams[repr(engine)] += here
    over_hosts = isinstance(model.replicas, int) or "replicas" not in model.model_fields_set
    return max([*counts, *(teams.values() if over_hosts else ())], default=0)


def _has_disk(seen: Seen, name: str, node: str) -> bool:
    host = next(one for one in seen.plan.capacity.hosts if one.node == node)
    more = 0 if seen.root(name) in seen.stored(node) else seen.gib(name)
    return host.disk is None or host.disk_taken + more <= host.disk


@_examples(700)
@given(fleets())
def test_losses_are_what_is_left_without_a_host_or_a_card(drawn: Drawn) -> None:
    seen = Seen.of(drawn.hosts)
    told = {(loss.node, loss.card): loss for loss in seen.plan.capacity.losses}
    for node in seen.plan.nodes:
        cards = list(enumerate(node.gpus)) if len(node.gpus) > 1 else []
        for card, gpu in [(None, None), *cards]:
            gone, fewer, overloaded = _lost(seen, node.name, gpu)
            loss = told.pop((node.name, card), None)
            if loss is None:
                assert not gone and not fewer
                continue
            assert set(loss.gone) == gone
            assert dict(loss.fewer) == fewer
            assert dict(loss.overloaded) == overloaded
    assert not told


def _lost(seen: Seen, node: str, gpu: PlacedGpu | None) -> tuple[set[str], dict[str, Any], dict[str, Any]]:
    """Models gone, models with fewer replicas, and models whose rest cannot carry their load: counted one by one."""
    gone, fewer, overloaded = set(), {}, {}
    for name, model in seen.fleet.models:
        places = [*_parts(seen, name)]
        left = [
            slots
            for slots, parts in places
            if not any(host == node and (gpu is None or gpu in gpus) for host, gpus in parts)
        ]
        if len(left) == len(places):
            continue
        if left:
            fewer[name] = (len(left), len(places))
        else:
            gone.add(name)
        if model.load is not None and sum(left) < model.load:
            overloaded[name] = (sum(left), model.load)
    return gone, fewer, overloaded


def _parts(seen: Seen, name: str) -> Iterator[tuple[int, Any]]:
    """Each replica's requests at once, and the hosts and cards that it needs."""
    for one in seen.instances.values():
        if name in one.models:
            yield one.settings.parallel, [(one.node, one.gpus)]
    for server in seen.plan.servers:
        if server.model == name:
            yield 16, server.parts
