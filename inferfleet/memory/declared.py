"""A model's shape as a user writes it in an inventory: checked, one line for each mistake. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import fields

from inferfleet.errors import SpecError
from inferfleet.memory.form import Form
from inferfleet.memory.tensors import parameters
from inferfleet.memory.types import Shape

_FIELDS = {field.name: field for field in fields(Form)}
_NEEDED = ("layers", "hidden", "heads", "kv_heads", "ffn", "vocab", "max_context")
_BIASES = ("none", "qkv", "all")
# So that a slip of the keyboard (a million layers) does not become a long computation.
_MOST = {"layers": 2000, "experts": 10_000}

Mistake = tuple[str, str]


class ShapeError(ValueError):
    """What is declared is no shape.

    Args:
        mistakes: each as what is wrong (`kv_heads: ...`) and what to do.
    """

    def __init__(self, mistakes: list[Mistake]) -> None:
        self.mistakes = tuple(mistakes)
        super().__init__("\n".join(f"{wrong}; {todo}" for wrong, todo in mistakes))


def parse_form(data: Mapping[str, object]) -> Form:
    """The form that a user declares; its keys are those of `Form`.

    Raises:
        ShapeError: with every mistake.
    """
    mistakes = [*_of_keys(data), *_of_values(data)]
    if mistakes:
        raise ShapeError(mistakes)
    form = Form(**data)  # type: ignore[arg-type]  # checked just now
    if inconsistent := list(_of_form(form)):
        raise ShapeError(inconsistent)
    return form


def parse_shape(data: Mapping[str, object]) -> Shape:
    """The shape that a user declares.

    Raises:
        ShapeError: with every mistake.
    """
    form = parse_form(data)
    return form.shape(parameters(form))


def declared_form(data: Mapping[str, object], where: str) -> Form:
    """As `parse_form`, for callers that end in a line for the user.

    Raises:
        SpecError: one line for each mistake, each beginning with `where`.
    """
    try:
        return parse_form(data)
    except ShapeError as error:
        raise SpecError(f"{where}.{wrong}; {todo}" for wrong, todo in error.mistakes) from error


def _of_keys(data: Mapping[str, object]) -> Iterator[Mistake]:
    for name in data:
        if name not in _FIELDS:
            yield f"{name}: is no part of a shape", f"write one of {', '.join(_FIELDS)}"
    for name in _NEEDED:
        if name not in data:
            yield f"{name}: is missing", "the model's config.json has it"


def _of_values(data: Mapping[str, object]) -> Iterator[Mistake]:
    for name, value in data.items():
        if name not in _FIELDS:
            continue
        kind = _FIELDS[name].type
        if kind is bool and not isinstance(value, bool):
            yield f"{name}: is neither True nor False (got {value!r})", "write one of them"
        elif kind is str and (not isinstance(value, str) or not value):
            yield f"{name}: is no word (got {value!r})", "write it in quotes"
        elif kind is int:
            yield from _of_number(name, value)
    if isinstance(bias := data.get("bias", "none"), str) and bias not in _BIASES:
        yield f"bias: is no kind of bias (got {bias!r})", f"write one of {', '.join(_BIASES)}"


def _of_number(name: str, value: object) -> Iterator[Mistake]:
    least = 1 if name in _NEEDED else 0
    if not isinstance(value, int) or isinstance(value, bool):
        yield f"{name}: is no whole number (got {value!r})", "the model's config.json has it"
    elif value < least:
        yield f"{name}: is less than {least} (got {value})", "the model's config.json has it"
    elif value > _MOST.get(name, 2**40):
        yield f"{name}: is more than any model has (got {value})", "the model's config.json has it"


def _of_form(form: Form) -> Iterator[Mistake]:
    if form.heads % form.kv_heads:
        yield (
            f"kv_heads: does not divide heads (got {form.kv_heads} for {form.heads} heads)",
            "config.json calls it num_key_value_heads",
        )
    if not form.head_dim and form.hidden % form.heads:
        yield f"head_dim: is missing, and {form.heads} heads do not divide hidden {form.hidden}", "write head_dim"
    if form.experts and not 0 < form.experts_used <= form.experts:
        yield (
            f"experts_used: is not between 1 and experts {form.experts} (got {form.experts_used})",
            "config.json calls it num_experts_per_tok",
        )
    if not form.experts and (form.experts_used or form.expert_ffn or form.shared_ffn or form.dense_layers):
        yield "experts: is missing, and other numbers speak of experts", "write how many experts a layer has"
    for name, least in (("dense_layers", form.layers), ("full_every", form.layers)):
        if getattr(form, name) > least:
            yield f"{name}: is more than its {form.layers} layers (got {getattr(form, name)})", "write fewer"
    if form.full_every and not form.window:
        yield "window: is missing, and full_every speaks of windowed layers", "write how far they look back"
    if form.latent_rope and not form.latent:
        yield "latent: is missing, and latent_rope speaks of MLA", "config.json calls it kv_lora_rank"
    if form.latent and form.latent_rope >= form.key_dim:
        yield (
            f"latent_rope: is not less than head_dim {form.key_dim} (got {form.latent_rope})",
            "head_dim holds qk_nope_head_dim and qk_rope_head_dim together",
        )
