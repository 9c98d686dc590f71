"""The plan's page in a real browser: nothing overflows, on a desk and on a telephone, by day and by night."""

import html
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from inferfleet.plan.views.page import page
from tests.plan import capacities
from tests.plan.capacities import FLEETS

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not CHROMIUM, reason="no chromium on PATH"),
]
LIGHT, DARK = 1, 0  # blink's preferredColorScheme
# The page lets no script run, so that it is asked from outside: from the page in whose frame it is.
FRAME = """<!doctype html><body style="margin:0"><iframe style="border:0" width="{width}" height="3000"
srcdoc="{page}"></iframe><script>
const frame = document.querySelector("iframe");
frame.onload = () => {{
  const page = frame.contentDocument, view = frame.contentWindow;
  const edge = element => element.getBoundingClientRect();
  const all = [...page.body.querySelectorAll("*")];
  const told = {{
    width: page.documentElement.clientWidth,
    scroll: page.documentElement.scrollWidth,
    cards: [...page.querySelectorAll("[data-card]")].map(card => card.dataset.card),
    // What has room of its own to scroll in may be wider.
    outside: all.filter(one => !one.closest(".wide") && edge(one).right > view.innerWidth + 0.5).length,
    bars: [...page.querySelectorAll(".card .bar")].map(bar => Math.round(edge(bar).width)),
    spilled: all.filter(one => one.matches(".card > span") && one.scrollWidth > one.clientWidth + 1).length,
    paper: view.getComputedStyle(page.body).backgroundColor,
    ink: view.getComputedStyle(page.body).color,
  }};
  document.title = JSON.stringify(told);
}};
</script>"""


def asked(text: str, width: int, scheme: int, place: Path) -> dict[str, Any]:
    """What the browser says of the page at that width."""
    frame = place / "frame.html"
    frame.write_text(FRAME.format(width=width, page=html.escape(text)), encoding="utf-8")
    words = ("--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--virtual-time-budget=3000")
    settings = f"--blink-settings=preferredColorScheme={scheme}"
    command = [str(CHROMIUM), *words, settings, f"--user-data-dir={place}/profile", "--dump-dom", frame.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    title = done.stdout.partition("<title>")[2].partition("</title>")[0]
    told: dict[str, Any] = json.loads(html.unescape(title))
    return told


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("name", FLEETS)
def test_nothing_overflows_and_every_card_is_there(name: str, width: int, tmp_path: Path) -> None:
    plan = FLEETS[name]()
    told = asked(page(plan), width, LIGHT, tmp_path)
    assert told["width"] == width
    assert told["scroll"] <= width
    assert told["outside"] == 0
    assert told["spilled"] == 0
    assert told["cards"] == [f"{card.node}/{card.gpu.index}" for card in plan.capacity.cards]
    assert all(length >= 120 for length in told["bars"])


def test_it_is_seen_when_something_overflows(tmp_path: Path) -> None:
    """The test above can fail."""
    text = page(capacities.four_a30()).replace("<h2>Models</h2>", '<h2 style="width:2000px">Models</h2>')
    told = asked(text, 1280, LIGHT, tmp_path)
    assert told["scroll"] > 1280
    assert told["outside"]


def test_long_names_overflow_nothing(tmp_path: Path) -> None:
    host = "a-host-with-a-name-that-is-as-long-as-names-may-be-in-a-label-of-dns.a-long-domain.example.net"
    text = page(capacities.fleet_of({host: [("A30", ["llama2:13b", "mistral:7b"])] * 2})).replace(
        "mistral:7b", "registry.example.net/team/a-model-with-a-very-long-name:70b-instruct-q4_K_M"
    )
    told = asked(text, 390, LIGHT, tmp_path)
    assert (told["scroll"], told["outside"]) == (390, 0)


def test_by_night_it_is_dark(tmp_path: Path) -> None:
    text = page(capacities.fifty())
    night, day = asked(text, 1280, DARK, tmp_path), asked(text, 1280, LIGHT, tmp_path)
    assert (day["paper"], night["paper"]) == ("rgb(246, 247, 248)", "rgb(20, 23, 26)")
    assert (day["ink"], night["ink"]) == ("rgb(27, 31, 35)", "rgb(232, 234, 236)")
    assert (night["scroll"], night["outside"]) == (1280, 0)
