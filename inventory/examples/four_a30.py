"""One box with 4 x A30. Ollama does not run one model on several cards in parallel, so: a container for each card."""

_ollama = {
    "version": "0.32.15",
    "runtime": "docker",
    "parallel": 4,
    "context": 4096,
    "keep_alive": "forever",
    "flash_attention": True,
}
_models = {"llama2:13b": {"engine": "ollama", "load": 12}}

gpu = (
    [("gpu1.example.net", {"gpus": ["A30"] * 4, "ram_gib": 256, "disk_gib": 900})],
    {"engines": {"ollama": _ollama}, "models": _models},
)
