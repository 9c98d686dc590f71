"""No sequence of findings changes the state faster than the damping allows."""

import random
from itertools import pairwise

import pytest

from inferfleet.prober.config import Limits, Server
from inferfleet.prober.counters import Row
from inferfleet.prober.damping import Damper
from inferfleet.prober.results import WELL, WORDS, Result
from inferfleet.prober.watched import Watched


def some_limits(draw: random.Random) -> Limits:
    return Limits(misses=draw.randint(1, 4), hits=draw.randint(1, 4), hold_s=draw.choice([0.0, 1.0, 5.0, 20.0]))


@pytest.mark.parametrize("seed", range(60))
def test_damping_holds_for_any_sequence(seed: int) -> None:
    draw = random.Random(seed)
    limits = some_limits(draw)
    damper, now, row, flipped_at = Damper(limits), 1000.0, 0, None
    last = None
    for _ in range(500):
        now += draw.choice([0.0, 0.1, 1.0, 7.0])
        well = draw.random() < draw.choice([0.1, 0.5, 0.9])
        row = row + 1 if well is last else 1
        last, was = well, damper.up
        changed = damper.saw(well, now)
        assert changed == (damper.up is not was)
        if changed and was is not None:
            assert row >= (limits.hits if well else limits.misses)
            assert flipped_at is None or now - flipped_at >= limits.hold_s
        if changed:
            assert damper.up is well
            flipped_at = now


def test_it_follows_in_the_end() -> None:
    damper = Damper(Limits(misses=3, hits=2, hold_s=10))
    assert damper.saw(True, 0) and damper.up is True
    assert [damper.saw(False, now) for now in (1, 2, 3, 9.9, 10)] == [False] * 4 + [True]
    assert [damper.saw(True, now) for now in (11, 12, 19, 20)] == [False] * 3 + [True]
    assert damper.flips == 2


def test_one_good_answer_is_enough_at_the_beginning_and_one_miss_is_not() -> None:
    damper = Damper(Limits())
    assert not damper.saw(False, 0) and damper.up is None
    assert damper.saw(True, 1) and damper.up is True
    other = Damper(Limits())
    assert [other.saw(False, 0), other.saw(False, 0)] == [False, True]


SERVER = Server("m", "s", "127.0.0.1:1", "ollama", "tiny")


@pytest.mark.parametrize("seed", range(40))
def test_a_whole_server_never_flips_faster(seed: int) -> None:
    """Findings of every word, soft or not, between bytes that flow or do not."""
    draw = random.Random(seed)
    watched, now = Watched(SERVER, True, 0.0), 0.0
    flips: list[tuple[float, bool]] = []
    row, bad = Row(0, 0, 0, 0), 0
    for _ in range(400):
        now += draw.choice([0.05, 0.5, 3.0])
        if draw.random() < 0.3:
            new = Row(
                draw.randint(0, 2), row.bytes_out + draw.choice([0, 0, 9]), row.good, row.bad + draw.randint(0, 1)
            )
            watched.traffic.told(new.in_flight)
            if new.flows_since(row):
                watched.flows(now)
                bad = 0
            row = new
        result = Result(draw.choice(list(WORDS)), "", draw.random() < 0.5)
        changed = watched.note(result, now)
        if watched.state in WELL:
            bad = 0
        elif watched.state not in ("busy", "slow"):
            bad += 1
        if changed and watched.up is not None:
            flips.append((now, watched.up))
            assert watched.up or bad >= SERVER.limits.misses
    gaps = [later - earlier for (earlier, _), (later, _) in pairwise(flips)]
    assert not gaps or min(gaps) >= SERVER.limits.hold_s
    assert all(a is not b for (_, a), (_, b) in pairwise(flips))


@pytest.mark.parametrize("seed", range(20))
def test_what_flows_is_never_down_for_silence(seed: int) -> None:
    """Any number of probes without an answer: bytes that come every 5 s, as HAProxy counts them, are enough."""
    draw = random.Random(seed)
    watched, now, sent = Watched(SERVER, True, 0.0), 0.0, 0
    watched.note(Result("ok"), now)
    while now < 600:
        now += draw.uniform(0.1, 5.0)
        sent += 100
        watched.traffic.told(1)
        if Row(1, sent, 1, 0).flows_since(Row(1, sent - 100, 1, 0)):
            watched.flows(now)
        for _ in range(draw.randint(0, 4)):
            watched.note(Result("hang", soft=True), now + draw.uniform(0, 4.9))
        assert watched.up is True


def test_patience_follows_what_haproxy_says() -> None:
    watched = Watched(Server("m", "s", "127.0.0.1:1", "ollama", "tiny", slots=4), True, 0.0)
    limits = watched.server.limits
    assert watched.patience(0) == limits.busy_s, "HAProxy has not said anything yet"
    for in_flight, patience in ((0, limits.idle_s), (1, limits.work_s), (4, limits.busy_s), (9, limits.busy_s)):
        watched.traffic.in_flight = in_flight
        assert watched.patience(0) == patience
    watched.traffic.in_flight, watched.alone = 0, False
    assert watched.patience(0) == limits.busy_s


def test_why_is_one_short_line_of_ascii() -> None:
    watched = Watched(SERVER, True, 0.0)
    for _ in range(2):
        watched.note(Result("other", "störung\r\nup ready\n" + "x" * 500), 0.0)
    assert watched.up is False
    assert watched.why() == ("other: st?rung up ready " + "x" * 500)[:100]
