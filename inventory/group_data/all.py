"""What runs on the fleet. Every setting and its default: the inventory reference in inferfleet's docs."""

_sudo = True

models = {
    "llama2:13b": {"engine": "ollama"},
}

engines = {
    "ollama": {"version": "0.32.15", "parallel": 4, "context": 4096, "keep_alive": "forever", "flash_attention": True},
}
