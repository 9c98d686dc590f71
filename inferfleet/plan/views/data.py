"""The capacity of a plan as plain data: every size in bytes, and says so. `docs/reference/plan.md` is its schema."""

from typing import Any

from inferfleet.memory import Need
from inferfleet.plan.capacity import Capacity, CardUse, HostUse, Loss, ModelUse, Refusal, Share


def capacity_data(capacity: Capacity) -> dict[str, Any]:
    """All of it. Keys are only ever added."""
    return {
        "cards": [_card(card) for card in capacity.cards],
        "hosts": [_host(host) for host in capacity.hosts],
        "models": [_model(model) for model in capacity.models],
        "refusals": [_refusal(refusal) for refusal in capacity.refusals],
        "losses": [_loss(loss) for loss in capacity.losses],
    }


def _card(card: CardUse) -> dict[str, Any]:
    return {
        "node": card.node,
        "index": card.gpu.index,
        "model": card.gpu.model,
        "uuid": card.gpu.uuid,
        "backend": card.gpu.backend,
        "total_bytes": card.total,
        "usable_bytes": card.usable,
        "taken_bytes": card.taken,
        "free_bytes": card.free,
        "shares": [_share(share) for share in card.shares],
    }


def _share(share: Share) -> dict[str, Any]:
    return {
        "instance": share.instance,
        "model": share.model,
        "weights_bytes": share.weights,
        "kv_cache_bytes": share.kv_cache,
        "engine_bytes": share.overhead,
        "on_demand": share.waits,
    }


def _host(host: HostUse) -> dict[str, Any]:
    return {
        "node": host.node,
        "ram_bytes": host.ram,
        "ram_taken_bytes": host.ram_taken,
        "disk_bytes": host.disk,
        "disk_taken_bytes": host.disk_taken,
    }


def _model(model: ModelUse) -> dict[str, Any]:
    return {
        "name": model.name,
        "wanted": model.wanted,
        "placed": list(model.placed),
        "copy": _need(model.need) if model.need else None,
        "serving": model.serving,
        "known_from": model.known_from,
        "error": model.error,
        "requests_at_once": model.slots,
        "load": model.load,
        "notes": list(model.notes),
        "requests_at_once_that_fit": model.most,
        "measured_bytes": model.measured,
    }


def _need(need: Need) -> dict[str, Any]:
    return {
        "cards": need.cards,
        "weights_bytes": need.weights,
        "kv_cache_bytes": need.kv_cache,
        "kv_cache_per_sequence_bytes": need.kv_per_sequence,
        "kv_cache_per_token_bytes": need.kv_per_token,
        "engine_per_card_bytes": need.overhead,
        "ram_bytes": need.host,
        "disk_bytes": need.disk,
    }


def _refusal(refusal: Refusal) -> dict[str, Any]:
    return {
        "model": refusal.model,
        "line": refusal.line,
        "steps": list(refusal.steps),
        "changes": [dict(change) for change in refusal.changes],
    }


def _loss(loss: Loss) -> dict[str, Any]:
    return {
        "node": loss.node,
        "card": loss.card,
        "gone": list(loss.gone),
        "fewer": {model: {"left": left, "before": before} for model, (left, before) in loss.fewer.items()},
        "overloaded": {model: {"requests": left, "load": load} for model, (left, load) in loss.overloaded.items()},
    }
