"""Ollama as facts: its environment, and how an instance is bound to its cards.

Sources: Ollama 0.32.15 `envconfig/config.go` and `docs/gpu.mdx`.
"""

from inferfleet.placed import Instance
from inferfleet.spec.engine import OWNED_ENVIRONMENT

USER = "ollama"
HOME = "/usr/share/ollama"
ROOT = "/opt/inferfleet/ollama"
BINARY = f"{ROOT}/current/bin/ollama"
ARCHIVE = "ollama-linux-{arch}.tar.zst"
# The port inside a container, the one that upstream's image names; Docker publishes it at the instance's own.
CONTAINER_PORT = 11434
# Where nothing is visible, Ollama runs on the CPU: what each backend calls "no card".
_NO_CARD = {"CUDA_VISIBLE_DEVICES": "-1", "ROCR_VISIBLE_DEVICES": "-1", "GGML_VK_VISIBLE_DEVICES": "-1"}
_VISIBLE = {"cuda": "CUDA_VISIBLE_DEVICES", "vulkan": "GGML_VK_VISIBLE_DEVICES"}


def environment(instance: Instance) -> dict[str, str]:
    """The whole environment that a service is started with, in the order it is written."""
    listens = {"HOME": HOME, "OLLAMA_HOST": instance.address}
    return {**listens, **_settings(instance), **_cards(instance), **instance.settings.environment}


def container_environment(instance: Instance) -> dict[str, str]:
    """The whole environment that a container is started with, in the order it is written.

    A container sees no card but its own, so none has to be hidden from Ollama. Images of upstream set
    NVIDIA_VISIBLE_DEVICES=all (Ollama 0.32.15 Dockerfile): where somebody made `nvidia` Docker's default runtime, that
    would let every card in.
    """
    listens = {"HOME": HOME, "OLLAMA_HOST": f"0.0.0.0:{CONTAINER_PORT}", "NVIDIA_VISIBLE_DEVICES": "void"}
    no_card = {} if instance.gpus else _NO_CARD
    return {**listens, **_settings(instance), **no_card, **instance.settings.environment}


def is_setting(name: str) -> bool:
    """Whether a variable is one of ours, so that its value may be shown; the others are the user's own."""
    return name in OWNED_ENVIRONMENT


def different(name: str, got: str | None, declared: str) -> str:
    """A variable that is not as declared, in words; of those that are the user's own no value is shown."""
    if not is_setting(name):
        return f"another {name} than is declared" if got is not None else f"no {name}, one is declared"
    return f"{name}={got if got is not None else '(unset)'}, declared is {declared}"


def _settings(instance: Instance) -> dict[str, str]:
    """Every setting whose default depends on the hardware is in it."""
    settings = instance.settings
    # Else Ollama puts on one card alone what it believes to fit there (0.32.15 server/sched.go, bestSingleGPUFit), by
    # an estimate that knows neither buffers nor wide heads; the plan has a part of each model on each card.
    spread = {"OLLAMA_SCHED_SPREAD": "1"} if len(instance.gpus) > 1 else {}
    return {
        "OLLAMA_MODELS": settings.models_dir,
        "OLLAMA_NUM_PARALLEL": str(settings.parallel),
        "OLLAMA_MAX_LOADED_MODELS": str(settings.max_loaded_models),
        "OLLAMA_MAX_QUEUE": str(settings.max_queue),
        "OLLAMA_KEEP_ALIVE": "-1" if settings.keep_alive == "forever" else settings.keep_alive,
        "OLLAMA_LOAD_TIMEOUT": "-1" if settings.load_timeout == "forever" else settings.load_timeout,
        "OLLAMA_CONTEXT_LENGTH": str(settings.context),
        "OLLAMA_FLASH_ATTENTION": "1" if settings.flash_attention else "0",
        "OLLAMA_KV_CACHE_TYPE": settings.kv_cache_type,
        **spread,
        # Instances of a node share one store: none may clean up what another is fetching (docs: one puller).
        "OLLAMA_NOPRUNE": "1",
        "OLLAMA_NO_CLOUD": "1",
    }


def _cards(instance: Instance) -> dict[str, str]:
    """Which cards the instance sees: by UUID where each has one, else by index, in the order of `nvidia-smi`.

    CUDA alone would count the fastest card first (CUDA programming guide, environment variables).
    """
    by_uuid = all(gpu.uuid for gpu in instance.gpus)
    visible: dict[str, list[str]] = {}
    for gpu in instance.gpus:
        visible.setdefault(_VISIBLE[gpu.backend], []).append(str((by_uuid and gpu.uuid) or gpu.index))
    order = {"CUDA_DEVICE_ORDER": "PCI_BUS_ID"} if "CUDA_VISIBLE_DEVICES" in visible else {}
    return {**order, **_NO_CARD, **{name: ",".join(cards) for name, cards in visible.items()}}
