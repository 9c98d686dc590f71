"""The lab: a tiny model from the lab's own mirror."""

from inferfleet.lab import current as _current
from inferfleet.lab.model import QA as _QA

_mirror = f"http://{_current().gateway}"

sources = {"ollama": f"{_mirror}/ollama", "models": _mirror}

models = {
    "tiny": {"engine": "ollama", "expect": dict(_QA)},
}

engines = {
    "ollama": {"version": "0.32.15", "parallel": 4, "context": 4096, "keep_alive": "forever", "flash_attention": True},
}
