"""A laptop without a GPU: Ollama on the CPU, a model that fits its memory."""

laptop = (
    [("localhost", {"instances": [{"engine": "ollama"}], "ram_gib": 16, "disk_gib": 60})],
    {
        "engines": {"ollama": {"version": "0.32.15", "context": 8192, "keep_alive": "5m"}},
        "models": {"llama3.2:3b": {"engine": "ollama"}, "qwen2.5:1.5b": {"engine": "ollama"}},
    },
)
