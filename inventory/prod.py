"""The production fleet: hosts and their cards, nothing else. What runs on them is in group_data/."""

from inferfleet import ssh as _ssh

_ssh.use()

gpu = [
    ("gpu1.example.net", {"gpus": ["A30"] * 4}),
    # A card is found by its UUID where one is declared (`nvidia-smi -L`), else by its position.
    # ("gpu2.example.net", {"gpus": [{"model": "RTX 4090", "uuid": "GPU-8f1c2d3e-..."}]}),
]
