"""The plan as one HTML page: no script, nothing from elsewhere, every name escaped."""

from collections.abc import Iterable, Mapping, Sequence
from importlib.resources import files
from itertools import groupby
from typing import Any

from jinja2 import Environment, StrictUndefined

from inferfleet.plan import show
from inferfleet.plan.capacity import Capacity, CardUse, ModelUse, Share
from inferfleet.plan.types import FleetPlan
from inferfleet.plan.views import words
from inferfleet.plan.views.fleet import KINDS, HostView, Kind, card_look, drawn, folded, hosts, parts
from inferfleet.plan.views.names import in_short

_TEMPLATE = "page.html.j2"
Values = dict[str, Any]


def page(plan: FleetPlan) -> str:
    """All of the plan, the fleet as a map of its cards."""
    capacity = plan.capacity
    views = hosts(capacity)
    uses = {model.name: model for model in capacity.models}
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    template = environment.from_string((files(__package__) / _TEMPLATE).read_text(encoding="utf-8"))
    return template.render(
        title=f"Plan for {words.count(len(plan.nodes), 'host')}",
        tile=280 if len(views) > 1 else 480,
        refusals=[{"line": r.line, "steps": r.steps} for r in capacity.refusals],
        hosts=[_host(view, uses) for view in views],
        numbers=[row for view in folded(views) for row in _numbers(view, uses)],
        losses=words.loss_lines(capacity),
        compared=words.COMPARED,
        differences=plan.differences,
        nothing_lost=words.NOTHING_LOST,
        instances={"titles": show.TITLES, "rows": show.folded_rows(plan)},
        **_head(capacity),
        models=_models(capacity.models),
    )


def _head(capacity: Capacity) -> Values:
    """The whole fleet in one bar."""
    if not capacity.cards:
        return {"summary": "", "fleet": (), "legend": ()}
    sizes = dict.fromkeys(KINDS, 0)
    for card in capacity.cards:
        for share in drawn(card):
            for kind, size in parts(share):
                sizes[kind] += size
        sizes["free"] += max(card.free, 0)
    whole = sum(sizes.values())
    fleet = [_piece(kind, size, whole, _titled("", kind, size)) for kind, size in sizes.items() if kind != "free"]
    legend = [(kind, words.NAMES[kind], words.gib(size)) for kind, size in sizes.items()]
    return {"summary": words.summary(capacity), "fleet": fleet, "legend": legend}


def _host(view: HostView, uses: Mapping[str, ModelUse]) -> Values:
    runs = []
    for _, run in groupby(view.cards, key=lambda card: (card.gpu.model, [share.model for share in card.shares])):
        cards = list(run)
        names = ", ".join(share.model + words.on_demand(share) for share in cards[0].shares)
        runs.append({"model": cards[0].gpu.model, "models": names, "cards": [_card(card, uses) for card in cards]})
    return {"name": view.name, "runs": runs, "about": words.host_words(view.use)}


def _card(card: CardUse, uses: Mapping[str, ModelUse]) -> Values:
    whole = max(card.usable, card.taken)
    pieces = []
    for number, share in enumerate(drawn(card)):
        for place, (kind, size) in enumerate(parts(share)):
            pieces.append(_piece(kind, size, whole, _titled(share.model, kind, size), bool(number) and not place))
    told = (*(words.share_words(share, uses.get(share.model)) for share in card.shares), words.card_free(card))
    title = f"{words.cards_label([card])} {card.gpu.model}, {words.card_sum(card)}: {'; '.join(told)}"
    sizes = {"taken": words.gib(card.taken), "usable": words.gib(card.usable)}
    return {"index": card.gpu.index, "pieces": pieces, "title": title, **sizes}


def _piece(kind: Kind, size: int, whole: int, title: str, following: bool = False) -> Values:
    percent = f"{100 * size / whole:.3f}" if whole else "0"
    return {"kind": kind, "percent": percent, "title": title, "next": following}


def _titled(model: str, kind: Kind, size: int) -> str:
    return f"{model}: {words.NAMES[kind]} {words.gib(size)} GiB".removeprefix(": ")


def _numbers(view: HostView, uses: Mapping[str, ModelUse]) -> Iterable[Values]:
    """Of each kind of card on a host, and on those that look like it, its numbers."""
    names = in_short(view.names)
    for number, (_, run) in enumerate(groupby(view.cards, key=card_look)):
        cards = list(run)
        first = cards[0]
        yield {
            "host": "" if number else names,
            "cards": f"{in_short([str(card.gpu.index) for card in cards])}: {first.gpu.model}",
            "shares": [_share(share, uses.get(share.model)) for share in first.shares],
            "planned": f"{words.gib(first.taken)} of {words.gib(first.usable)}",
            "free": words.card_free(first).removeprefix("free "),
        }


def _share(share: Share, use: ModelUse | None) -> Values:
    name = share.model + words.on_demand(share)
    if not share.kv_cache and not share.overhead:
        # Declared as one number, of which no part is known.
        return {"name": name, "weights": words.gib(share.weights), "kv_cache": "", "each": "in all", "engine": ""}
    sizes = {"weights": share.weights, "kv_cache": share.kv_cache, "engine": share.overhead}
    each = words.sequences(share, use)
    return {"name": name, "each": each, **{kind: words.gib(size) for kind, size in sizes.items()}}


def _models(models: Sequence[ModelUse]) -> Values:
    titles, rows = words.model_rows(models)
    return {
        "titles": titles,
        "rows": rows,
        "short": [model.name for model in models if words.falls_short(model)],
        "notes": [(model.name, note) for model in models for note in words.notes(model)],
    }
