"""The table of cards: it is sane, and cards are found by every name that a driver prints."""

import re
from pathlib import Path

import pytest

from inferfleet.catalogue import Card, cards, find, memory_mistake, names, near
from inferfleet.catalogue.card import GIB, MIB
from inferfleet.lab.gpu.catalogue import MODELS, CardModel

RECORDED = Path(__file__).parents[1] / "plan" / "machines" / "recorded"
WHOLE = [card for card in cards() if card.part_of is None]
SLICES = [card for card in cards() if card.part_of is not None]
by_name = pytest.mark.parametrize("card", cards(), ids=lambda card: card.name)


def known(name: str) -> Card:
    card = find(name)
    assert card is not None, name
    return card


@by_name
def test_leaves_less_than_it_has(card: Card) -> None:
    assert 0 < card.memory - card.usable < max(card.memory * 0.07, 64 * MIB)
    assert card.other_memory is None or 0.03 < abs(card.other_memory / card.memory - 1) < 0.08


@by_name
def test_is_found_by_its_own_name(card: Card) -> None:
    for name in (card.name, card.name.lower(), card.name.replace(" ", "-"), f"NVIDIA {card.name}"):
        assert find(name) == card
    assert near(card.name) == (card.name,)


def test_no_name_twice() -> None:
    assert len(set(names())) == len(names()) == len(cards()) > 100


@pytest.mark.parametrize("card", WHOLE, ids=lambda card: card.name)
def test_slices_fit_into_their_card(card: Card) -> None:
    slices = {part.name: part for part in SLICES if part.part_of == card.name}
    assert len(slices) == len(card.mig)
    for profile, count in card.mig:
        part = slices[f"{card.name} {profile}"]
        sold_gb = float(profile.partition(".")[2].removesuffix("gb"))
        assert count * part.memory <= card.memory
        assert 0.85 < part.memory / (sold_gb * 1e9) < 1.08
        assert part.compute == card.compute and part.generation == card.generation


@pytest.mark.parametrize(
    ("compute", "generation", "end"),
    [((5, 2), "Maxwell", 580), ((6, 1), "Pascal", 580), ((7, 0), "Volta", 580), ((7, 5), "Turing", None),
     ((8, 0), "Ampere", None), ((8, 6), "Ampere", None), ((8, 9), "Ada", None), ((9, 0), "Hopper", None),
     ((10, 0), "Blackwell", None), ((12, 0), "Blackwell", None)],
)  # fmt: skip
def test_generations(compute: tuple[int, int], generation: str, end: int | None) -> None:
    of_it = [card for card in cards() if card.compute == compute]
    assert of_it and {card.generation for card in of_it} == {generation}
    assert {card.last_driver for card in of_it} == {end}
    assert {card.last_cuda for card in of_it} == {(12, 9) if end else None}


# As `nvidia-smi -L`, `--query-gpu=name` or Kubernetes' labels give them.
@pytest.mark.parametrize(
    ("printed", "name"),
    [
        ("NVIDIA A30", "A30"),
        ("Tesla T4", "T4"),
        ("Tesla P40", "P40"),
        ("Tesla V100-SXM2-16GB", "V100 16GB"),
        ("Tesla V100-PCIE-32GB", "V100 32GB"),
        ("Tesla P100-PCIE-16GB", "P100 16GB"),
        ("Tesla M40 24GB", "M40 24GB"),
        ("A100-SXM4-40GB", "A100 40GB"),
        ("NVIDIA A100-PCIE-40GB", "A100 40GB"),
        ("NVIDIA A100 80GB PCIe", "A100 80GB"),
        ("NVIDIA A100-SXM4-80GB", "A100 80GB"),
        ("NVIDIA H100 80GB HBM3", "H100 80GB"),
        ("NVIDIA H100 PCIe", "H100 80GB"),
        ("NVIDIA H100 NVL", "H100 NVL"),
        ("NVIDIA GH200 480GB", "GH200"),
        ("NVIDIA H200 NVL", "H200"),
        ("NVIDIA GeForce RTX 4090", "RTX 4090"),
        ("NVIDIA GeForce RTX 4090 D", "RTX 4090 D"),
        ("NVIDIA GeForce RTX 4070 Ti SUPER", "RTX 4070 Ti Super"),
        ("GeForce GTX 1080 Ti", "GTX 1080 Ti"),
        ("NVIDIA TITAN RTX", "Titan RTX"),
        ("Quadro RTX 6000", "Quadro RTX 6000"),
        ("Quadro RTX 8000", "Quadro RTX 8000"),
        ("NVIDIA RTX A6000", "RTX A6000"),
        ("NVIDIA RTX 6000 Ada Generation", "RTX 6000 Ada"),
        ("NVIDIA RTX 6000 Ada Gene...", "RTX 6000 Ada"),
        ("NVIDIA RTX PRO 6000 Blackwell Max-Q Workstation Edition", "RTX PRO 6000 Blackwell"),
        ("AMD Radeon RX 7900 XTX", "RX 7900 XTX"),
        ("NVIDIA-A30-MIG-1g.6gb", "A30 1g.6gb"),
        ("NVIDIA A100-SXM4-80GB MIG 3g.40gb", "A100 80GB 3g.40gb"),
        ("NVIDIA H100 80GB HBM3 MIG 1g.10gb+me", "H100 80GB 1g.10gb"),
        # As people write them.
        ("4090", "RTX 4090"),
        ("a6000", "RTX A6000"),
        ("A100-80G", "A100 80GB"),
        ("H100", "H100 80GB"),
        ("A100 3g.40gb", "A100 80GB 3g.40gb"),
        ("  rtx_3090 ", "RTX 3090"),
    ],
)
def test_names_of_drivers_and_people(printed: str, name: str) -> None:
    assert known(printed).name == name


@pytest.mark.parametrize("recorded", ["a100-sxm4-v12.xml", "a10g.xml", "rtx-3090-v12.xml", "tesla-t4.xml",
                                      "rtx-4000-sff-ada-v13.xml"])  # fmt: skip
def test_recorded_machines(recorded: str) -> None:
    """The driver's own words: total and reserve of the card as a whole, which stand after those of its slices."""
    text = (RECORDED / recorded).read_text()
    card = known(re.search("<product_name>(.*)</product_name>", text)[1])  # type: ignore[index]
    found = re.findall(r"<fb_memory_usage>\s*<total>(\d+) MiB</total>\s*<reserved>(\d+) MiB", text)
    total, reserved = map(int, found[-1])
    assert card.memory == total * MIB
    assert card.usable <= (total - reserved) * MIB


@pytest.mark.parametrize("model", MODELS.values(), ids=lambda model: model.name)
def test_the_labs_cards(model: CardModel) -> None:
    """What a lab host shows is what is planned for."""
    card = known(model.name)
    assert card.memory == model.memory_mib * MIB
    assert card.compute == tuple(map(int, model.compute.split(".")))


def test_recorded_slices() -> None:
    text = (RECORDED / "a100-sxm4-v12.xml").read_text()
    total, used = map(
        int, re.findall(r"<total>(\d+) MiB</total>\s*<reserved>0 MiB</reserved>\s*<used>(\d+) MiB", text)[0]
    )
    card = known("A100 80GB 2g.20gb")
    assert card.memory == total * MIB
    assert card.usable <= (total - used) * MIB


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("A100", ("A100 40GB", "A100 80GB")),
        ("V100", ("V100 16GB", "V100 32GB")),
        ("P100", ("P100 12GB", "P100 16GB")),
        ("RTX 6000", ("Quadro RTX 6000", "RTX 6000 Ada")),
        ("NVIDIA GeForce RTX 3080", ("RTX 3080 10GB", "RTX 3080 12GB")),
        ("A100 1g.10gb", ("A100 40GB 1g.10gb", "A100 80GB 1g.10gb")),
    ],
)
def test_never_ambiguous(name: str, meant: tuple[str, ...]) -> None:
    assert find(name) is None
    assert near(name)[: len(meant)] == meant


def test_memory_tells_cards_of_one_name_apart() -> None:
    name = "NVIDIA GeForce RTX 4060 Ti"
    assert find(name, 16380 * MIB) == known("RTX 4060 Ti 16GB")
    assert find(name, 8188 * MIB) == known("RTX 4060 Ti 8GB")
    assert find(name, 12 * GIB) is None
    assert find("Tesla P40", 24576 * MIB) == find("Tesla P40", 23040 * MIB) == known("P40")
    assert find("Tesla P40", 16 * GIB) is None


@pytest.mark.parametrize(
    ("typed", "first"),
    [("A03", "A30"), ("RTX 4099", "RTX 4090"), ("L 40 S", "L40S"), ("H10", "H100 80GB"), ("T44", "T4")],
)
def test_did_you_mean(typed: str, first: str) -> None:
    assert first in near(typed)


@pytest.mark.parametrize("typed", ["", " ", "Voodoo 2", "NVIDIA", "GPU", "-"])
def test_no_card(typed: str) -> None:
    assert find(typed) is None
    assert near(typed) == ()


@pytest.mark.parametrize(
    ("name", "declared", "mistake"),
    [
        ("RTX 4090", 24, None),
        ("RTX 4090", 23.99, None),
        ("RTX 4090", 24576, "RTX 4090 has 23.99 GiB, and 24576 is its size in MiB"),
        ("RTX 4090", 24564, "RTX 4090 has 23.99 GiB, and 24564 is its size in MiB"),
        ("RTX 4090", 25757220864, "RTX 4090 has 23.99 GiB, and 25757220864 is its size in bytes"),
        ("A30", 25.77, "A30 has 24 GiB, and 25.77 is its size in GB of 1000^3 bytes"),
        ("A30", 40, "A30 has 24 GiB (got 40)"),
        ("A30", 12, "A30 has 24 GiB (got 12)"),
        ("A10", 22.5, None),
        ("A10", 24, None),
        ("T4", 15, None),
        ("H100", 80, None),
        ("A2", 16, "A2 has 15 GiB, and 16 is the size it is sold by"),
        ("H100", 85.5, "H100 80GB has 79.65 GiB, and 85.5 is its size in GB of 1000^3 bytes"),
        ("A30 1g.6gb", 6, "A30 1g.6gb has 5.81 GiB, and 6 is the size it is sold by"),
    ],
)
def test_memory_in_the_wrong_unit(name: str, declared: float, mistake: str | None) -> None:
    assert memory_mistake(known(name), declared) == mistake
