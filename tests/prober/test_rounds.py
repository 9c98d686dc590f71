"""What a prober finds out about an engine that fails in each way, and what it makes of traffic."""

import asyncio
import json
import random
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from inferfleet.prober.results import WORDS
from inferfleet.prober.rounds import Fleet
from tests.prober.conftest import Stage, config, server, stage, until
from tests.prober.engine_double import MODEL, EngineDouble


def play(short: Path, scene: Callable[[Stage], Awaitable[None]], **more: object) -> None:
    """One scene with an engine that is well and known to be up."""

    async def whole() -> None:
        async with stage(short) as made:
            made.start(**more)
            await made.up()
            await scene(made)

    asyncio.run(asyncio.wait_for(whole(), 30))


@pytest.mark.parametrize("engine", ["ollama", "openai"])
@pytest.mark.parametrize(
    ("mode", "word", "why"),
    [
        ("hang", "hang", "hang: no byte after"),
        ("frozen", "hang", "hang: no"),
        ("500", "http", "http: 500 cuda error"),
        ("503", "http", "http: 503 server busy"),
        ("404", "other", "other: model missing: 404 model 'x' not found"),
        ("empty", "empty", "empty: answers 200 with nothing"),
    ],
)
def test_each_failure_has_its_word_and_heals(short: Path, engine: str, mode: str, word: str, why: str) -> None:
    async def scene(stage: Stage) -> None:
        stage.engine.mode = mode
        await stage.down(word)
        assert stage.one.why().startswith(why)
        stage.engine.mode = "ok"
        await stage.up()
        assert stage.one.state == "ok"
        assert stage.one.first_token_s < 5 and stage.one.tokens_per_s > 1

    play(short, scene, engine=engine)


def test_kill_9_is_refused_and_a_new_start_is_seen(short: Path) -> None:
    async def scene(stage: Stage) -> None:
        await stage.engine.gone()
        await stage.down("refused")
        assert stage.one.why() == "refused: Connection refused"
        await stage.engine.listen()
        await stage.up()

    play(short, scene)


def test_a_late_token_is_slow_and_no_hang(short: Path) -> None:
    async def scene(stage: Stage) -> None:
        stage.engine.token_s = 0.45
        await stage.down("slow")
        stage.engine.token_s = 0.0
        await stage.up()

    play(short, scene)


def test_the_silent_fallback_to_the_cpu(short: Path) -> None:
    """Every answer is 200 and has its tokens; only /api/ps tells."""

    async def scene(stage: Stage) -> None:
        stage.engine.loaded[MODEL] = (100, 0)
        await stage.down("cpu")
        assert stage.one.why() == "cpu: 0 % of the model is in a card, declared is 100 %"
        stage.engine.loaded[MODEL] = (100, 100)
        await stage.up()

    play(short, scene, vram=1.0)


def test_a_fallback_is_seen_while_every_slot_is_taken(short: Path) -> None:
    """An engine on the CPU is slow, and so always full."""

    async def scene(stage: Stage) -> None:
        sent = asyncio.ensure_future(_flowing(stage, 60))
        await until(lambda: stage.one.full())
        stage.engine.loaded[MODEL] = (100, 40)
        await stage.down("cpu")
        sent.cancel()

    play(short, scene, vram=0.5)


def test_an_alias_that_was_asked_for_first_is_the_model(short: Path) -> None:
    async def scene(stage: Stage) -> None:
        stage.engine.loaded = {"gpt-4o:latest": (100, 10)}
        await stage.down("cpu")

    play(short, scene, vram=1.0, aliases=["gpt-4o"])


async def _flowing(stage: Stage, seconds: float, slots: int = 1) -> None:
    """Streams in all slots, whose bytes HAProxy counts."""
    sent = 1
    for _ in range(int(seconds / 0.1)):
        sent += 100
        stage.traffic(scur=slots, bout=sent)
        await asyncio.sleep(0.1)


def test_a_busy_engine_is_not_killed(short: Path) -> None:
    """gonka-ai/gonka#1421: its only slot is taken for much longer than an idle engine may be silent."""

    async def scene(stage: Stage) -> None:
        async with stage.engine.busy():
            await _flowing(stage, 2.5)
        assert stage.one.up is True and stage.one.damper.flips == 0
        assert not stage.one.counts["hang"]

    play(short, scene)


def test_busy_in_silence_has_longer_patience_but_not_for_ever(short: Path) -> None:
    async def scene(stage: Stage) -> None:
        stage.traffic(scur=1, bout=5)
        await until(lambda: stage.one.full())
        clock = asyncio.get_running_loop().time
        async with stage.engine.busy():
            began = clock()
            await stage.down("hang")
            assert clock() - began > 1.0
        await stage.up()

    play(short, scene)


def test_errors_that_flow_are_no_life(short: Path) -> None:
    """Bytes grow, and each of them is of an error."""

    async def scene(stage: Stage) -> None:
        stage.engine.mode = "503"
        for n in range(100):
            stage.traffic(scur=1, bout=100 * n, hrsp_5xx=n)
            await asyncio.sleep(0.1)
            if stage.one.up is False:
                break
        assert stage.one.trouble.word == "http"

    play(short, scene)


def test_without_haproxy_patience_is_the_longer_one(short: Path) -> None:
    async def scene(stage: Stage) -> None:
        stage.stats.close()
        (short / "stats.sock").unlink()
        await until(lambda: stage.one.traffic.in_flight is None)
        assert any("stats.sock: No such file or directory; busy and idle" in line for line in stage.said)
        async with stage.engine.busy():
            await asyncio.sleep(1.0)
            assert stage.one.up is True
            await stage.down("hang")
        await stage.stats.listen()
        await until(lambda: stage.one.traffic.in_flight == 0)
        assert len([line for line in stage.said if "stats.sock" in line]) <= 2, "one line, not one for each poll"

    play(short, scene)


def test_streams_of_the_worker_before_a_reload_may_fill_the_slots(short: Path) -> None:
    async def scene(stage: Stage) -> None:
        stage.traffic(scur=1, bout=1000)
        await until(lambda: stage.one.full())
        stage.stats.pid, stage.stats.rows = 2, {"m/s": {}}
        async with stage.engine.busy():
            await asyncio.sleep(1.0)
            assert stage.one.up is True and stage.one.traffic.in_flight == 0

    play(short, scene, limits={"streams_s": 20})


def test_a_reload_is_noticed_though_the_socket_was_away_meanwhile(short: Path) -> None:
    async def scene(stage: Stage) -> None:
        stage.traffic(scur=1, bout=1000)
        await until(lambda: stage.one.full())
        stage.stats.close()
        (short / "stats.sock").unlink()
        await until(lambda: stage.one.traffic.in_flight is None)
        stage.stats.pid, stage.stats.rows = 2, {"m/s": {}}
        await stage.stats.listen()
        async with stage.engine.busy():
            await asyncio.sleep(1.0)
            assert stage.one.up is True and stage.one.traffic.in_flight == 0

    play(short, scene, limits={"streams_s": 20})


def test_an_engine_that_is_asked_by_others_too_may_be_busy_with_them(short: Path) -> None:
    async def scene(stage: Stage) -> None:
        async with stage.engine.busy():
            await asyncio.sleep(1.0)
            assert stage.one.up is True

    play(short, scene, alone=False)


def test_loading_has_patience_of_its_own_and_is_not_broken_off(short: Path) -> None:
    """Ollama gives up a load when its client does: one question stays open until the model is there."""

    async def scene(stage: Stage) -> None:
        stage.engine.loaded.clear()
        stage.engine.load_s = 1.5
        before = len(stage.engine.bodies)
        await stage.down("loading")
        await stage.up()
        assert len(stage.engine.bodies) - before < 8 and stage.engine.broken_off == 0
        assert not stage.one.counts["hang"] and not stage.fleet.outbox.recent

    play(short, scene, limits={"restart_after_s": 0.1})


def test_a_load_that_never_ends_is_a_hang(short: Path) -> None:
    async def scene(stage: Stage) -> None:
        stage.engine.loaded.clear()
        stage.engine.load_s = 3600
        await stage.down("loading")
        await stage.down("hang")

    play(short, scene, limits={"load_s": 1.5})


def test_an_openai_engine_says_that_it_loads(short: Path) -> None:
    async def scene(stage: Stage) -> None:
        stage.engine.mode = "loading"
        await stage.down("loading")
        assert stage.one.why() == "loading: 503 Loading model"

    play(short, scene, engine="openai")


def test_a_model_that_may_leave_the_memory_is_not_brought_back(short: Path) -> None:
    async def scene(stage: Stage) -> None:
        stage.engine.loaded.clear()
        await until(lambda: stage.one.state == "asleep")
        before = len(stage.engine.bodies)
        await asyncio.sleep(0.5)
        assert len(stage.engine.bodies) == before and stage.one.up is True
        stage.engine.mode = "hang"
        await stage.down("hang")

    play(short, scene, resident=False)


@pytest.mark.parametrize("engine", ["ollama", "openai"])
def test_a_model_that_makes_vectors(short: Path, engine: str) -> None:
    async def scene(stage: Stage) -> None:
        assert {"/api/embed", "/v1/embeddings"} & set(stage.engine.asked)
        stage.engine.mode = "empty"
        await stage.down("empty")

    play(short, scene, engine=engine, kind="embedding")


def test_one_probe_at_a_time_and_so_many_that_begin_at_once(short: Path) -> None:
    async def whole() -> None:
        engine = EngineDouble()
        await engine.listen()
        engine.token_s = 0.05
        many = [server(engine.address, f"m/s{n}") for n in range(20)]
        fleet = Fleet(config(*many, at_once=3), lambda _: None)
        await until(lambda: len(engine.bodies) > 30)
        assert engine.most_open <= 3
        await fleet.close()
        await engine.gone()

    asyncio.run(asyncio.wait_for(whole(), 30))


def test_engines_that_hang_keep_no_probe_from_others(short: Path) -> None:
    async def whole() -> None:
        well, hangs = EngineDouble(), EngineDouble()
        await well.listen()
        await hangs.listen()
        hangs.mode = "hang"
        many = [server(hangs.address, f"m/h{n}") for n in range(20)]
        fleet = Fleet(config(*many, server(well.address), at_once=2), lambda _: None)
        await until(lambda: all(one.up is (name == "m/s") for name, one in fleet.watched.items()), 20)
        assert hangs.most_open <= 20
        assert well.most_open == 1
        await fleet.close()
        for engine in (well, hangs):
            await engine.gone()

    asyncio.run(asyncio.wait_for(whole(), 30))


def test_nonsense_is_a_finding(short: Path) -> None:
    """Whatever an engine, or what stands at its port, answers: a word, and the next probe."""
    pieces = [
        b"HTTP/1.1 200 OK\r\n", b"\r\n", b"Transfer-Encoding: chunked\r\n", b"Content-Length: 9999999999\r\n", b"5\r\n",
        b"[" * 60000 + b"\n",
        b"fffffffff\r\n", b"-3\r\n", b'{"models":', b"[1]}", b'{"done":true}\n', b"null\n", b"data: []\n", b"\xff\x00",
        b"data: {\"choices\":[7]}\n", b"x" * 70000, b"HTTP/1.1 abc\r\n", b"SSH-2.0-x\r\n", b'{"models":[{"name":3}]}',
    ]  # fmt: skip
    random.seed(6)

    async def scene(stage: Stage) -> None:
        stage.engine.mode = "raw"
        for n in range(100):
            start = b"HTTP/1.1 200 OK\r\n\r\n" if n % 2 else b""
            stage.engine.raw = start + b"".join(random.choices(pieces, k=random.randint(0, 6)))
            seen = len(stage.engine.asked)
            await until(lambda seen=seen: len(stage.engine.asked) > seen + 1)
        assert set(word for word, count in stage.one.counts.items() if count) <= set(WORDS)
        assert all(line.startswith("m/s: ") and ("up" in line or "down" in line) for line in stage.said), stage.said
        stage.engine.mode = "ok"
        await stage.up()

    play(short, scene, limits={"every_s": 0.005, "again_s": 0.005})


def test_streams_that_flow_keep_a_restart_from_being_asked_for(short: Path) -> None:
    """New questions hang, and the streams that began before go on: a restart would cut them."""

    async def scene(stage: Stage) -> None:
        stage.engine.mode = "hang"
        await stage.down("hang")
        await _flowing(stage, 2, slots=0)
        assert not stage.fleet.outbox.recent
        await until(lambda: stage.fleet.outbox.recent)

    play(short, scene, limits={"restart_after_s": 0.8})


def test_a_restart_is_asked_for_once_where_it_is_allowed(short: Path) -> None:
    outbox = short / "restarts.jsonl"

    async def scene(stage: Stage) -> None:
        stage.engine.mode = "hang"
        await stage.down("hang")
        await until(outbox.exists)
        await asyncio.sleep(1.0)

    play(short, scene, limits={"restart_after_s": 0.3, "restart_every_s": 60}, outbox=str(outbox))
    [line] = map(json.loads, outbox.read_text().splitlines())
    assert line["restart"] == "m/s" and line["why"].startswith("hang: no byte") and line["hangs_s"] >= 0.3
    # Another run of the prober knows what was asked for before.
    play(short, scene, limits={"restart_after_s": 0.3, "restart_every_s": 60}, outbox=str(outbox))
    assert len(outbox.read_text().splitlines()) == 1


def test_no_restart_is_asked_for_where_it_is_not_allowed(short: Path) -> None:
    async def scene(stage: Stage) -> None:
        stage.engine.mode = "hang"
        await stage.down("hang")
        await asyncio.sleep(0.5)
        assert not stage.fleet.outbox.recent

    play(short, scene)
