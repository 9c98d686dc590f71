"""Doubles of NVIDIA cards for lab hosts: no card is here, and everything above a card is real.

A host with declared cards has their device nodes, an NVML library, an `nvidia-smi`, a CUDA library that finds nothing,
and a software GPU in the place of NVIDIA's Vulkan driver. On that stand the real nvidia-ml-py, the real nvidia-ctk and
the real Docker. In reading order:

    catalogue   the cards that are known by name
    conf        the one file per host that says what cards it has and how they are
    driver      the driver double, compiled once, as a tree of files; `double/` holds its sources
    place       cards and driver on a host's disk
    switches    what can go wrong with cards, and back
    cards       `host.gpus`
    debs        the driver double as NVIDIA's packages
"""
