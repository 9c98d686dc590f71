"""Which kernel modules and driver branches a generation of cards needs."""

import pytest

from inferfleet.engines import nvidia_cards
from inferfleet.engines.nvidia_cards import modules_for, of_device, of_host, of_name, why_no_branch

# PCI device number (pci.ids) and usual name of one card each -> generation.
CARDS = {
    ("102d", "K80"): "Kepler", ("13f2", "M60"): "Maxwell", ("17fd", "M40"): "Maxwell", ("1b38", "P40"): "Pascal",
    ("15f8", "Tesla P100-PCIE-16GB"): "Pascal", ("1c03", "GTX 1060"): "Pascal", ("1db4", "V100"): "Volta",
    ("1db6", "Tesla V100-PCIE-32GB"): "Volta", ("1eb8", "T4"): "Turing", ("1e07", "RTX 2080 Ti"): "Turing",
    ("2182", "GTX 1660 Ti"): "Turing", ("20b7", "A30"): "Ampere", ("20b2", "A100-SXM4-80GB"): "Ampere",
    ("2204", "GeForce RTX 3090"): "Ampere", ("2236", "A10"): "Ampere", ("26b9", "L40S"): "Ada", ("27b8", "L4"): "Ada",
    ("27b0", "RTX 4000 SFF Ada Generation"): "Ada", ("2684", "RTX 4090"): "Ada", ("2330", "H100 80GB HBM3"): "Hopper",
    ("2335", "H200"): "Hopper", ("2342", "GH200 480GB"): "Grace Hopper", ("2901", "B200"): "Blackwell",
    ("2b85", "RTX 5090"): "Blackwell", ("2bb5", "RTX PRO 6000 Blackwell Server Edition"): "Blackwell",
}  # fmt: skip


@pytest.mark.parametrize(("card", "generation"), CARDS.items(), ids=lambda value: str(value))
def test_generation(card: tuple[str, str], generation: str) -> None:
    device, name = card
    by_name = of_name(name)
    assert (of_device(device).name, by_name and by_name.name) == (generation, generation)


def test_a_name_that_is_not_known() -> None:
    assert of_name("Riva TNT2") is None


# Generation -> what is taken by default, and with each declared.
FLAVOURS = {
    "Maxwell": ("proprietary", None, "proprietary"), "Pascal": ("proprietary", None, "proprietary"),
    "Volta": ("proprietary", None, "proprietary"), "Turing": ("open", "open", "proprietary"),
    "Ampere": ("open", "open", "proprietary"), "Ada": ("open", "open", "proprietary"),
    "Hopper": ("open", "open", "proprietary"), "Grace Hopper": ("open", "open", None),
    "Blackwell": ("open", "open", None),
}  # fmt: skip


@pytest.mark.parametrize("name", FLAVOURS)
def test_modules(name: str) -> None:
    """Row 14 of the failure catalogue: open modules on Pascal leave a host without cards."""
    device = next(device for (device, _), generation in CARDS.items() if generation == name)
    cards = {"the card": of_device(device)}
    assert tuple(modules_for(cards, wanted)[0] for wanted in (None, "open", "proprietary")) == FLAVOURS[name]


MIXED = {
    ("P40", "RTX 3090", None): ("proprietary", ""),
    ("P40", "H100", None): ("proprietary", ""),
    ("P40", "H100", "open"): (None, "the P40 is Pascal, which needs proprietary kernel modules, not open"),
    ("H100", "B200", "proprietary"): (None, "the B200 is Blackwell, which needs open kernel modules, not proprietary"),
    ("P40", "B200", None): (
        None,
        "the P40 is Pascal and the B200 is Blackwell, which no kernel module drives together",
    ),
}


@pytest.mark.parametrize(("host", "modules"), MIXED.items(), ids=lambda value: str(value))
def test_two_generations_in_one_host(host: tuple[str, str, nvidia_cards.Modules | None], modules: object) -> None:
    assert modules_for(of_host(host[:2], None), host[2]) == modules


def test_the_bus_counts_for_more_than_what_is_declared() -> None:
    found = of_host(["A30"], [{"slot": "0000:17:00.0", "device": "1b38", "kind": "card", "driver": None}])
    assert {name: generation.name for name, generation in found.items()} == {"the card at 0000:17:00.0": "Pascal"}


@pytest.mark.parametrize(
    ("model", "branch", "why"),
    [
        ("P40", "580", ""),
        ("P40", "590", "the P40 is Pascal, whose last driver branch is 580, not 590"),
        ("B200", "550", "the B200 is Blackwell, whose first driver branch is 570, not 550"),
        ("A30", "620", ""),
    ],
)
def test_branches(model: str, branch: str, why: str) -> None:
    assert why_no_branch(of_host([model], None), branch) == why
