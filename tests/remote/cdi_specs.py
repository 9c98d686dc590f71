"""CDI specifications as nvidia-ctk writes them: the layout of 1.20.1, cut to what tells cards apart."""

import json
from typing import Any

import yaml

A, B, C = (f"GPU-{letter * 8}-6815-5583-89e3-67de57363368" for letter in "abc")
SLICE = "MIG-dddddddd-6815-5583-89e3-67de57363368"
DRIVER = "550.163.01"
_HEAD = "---\ncdiVersion: 0.5.0\nkind: nvidia.com/gpu\ndevices:\n"
_DEVICE = """    - name: {name}
      containerEdits:
        deviceNodes:
            - path: {path}
              major: 195
              fileMode: 438
              permissions: rwm
        hooks:
            - hookName: createRuntime
              path: /usr/bin/nvidia-cdi-hook
              args:
                - nvidia-cdi-hook
                - apply-cuda-memory-limits
                - --driver-root
                - ""
"""
_COMMON = """containerEdits:
    env:
        - NVIDIA_VISIBLE_DEVICES=void
    deviceNodes:
        - path: /dev/nvidiactl
          major: 195
          minor: 255
    hooks:
        - hookName: createContainer
          path: /usr/bin/nvidia-cdi-hook
          args:
            - nvidia-cdi-hook
            - create-symlinks
            - --link
            - libcuda.so.{driver}::/usr/lib/x86_64-linux-gnu/libcuda.so.1
    mounts:
        - hostPath: /usr/lib/x86_64-linux-gnu/libcuda.so.{driver}
          containerPath: /usr/lib/x86_64-linux-gnu/libcuda.so.{driver}
          options:
            - ro
            - rbind
"""


def yaml_of(*cards: str, driver: str = DRIVER) -> str:
    """The file for these cards, the first as /dev/nvidia0, as `nvidia-ctk cdi generate` writes it."""
    names = [(f'"{minor}"', minor) for minor in range(len(cards))]
    names += sorted((uuid, minor) for minor, uuid in enumerate(cards))
    devices = "".join(_DEVICE.format(name=name, path=f"/dev/nvidia{minor}") for name, minor in names)
    return _HEAD + devices + _COMMON.format(driver=driver)


def json_of(*cards: str, driver: str = DRIVER) -> str:
    """The same with `--format=json`."""
    return json.dumps(yaml.safe_load(yaml_of(*cards, driver=driver)))


def old_yaml_of(*cards: str) -> str:
    """The same as sigs.k8s.io/yaml writes it (nvidia-ctk until 1.13): keys sorted, lists not indented."""
    text: Any = yaml.safe_dump(yaml.safe_load(yaml_of(*cards)))
    return str(text)
