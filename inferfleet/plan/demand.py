"""What a model takes on an instance: its size, and the engine's settings there."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from inferfleet.errors import FleetError
from inferfleet.memory import ModelSize, Need, Serving, llama_cpp, servers
from inferfleet.memory.ollama_batch import predicted
from inferfleet.memory.sizes import size_of
from inferfleet.placed import Instance
from inferfleet.plan.capacity import GIB
from inferfleet.spec import Fleet, Model, OllamaEngine, ServerEngine, tagged

# Texts are embedded as a whole: such models have short contexts, and no one means the engine's for them.
_EMBEDDING = ("bert", "nomic-bert", "nomic-bert-moe", "jina-bert-v2", "jina-bert-v3", "t5encoder")


@dataclass(frozen=True)
class Demand:
    """What one model takes on instances with the same settings.

    Attributes:
        runner: names the weights; models with the same share one runner, and its memory.
        need: what it takes.
        layers: of the model, which cards that share it get whole; 0 where it is not known.
        serving: the settings that it is for; None where `vram_gib` says what it takes.
        predicted: what the engine believes that it takes, by which it decides whether another model must go.
        notes: what a user should know of it; empty ones are none.
    """

    runner: str
    need: Need
    layers: int
    serving: Serving | None
    predicted: int = 0
    notes: tuple[str, ...] = ()

    @property
    def size(self) -> int:
        """By which demands are compared: all that it takes, wherever that is."""
        return self.need.total or self.need.host

    def on_cards(self, usable: tuple[int, ...]) -> tuple[int, ...]:
        """Bytes on each card: engines that split a model by layers fill cards by their size, up to a layer more."""
        if len(usable) == 1:
            return (self.need.per_card,)
        split = self.need.weights + self.need.kv_cache
        layer = split // self.layers if self.layers else 0
        room_in_all = sum(usable)
        return tuple(split * room // room_in_all + layer + self.need.overhead for room in usable)


class Demands:
    """Every model's demand on every sort of instance; each is calculated once.

    Args:
        fleet: the declared models.
        sizes: what is known of them already; None to find out.

    Attributes:
        mistakes: one line for each model whose size cannot be told; for those nothing may be asked.
    """

    def __init__(self, fleet: Fleet, sizes: Mapping[str, ModelSize] | None = None) -> None:
        self._models = dict(fleet.models)
        self._by_tag = {tagged(name): name for name in self._models}
        self._made: dict[tuple[object, ...], Demand] = {}
        self._sizes: dict[str, ModelSize] = {}
        self.mistakes = self._read() if sizes is None else []
        self._sizes.update(sizes or {})

    def of_same_sizes(self, fleet: Fleet) -> "Demands":
        """Those of a fleet whose models have the same weights and other settings."""
        return Demands(fleet, self._sizes)

    def _read(self) -> list[str]:
        found = []
        for name, model in self._models.items():
            try:
                if model.vram_gib is None:
                    self._sizes[name] = self._size(name)
            except FleetError as error:
                found.append(str(error))
        return found

    def size(self, name: str) -> ModelSize | None:
        """A model's size; None where `vram_gib` says what it takes."""
        return self._sizes.get(name)

    def runner(self, name: str) -> str:
        """Names the weights that a model is made of."""
        seen = [name]
        while source := self._models[seen[-1]].source if seen[-1] in self._models else None:
            following = self._by_tag.get(tagged(source), source)
            if following in seen:
                break
            seen.append(following)
        return tagged(seen[-1])

    def of(self, name: str, instance: Instance, memory: int) -> Demand:
        """What a model takes on an instance.

        Args:
            name: the model.
            instance: where it shall run.
            memory: what the instance's cards, empty, leave to engines, by which Ollama chooses its batch.
        """
        one = instance.settings
        settings = (one.context, one.parallel, one.kv_cache_type, one.flash_attention)
        key = (name, settings, len(instance.gpus), memory)
        if key not in self._made:
            self._made[key] = self._demand(name, one, len(instance.gpus), memory)
        return self._made[key]

    def served(self, name: str, settings: ServerEngine) -> Demand:
        """What a replica takes that has an engine of its own, `settings` being its own as well."""
        key = (name, settings.context, settings.parallel, settings.kv_cache_type)
        if key not in self._made:
            self._made[key] = self._served(name, settings)
        return self._made[key]

    def _served(self, name: str, settings: ServerEngine) -> Demand:
        model = self._models[name]
        cards = model.tensor_parallel * model.pipeline_parallel
        if model.vram_gib is not None:
            return self._given(name, model.vram_gib, cards)
        size = self._sizes[name]
        context = min(settings.context, size.shape.max_context)
        serving = Serving(
            *(model.engine, context, settings.parallel, settings.kv_cache_type, True, cards, model.pipeline_parallel)
        )
        return Demand(self.runner(name), _careful(servers.need(size, serving), size), 0, serving)

    def _given(self, name: str, gib: float, cards: int) -> Demand:
        given = max(int(gib * GIB), 1)
        on_cards, host = (given, 0) if cards else (0, given)
        return Demand(self.runner(name), Need(on_cards, 0, 0, host, given, 0, 0, cards), 0, None)

    def _demand(self, name: str, settings: OllamaEngine, cards: int, memory: int) -> Demand:
        model = self._models[name]
        if model.vram_gib is not None:
            return self._given(name, model.vram_gib, cards)
        size = self._sizes[name]
        context, note = context_of(model, settings, size)
        batch = model.parameters.get("num_batch")
        asked = Serving(
            "ollama", context, settings.parallel, settings.kv_cache_type, settings.flash_attention, cards, batch=batch
        )
        serving = llama_cpp.as_run(size.shape, asked)
        alone = "answers one request at a time, whatever parallel is" if serving.parallel < asked.parallel else ""
        need = _careful(llama_cpp.need(size, serving, memory or None), size)
        layers = sum(attention.layers for attention in size.shape.attention)
        return Demand(self.runner(name), need, layers, serving, predicted(size, serving), (note, alone))

    def _size(self, name: str) -> ModelSize:
        """By its own declared shape, by that of the declared model that it is made from, or by its name."""
        declared, seen = name, {name}
        while (model := self._models[declared]).shape is None and (above := self._by_tag.get(model.source_name or "")):
            if above in seen:
                break
            declared = above
            seen.add(above)
        if isinstance(model.shape, str):
            return size_of(name, source=f"file:{model.shape}", format=model.format)
        # A file lies on the hosts; another of that path may lie here.
        known_as = name if model.is_file else model.source or declared
        return size_of(name, source=known_as, format=model.format, shape=model.shape)


def _careful(need: Need, size: ModelSize) -> Need:
    """The same, with as much to stay free as the weights may be larger than they are known to be."""
    return replace(need, margin=need.margin + int(need.weights * size.error) // max(need.cards, 1))


def context_of(model: Model, settings: OllamaEngine, size: ModelSize) -> tuple[int, str]:
    """The context that a model gets, and a note where it is not the engine's.

    Ollama cuts a context to what the model was made for (0.32.15 `llm/llama_server.go`).
    """
    most, wanted = size.shape.max_context, model.parameters.get("num_ctx") or settings.context
    if wanted <= most:
        return int(wanted), ""
    return most, f"context {most}, which it was made for, not {wanted}"


def context_mistake(name: str, model: Model, settings: OllamaEngine | ServerEngine, size: ModelSize) -> str | None:
    """Why a context that was asked for cannot be had."""
    most = size.shape.max_context
    if isinstance(settings, ServerEngine):
        asked = model.context or (settings.context if "context" in settings.model_fields_set else 0)
        where = f"models.{name}" + ".context" * bool(model.context)
        return (
            f"{where}: {asked} is beyond the {most} it was made for; set its context to {most}"
            if asked > most
            else None
        )
    own = model.parameters.get("num_ctx")
    if own is not None and own > most:
        return f"models.{name}.parameters: num_ctx {own} is beyond the {most} it was made for; lower num_ctx"
    asked = own is None and "context" in settings.model_fields_set and size.shape.architecture not in _EMBEDDING
    if asked and settings.context > most:
        return (
            f"models.{name}: context {settings.context} is beyond the {most} it was made for; "
            f"set engines.ollama.context to {most}, or serve it under a name of its own "
            f'with "parameters": {{"num_ctx": {most}}}'
        )
    return None
