"""A workstation with 2 x RTX 4090 and 1 x RTX 3090: a model as large as a card, and small ones where there is room."""

_ollama = {"version": "0.32.15", "parallel": 2, "context": 8192, "kv_cache_type": "q8_0", "keep_alive": "forever"}
_models = {
    "qwen2.5:32b": {"engine": "ollama", "replicas": 1},
    "llama3.1:8b": {"engine": "ollama", "replicas": 2},
    "nomic-embed-text": {"engine": "ollama", "replicas": 1, "placement": "pack"},
}

gpu = (
    [("desk.example.net", {"gpus": ["RTX 4090", "RTX 4090", "RTX 3090"], "ram_gib": 128, "disk_gib": 400})],
    {"engines": {"ollama": _ollama}, "models": _models},
)
