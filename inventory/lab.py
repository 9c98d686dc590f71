"""Real hosts on this machine (`inferfleet lab up`): a container for each of four A30 (doubles); services on the CPU.

A neighbour can ask the containers: they listen on the host's address in the lab, and nothing but their ports is open.
"""

from inferfleet import ssh as _ssh
from inferfleet.lab import current as _current
from inferfleet.lab import offered as _offered
from inferfleet.lab import ssh_data as _ssh_data

_ssh.use()

_lab = _current()
_offer = _offered(_lab)


def _host(name, **data):
    return name, {**_ssh_data(name, _lab), "sources": _offer["sources"], **data}


_ollama = {"version": "0.32.15", "keep_alive": "forever", "parallel": 4, "flash_attention": True}
_docker = {"runtime": "docker", "image": _offer["images"]["0.32.15"], "host": _lab.host("gpu1").address}

gpu = [_host("gpu1", gpus=["A30"] * 4, engines={"ollama": {**_ollama, **_docker}})]
cpu = [_host("cpu1", instances=[{"engine": "ollama"}, {"engine": "ollama"}], engines={"ollama": _ollama})]
