"""Ask a host about its NVIDIA cards: one command for `sh`, and one answer as data.

gather.sh   runs on the host: what files, packages, units and the kernel's log say, in sections
nvml.py     runs on the host, in its python3: NVML through NVIDIA's own nvidia-ml-py
pack        both of these as one command that leaves no file behind
smi         reads what `nvidia-smi` says, where the host has no python3 or no NVML
sections    reads all sections into one answer, with what `system` reads of the host itself
"""

from inferfleet.probe.pack import command
from inferfleet.probe.sections import answer

__all__ = ["answer", "command"]
