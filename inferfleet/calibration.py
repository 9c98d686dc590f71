"""What models were seen to take of cards: `calibration.json` of the user's project, read and written. Pure but for it.

`inferfleet verify` adds what it has measured, `inferfleet plan` shows it beside its estimate; nothing is placed by it.
"""

import contextlib
import fcntl
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal, get_args

from inferfleet import catalogue
from inferfleet.errors import FleetError
from inferfleet.placed import Instance, PlacedGpu
from inferfleet.spec import Model, tagged

Source = Literal["nvml", "ollama"]
FILE = Path("calibration.json")
"""Where it lies: in the directory where a command is run."""
_FORMAT = 1
# A peak that is larger by less than this, as a fraction, is the same one: a driver's count varies from run to run.
_NEWS = 0.01
_MEND = "mend it, or remove it and run verify --calibrate"


@dataclass(frozen=True)
class Setting:
    """How a model was served, as far as its memory follows from it.

    Attributes:
        engine: `ollama`.
        version: the engine's.
        context: tokens of each request as they are asked for, before the engine cuts them to the model's own.
        parallel: requests at once.
        kv_cache_type: type of the cache.
        flash_attention: on or off.
        batch: `num_batch`, where the model has one of its own.
        card: name of the card, with its memory where that is declared; several kinds joined by ` + `.
        cards: over how many it was split.
    """

    engine: str
    version: str
    context: int
    parallel: int
    kv_cache_type: str
    flash_attention: bool
    batch: int | None
    card: str
    cards: int


@dataclass(frozen=True)
class Measurement:
    """What one model took of its cards.

    Attributes:
        model: its full name.
        weights: digest of its weights; None where that was not known.
        pin: another digest, of its manifest, that it was pinned by.
        setting: how it was served.
        peak_bytes: the most that was seen, on all of its cards together.
        measured_by: `nvml`, the driver's count of its processes, or `ollama`, the engine's own count of its buffers,
            which lacks what the driver adds for each process.
        date: of the measurement, as `2026-01-31`.
    """

    model: str
    weights: str | None
    pin: str | None
    setting: Setting
    peak_bytes: int
    measured_by: Source
    date: str

    @property
    def key(self) -> tuple[object, ...]:
        """What there is one measurement of."""
        return (self.model, self.weights, self.setting)

    def __str__(self) -> str:
        """`llama2:13b takes 19.6 GiB on 2 x A30`."""
        count = f"{self.setting.cards} x " if self.setting.cards > 1 else ""
        return f"{self.model} takes {self.peak_bytes / 2**30:.1f} GiB on {count}{self.setting.card}"


# Every key of an entry and what it holds; those that may be None are left out then.
_OPTIONAL = {"weights": str, "pin": str, "batch": int}
_KINDS: Mapping[str, type] = {
    **{"model": str, "weights": str, "pin": str, "engine": str, "version": str, "context": int, "parallel": int},
    **{"kv_cache_type": str, "flash_attention": bool, "batch": int, "card": str, "cards": int},
    **{"peak_bytes": int, "measured_by": str, "date": str},
}
_SETTING = [one.name for one in fields(Setting)]


def setting_of(model: Model, instance: Instance) -> Setting:
    """How an instance serves a model."""
    one, own = instance.settings, model.parameters
    return Setting(
        engine=instance.engine,
        version=one.version,
        context=own.get("num_ctx") or one.context,
        parallel=one.parallel,
        kv_cache_type=one.kv_cache_type,
        flash_attention=one.flash_attention,
        batch=own.get("num_batch"),
        card=" + ".join(sorted({_card(gpu) for gpu in instance.gpus})),
        cards=len(instance.gpus),
    )


def _card(gpu: PlacedGpu) -> str:
    """One name for a kind of card, however the inventory spells it."""
    known = catalogue.find(gpu.model)
    return (known.name if known else gpu.model) + (f" {gpu.vram_gib:g} GiB" if gpu.vram_gib else "")


def digest_of(name: str, models: Mapping[str, Model]) -> str | None:
    """The digest that is declared for a model, of weights or manifest: its own, else that of what it is made from."""
    by_tag = {tagged(one): model for one, model in models.items()}
    following, seen = tagged(name), set[str]()
    while (model := by_tag.get(following)) and following not in seen:
        if declared := f"sha256:{model.sha256}" if model.sha256 else model.pin:
            return declared
        seen.add(following)
        following = model.source_name or ""
    return None


def peak(measurements: Iterable[Measurement], model: str, digest: str | None, setting: Setting) -> Measurement | None:
    """What was measured for a model: the driver's count before the engine's, then the newest.

    Args:
        measurements: all that there are.
        model: its name, by which it is known where a digest is not known on both sides.
        digest: declared for it, of weights or manifest.
        setting: how it shall be served; of any other setting a measurement says nothing.
    """
    found = [one for one in measurements if one.setting == setting and _is_of(one, tagged(model), digest)]
    return max(found, key=lambda one: (one.measured_by == "nvml", one.date, one.peak_bytes), default=None)


def _is_of(one: Measurement, model: str, digest: str | None) -> bool:
    if digest is None or one.weights is None:
        return one.model == model
    return digest in (one.weights, one.pin)


def read(path: Path) -> tuple[Measurement, ...]:
    """The measurements of a file; none where there is no such file.

    Raises:
        FleetError: it cannot be read, or says something that is no measurement.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return ()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no text"
        raise FleetError(f"{path}: cannot be read ({why})", _MEND) from error
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise FleetError(f"{path}: is no JSON ({error})", _MEND) from error
    if not isinstance(found, dict) or not isinstance(found.get("measurements"), list):
        raise FleetError(f"{path}: holds no list of measurements", _MEND)
    if found.get("format") != _FORMAT:
        newer = f"is of format {found.get('format')!r}, this version knows {_FORMAT}"
        raise FleetError(f"{path}: {newer}", "update inferfleet, or remove it and run verify --calibrate")
    return tuple(_measurement(path, number, entry) for number, entry in enumerate(found["measurements"]))


def _measurement(path: Path, number: int, entry: Any) -> Measurement:
    if wrong := _wrong(entry):
        raise FleetError(f"{path}: measurements[{number}]: {wrong}", _MEND)
    whole = {**dict.fromkeys(_OPTIONAL), **entry}
    setting = Setting(**{name: whole.pop(name) for name in _SETTING})
    return Measurement(setting=setting, **whole)


def _wrong(entry: Any) -> str:
    """Why an entry is no measurement."""
    if not isinstance(entry, dict):
        return f"is no object (got {entry!r})"
    for name in entry:
        if name not in _KINDS:
            return f"{name!r} is no key of a measurement"
    for name, kind in _KINDS.items():
        if name not in entry:
            if name not in _OPTIONAL:
                return f"{name} is missing"
        # A boolean is an int to Python.
        elif type(entry[name]) is not kind or (kind is int and entry[name] < 1):
            what = {str: "a text", int: "a whole number, 1 or more", bool: "true or false"}[kind]
            return f"{name} must be {what} (got {entry[name]!r})"
    if entry["measured_by"] not in get_args(Source):
        return f"measured_by must be {' or '.join(get_args(Source))} (got {entry['measured_by']!r})"
    return ""


def append(path: Path, measurements: Iterable[Measurement]) -> tuple[Measurement, ...]:
    """Add measurements to a file, which is made where it is missing; it is not touched where they say nothing new.

    Of the same model in the same setting the driver's count stays before the engine's, and the larger one.

    Returns:
        What the file says now and did not say before.

    Raises:
        FleetError: the file cannot be read or written.
    """
    try:
        with _alone(path):
            before = read(path)
            after = merged(before, measurements)
            if learned := tuple(one for one in after if one not in before):
                _write(path, after)
            return learned
    except OSError as error:
        why = error.strerror or str(error)
        raise FleetError(f"{path}: cannot be written ({why})", "run verify where you may write") from error


def merged(before: Sequence[Measurement], new: Iterable[Measurement]) -> tuple[Measurement, ...]:
    """The best measurement of each key, in an order that depends on nothing else."""
    best = {one.key: one for one in sorted(before, key=_worth)}
    # The largest first: a second one of the same run is then no news.
    for one in sorted(new, key=_worth, reverse=True):
        old = best.get(one.key)
        if old is None or _is_news(old, one):
            best[one.key] = replace(one, pin=one.pin or (old.pin if old else None))
        elif one.pin and one.pin != old.pin:
            best[one.key] = replace(old, pin=one.pin)
    return tuple(sorted(best.values(), key=lambda one: json.dumps(_entry(one))))


def _worth(one: Measurement) -> tuple[bool, int]:
    return one.measured_by == "nvml", one.peak_bytes


def _is_news(old: Measurement, new: Measurement) -> bool:
    if old.measured_by != new.measured_by:
        return new.measured_by == "nvml"
    return new.peak_bytes > old.peak_bytes * (1 + _NEWS)


def _entry(one: Measurement) -> dict[str, Any]:
    """A measurement as it stands in the file; what identifies it comes first, so that it is the order, too."""
    values = {**asdict(one), **asdict(one.setting)}
    return {name: values[name] for name in _KINDS if values[name] is not None}


@contextlib.contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Nobody else writes the file meanwhile; the directory is what is locked, so that no file of locks lies about."""
    handle = os.open(path.resolve().parent, os.O_RDONLY)
    try:
        # NFS locks no directories. The file is whole even so; of two runs at once one may be forgotten.
        with contextlib.suppress(OSError):
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _write(path: Path, measurements: Iterable[Measurement]) -> None:
    """The whole file or none of it; through a link, and with the mode that it had."""
    real = path.resolve()
    part = real.with_name(f".{real.name}.part")
    text = json.dumps({"format": _FORMAT, "measurements": [_entry(one) for one in measurements]}, indent=1)
    part.write_text(text + "\n", encoding="utf-8")
    if real.exists():
        shutil.copymode(real, part)
    os.replace(part, real)
