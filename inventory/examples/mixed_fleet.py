"""Fifty hosts with six kinds of cards: what a platform team has after five years."""

_ollama = {"version": "0.32.15", "runtime": "docker", "parallel": 4, "context": 8192, "keep_alive": "forever"}
_models = {
    # On the large cards, and enough of it that one host may go.
    "llama3.3:70b": {"engine": "ollama", "replicas": 14, "load": 20},
    # Each replica on a host of its own: the loss of any of them costs one.
    "qwen2.5:32b": {"engine": "ollama", "replicas": 12, "placement": "spread", "load": 40},
    "nomic-embed-text": {"engine": "ollama", "replicas": 6, "placement": "spread"},
    # On every card that has room left.
    "llama3.1:8b": {"engine": "ollama", "replicas": "fitting", "load": 300},
}


def _hosts(kind, count, first=1, **data):
    return [(f"{kind}{number:02d}.example.net", data) for number in range(first, first + count)]


def _group(hosts, **ollama):
    return hosts, {"engines": {"ollama": {**_ollama, **ollama}}, "models": _models}


h100 = _group(_hosts("h100-", 2, gpus=["H100 80GB"] * 8, ram_gib=1024, disk_gib=3500))
a100 = _group(_hosts("a100-", 4, gpus=["A100 40GB"] * 4, ram_gib=512, disk_gib=1800))
a30 = _group(_hosts("a30-", 14, gpus=["A30"] * 4, ram_gib=256, disk_gib=900))
l40s = _group(_hosts("l40s-", 8, gpus=["L40S"] * 2, ram_gib=256, disk_gib=900))
desks = _group(_hosts("desk-", 12, gpus=["RTX 4090", "RTX 3090"], ram_gib=128, disk_gib=400), runtime="native")
old = _group(_hosts("old-", 10, gpus=["P40", "T4"], ram_gib=64, disk_gib=200), runtime="native", parallel=1)
