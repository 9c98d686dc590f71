"""The page on health says what the prober is."""

import json
import re
from pathlib import Path

from inferfleet.prober.config import Limits, parse
from inferfleet.prober.counters import read
from inferfleet.prober.pages import metrics
from inferfleet.prober.results import WORDS
from inferfleet.prober.unit import GROUP, STATE

PAGE = (Path(__file__).parents[2] / "docs/explanation/health.md").read_text()


def test_every_word_every_metric_and_no_other() -> None:
    tables = [re.findall(r"^\| (`.+?) \|", table, re.MULTILINE) for table in PAGE.split("\n## ")]
    words = [re.findall(r"`(\w+)`", row)[0] for row in tables[2]]
    assert words == list(WORDS)
    named = [name for row in tables[-1] for name in re.findall(r"`(\w+)`", row.partition(" |")[0])]
    typed = re.findall(r"^# TYPE inferfleet_prober_(\w+)", metrics([], {}, {}, True, 0.0), re.MULTILINE)
    assert sorted(named) == sorted(typed)


def test_the_limits_are_the_defaults() -> None:
    limits = Limits()
    for name, seconds in re.findall(r"^\| .+ \| `(\w+)` \| (\d+) s \|", PAGE, re.MULTILINE):
        assert getattr(limits, name) == int(seconds)
    assert f"asks for {limits.tokens} tokens, every {limits.every_s:g} s" in PAGE
    assert f"at least {limits.hold_s:g} s pass" in PAGE
    frozen = 1.2 * (limits.every_s) + limits.misses * limits.idle_s
    assert frozen < 9, "some 7 s on average"


def test_its_file_is_one_that_is_read() -> None:
    [example] = re.findall(r"^```json\n(.+?)^```", PAGE, re.MULTILINE | re.DOTALL)
    config = parse(example.encode())
    assert json.loads(example)["agent"] == config.agent
    assert config.outbox.startswith(f"/var/lib/{STATE}/")
    assert f"group {GROUP} mode 660 level user" in PAGE and config.stats[0] in PAGE
    assert read("Pid: 1\n# pxname,svname,\n") == ("1", {})
