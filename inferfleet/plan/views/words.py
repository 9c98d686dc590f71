"""The words and numbers of every form of the plan. Sizes are GiB with one decimal."""

from collections.abc import Mapping, Sequence

from inferfleet.plan.capacity import GIB, Capacity, CardUse, HostUse, Loss, ModelUse, Share
from inferfleet.plan.views.fleet import HostView, Kind, sums
from inferfleet.plan.views.names import in_short

NAMES: Mapping[Kind, str] = {"weights": "weights", "kv_cache": "KV cache", "engine": "engine", "free": "free"}
COMPARED = "Compared with the inventory as it is"
NOTHING_LOST = "no single host or card takes a model away"


def gib(size: int) -> str:
    """Bytes as GiB, without the unit: `6.9`."""
    return f"{size / GIB:.1f}"


def count(number: int, noun: str) -> str:
    """`1 card`, `4 cards`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def summary(capacity: Capacity) -> str:
    """`83.6 of 92.8 GiB planned on 4 cards of 1 host`."""
    hosts = {card.node for card in capacity.cards}
    cards, taken, usable = sums(capacity.cards)
    return f"{gib(taken)} of {gib(usable)} GiB planned on {count(cards, 'card')} of {count(len(hosts), 'host')}"


def cards_label(cards: Sequence[CardUse]) -> str:
    """`gpu1/0`, or for several of one host `gpu1/0 to 3`."""
    return f"{cards[0].node}/{in_short([str(card.gpu.index) for card in cards])}"


def card_sum(card: CardUse) -> str:
    """`20.9 of 23.2 GiB`."""
    return f"{gib(card.taken)} of {gib(card.usable)} GiB"


def card_free(card: CardUse) -> str:
    """`free 2.3`, or by how much it is too full."""
    return f"free {gib(card.free)}" if card.free >= 0 else f"too full by {gib(-card.free)}"


def share_words(share: Share, model: ModelUse | None) -> str:
    """`llama2:13b: weights 6.9, KV cache 12.5 (4 x 3.1), engine 1.5`."""
    name = share.model + on_demand(share)
    if not share.kv_cache and not share.overhead:
        return f"{name}: {gib(share.weights)} in all"
    each = sequences(share, model)
    cache = f"KV cache {gib(share.kv_cache)}" + (f" ({each})" if each else "")
    split = f", split over {model.need.cards} cards" if model and model.need and model.need.cards > 1 else ""
    return f"{name}: weights {gib(share.weights)}, {cache}, engine {gib(share.overhead)}{split}"


def on_demand(share: Share) -> str:
    """Said after the name of a model that is loaded when it is asked for, in place of others."""
    return " (on demand)" if share.waits else ""


def sequences(share: Share, model: ModelUse | None) -> str:
    """`4 x 3.1`: the sequences that its cache is made of, where they are several and there is nothing else in it."""
    need = model.need if model else None
    if not need or not need.kv_per_sequence:
        return ""
    number = round(need.kv_cache / need.kv_per_sequence)
    whole = abs(number * need.kv_per_sequence - need.kv_cache) <= need.kv_cache // 100
    same = abs(share.kv_cache * need.cards - need.kv_cache) <= need.kv_cache // 100
    return f"{number} x {gib(share.kv_cache // number)}" if number > 1 and whole and same else ""


def host_words(use: HostUse | None) -> str:
    """`RAM 0.8 of 256.0, disk 6.9 of 900.0 GiB`: what is declared of a host; empty where nothing is."""
    if use is None:
        return ""
    stores = (("RAM", use.ram_taken, use.ram), ("disk", use.disk_taken, use.disk))
    found = [f"{name} {gib(taken)} of {gib(have)}" for name, taken, have in stores if have is not None]
    return f"{', '.join(found)} GiB" if found else ""


def the_same(view: HostView) -> str:
    """`gpu3 to gpu50: the same`; empty where no other host looks like it."""
    return f"{in_short(view.same)}: the same" if view.same else ""


def copy_size(model: ModelUse) -> str:
    """What one copy takes, all of its cards together, or of the host's memory where it has none: `20.9`."""
    if model.need is None:
        return "-"
    return gib(model.need.total) if model.need.cards else f"{gib(model.need.host)} RAM"


def replicas(model: ModelUse) -> str:
    """`4 of 4`: placed, of those wanted."""
    return f"{len(model.placed)} of {model.wanted}"


def falls_short(model: ModelUse) -> bool:
    """Whether fewer replicas are placed than are wanted, or they cannot carry the load."""
    return len(model.placed) < model.wanted or (model.load is not None and model.slots < model.load)


def known(model: ModelUse) -> str:
    """`the shipped table`, `its parameters, ±10 %`."""
    return f"{model.known_from}, ±{round(model.error * 100)} %" if model.error else model.known_from


def model_rows(models: Sequence[ModelUse]) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Titles, and a row for each model; the column of loads only where one is declared."""
    loads = any(model.load is not None for model in models)
    titles = ("model", "replicas", "at once", *(("load",) if loads else ()), "one copy", "served with", "known from")
    rows = []
    for model in models:
        load = ("-" if model.load is None else str(model.load),) if loads else ()
        ahead = (model.name, replicas(model), str(model.slots), *load)
        rows.append((*ahead, copy_size(model), model.serving, known(model)))
    return titles, rows


def notes(model: ModelUse) -> tuple[str, ...]:
    """What a user should know of it, what was measured last."""
    measured: tuple[str, ...] = ()
    if model.measured is not None:
        estimated = f"estimated {gib(model.need.per_card)}, " if model.need else ""
        measured = (f"{estimated}measured {gib(model.measured)} GiB",)
    return (*model.notes, *_cache(model), *measured)


def _cache(model: ModelUse) -> tuple[str, ...]:
    """What a request more would cost."""
    if model.need is None or not model.need.kv_per_token:
        return ()
    more = f"; parallel fits up to {model.most}" if model.most is not None else ""
    need = model.need
    return (
        f"KV cache {need.kv_per_token / 1024:.4g} KiB per token, {gib(need.kv_per_sequence)} GiB per sequence{more}",
    )


def loss_lines(capacity: Capacity) -> list[tuple[str, str]]:
    """Where and what: the losses that take a model away, or leave too little of it for its load.

    Hosts of which the same is to be said are named together.
    """
    cards = {card.node: 0 for card in capacity.cards}
    for card in capacity.cards:
        cards[card.node] += 1
    said: dict[str, list[str]] = {}
    for loss in capacity.losses:
        only = loss.card is not None and cards.get(loss.node) == 1
        if (text := _loss(loss)) and not only:
            said.setdefault(text, []).append(loss.node if loss.card is None else f"{loss.node}/{loss.card}")
    return [(in_short(places), text) for text, places in said.items()]


def _loss(loss: Loss) -> str:
    gone = [f"no replica is left of {', '.join(loss.gone)}"] if loss.gone else []
    small = [f"{model} answers {left} at once, load {load}" for model, (left, load) in loss.overloaded.items()]
    return "; ".join((*gone, *small))
