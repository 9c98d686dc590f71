"""Two real hosts on this machine (`inferfleet lab up`): one with a software card, one with two instances on the CPU."""

from inferfleet.lab import ssh_data as _ssh_data

from inferfleet import ssh as _ssh

_ssh.use()

gpu = [("gpu1", {**_ssh_data("gpu1"), "gpus": [{"model": "llvmpipe", "backend": "vulkan"}]})]
cpu = [("cpu1", {**_ssh_data("cpu1"), "instances": [{"engine": "ollama"}, {"engine": "ollama"}]})]
