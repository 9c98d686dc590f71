"""Two real hosts on this machine (`inferfleet lab up`): one with a software card, one with two instances on the CPU."""

from inferfleet import ssh as _ssh
from inferfleet.lab import current as _current
from inferfleet.lab import ssh_data as _ssh_data

_ssh.use()

_mirror = f"http://{_current().gateway}"
_sources = {"ollama": f"{_mirror}/ollama", "models": _mirror}


def _host(name, **data):
    return name, {**_ssh_data(name), "sources": _sources, **data}


gpu = [_host("gpu1", gpus=[{"model": "llvmpipe", "backend": "vulkan"}])]
cpu = [_host("cpu1", instances=[{"engine": "ollama"}, {"engine": "ollama"}])]
