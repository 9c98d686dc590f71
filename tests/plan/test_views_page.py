"""The plan as an HTML page: whole, self-contained, and no name breaks out of it."""

from html.parser import HTMLParser
from typing import Any

import pytest

from inferfleet.plan.capacity import Share
from inferfleet.plan.views.page import page
from tests.plan import capacities
from tests.plan.capacities import FLEETS, changed
from tests.plan.test_views_markdown import HOSTILE, hostile


class Read(HTMLParser):
    """What a page consists of: tags with their attributes, and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.said: list[str] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.said.append(data)

    def values(self, name: str) -> list[str]:
        return [attributes[name] for _, attributes in self.tags if name in attributes]


@pytest.mark.parametrize("make", FLEETS.values(), ids=FLEETS)
def test_every_card_is_there_and_no_bar_is_too_long(make: Any) -> None:
    plan = make()
    read = Read(page(plan))
    assert read.values("data-card") == [f"{card.node}/{card.gpu.index}" for card in plan.capacity.cards]
    assert read.open == []
    sums: list[float] = []
    for tag, attributes in read.tags:
        if attributes.get("class") == "bar":
            sums.append(0)
        elif tag == "i" and "style" in attributes:
            sums[-1] += float(attributes["style"].removeprefix("width:").removesuffix("%"))
    assert all(percent <= 100.01 for percent in sums)
    # The first is the whole fleet.
    assert len(sums) == len(plan.capacity.cards) + bool(plan.capacity.cards)


@pytest.mark.parametrize("make", FLEETS.values(), ids=FLEETS)
def test_nothing_from_elsewhere_and_no_script(make: Any) -> None:
    text = page(make())
    read = Read(text)
    assert {tag for tag, _ in read.tags} & {"script", "link", "img", "iframe", "object", "a"} == set()
    assert [read.values(name) for name in ("src", "href", "onload", "onclick")] == [[], [], [], []]
    assert "url(" not in text
    assert "@import" not in text
    assert "default-src 'none'" in text


def test_what_it_says() -> None:
    read = Read(page(capacities.mixed_cards()))
    said = " ".join(" ".join(read.said).split())
    for text in (
        "Plan for 1 host 32.2 of 70.6 GiB planned on 3 cards of 1 host",
        "weights 22.9 GiB KV cache 6.1 GiB engine 3.2 GiB free 38.4 GiB",
        "models.llama2:70b: needs 41.2 GiB on one card",
        "22.4 of 23.5",
        "RAM 0.4 of 256.0, disk 22.6 of 900.0 GiB",
        "its parameters, ±10 %",
        "mistral:7b : estimated 9.0, measured 8.6 GiB",
        "box/0 : no replica is left of qwen2.5:32b; mistral:7b answers 4 at once, load 6",
    ):
        assert text in said, text
    assert "qwen2.5:32b: KV cache 2.0 GiB" in read.values("title")


def test_a_model_known_as_one_number_is_shown_as_one() -> None:
    plan = capacities.four_a30()
    whole = capacities.card("gpu1", 0, "A30", Share("ollama-gpu0", "m", capacities.size(14), 0, 0))
    said = Read(page(changed(plan, cards=(whole,)))).said
    place = said.index("m", said.index("Cards in numbers"))
    assert [text for text in said[place:] if text.strip()][:5] == ["m", "14.0", "in all", "14.0 of 23.2", "9.2"]


def test_what_falls_short_is_marked() -> None:
    read = Read(page(capacities.mixed_cards()))
    assert [attributes.get("class") for tag, attributes in read.tags if tag == "tr"].count("bad") == 1


def test_no_name_breaks_out() -> None:
    plain, odd = Read(page(capacities.mixed_cards())), Read(page(hostile()))
    assert {tag for tag, _ in odd.tags} == {tag for tag, _ in plain.tags}
    assert HOSTILE in odd.said
    assert odd.values("data-card")[0] == f"{HOSTILE}/0"
    quote = Read(page(capacities.fleet_of({'"><script>x': [("A30", [])]})))
    assert "script" not in {tag for tag, _ in quote.tags}
