"""One server as the prober knows it: its traffic, its results, its state. No clock and no network of its own."""

from __future__ import annotations

import math
from typing import Any

from inferfleet.prober.config import Server
from inferfleet.prober.damping import Damper
from inferfleet.prober.results import WELL, WORDS, Result


class Traffic:
    """What HAProxy says goes to the server: how full it is, and whether bytes flow."""

    def __init__(self) -> None:
        self.in_flight: int | None = None  # None: HAProxy does not say
        self.last_known = 0  # the last that it said
        self.hidden_until = -math.inf  # until then streams of a worker before a reload may fill slots

    def told(self, in_flight: int | None) -> None:
        """What all processes of HAProxy together say; None where one of them says nothing."""
        self.in_flight = in_flight
        self.last_known = self.last_known if in_flight is None else in_flight

    def reloaded(self, now: float, streams_s: float) -> None:
        """Another worker counts from here on, and the one before may have streams for so long."""
        if self.last_known:
            self.hidden_until = now + streams_s


class Watched:
    """State of one server."""

    def __init__(self, server: Server, alone: bool, now: float) -> None:
        self.traffic = Traffic()
        self.counts = dict.fromkeys(WORDS, 0)
        self.state, self.text = "", ""  # the last finding
        self.trouble = Result("")  # the last that spoke against it
        self.warm = False  # a token was seen since its model was last not in memory
        self.life_at: float | None = None
        self.first_token_s: float | None = None
        self.tokens_per_s: float | None = None
        self.began = now
        self.hangs_since: float | None = None
        self.loads_since: float | None = None
        self.damper = Damper(server.limits)
        self.became(server, alone)

    def became(self, server: Server, alone: bool) -> None:
        """The same engine with other limits, slots, ..."""
        self.server, self.alone = server, alone
        self.damper.limits = server.limits

    @property
    def up(self) -> bool | None:
        """What HAProxy is told; None: nothing."""
        return self.damper.up

    def full(self) -> bool:
        """All of its slots are taken, by what is known."""
        return self.traffic.in_flight is not None and self.traffic.in_flight >= self.server.slots

    def patience(self, now: float) -> float:
        """How long it may be silent: long where its slots may be taken, or nobody can say."""
        limits, in_flight = self.server.limits, self.traffic.in_flight
        if in_flight is None or self.full() or now < self.traffic.hidden_until or not self.alone:
            return limits.busy_s
        return limits.work_s if in_flight else limits.idle_s

    def quiet(self, now: float) -> float:
        """Seconds since the last sign of life."""
        return now - (self.began if self.life_at is None else self.life_at)

    def skips_token(self, now: float) -> bool:
        """A server that is full and lets bytes flow is not asked for a token, which would wait for a slot."""
        return self.up is True and self.full() and self.quiet(now) < self.patience(now) / 2

    def flows(self, now: float) -> None:
        """Bytes came through HAProxy: a sign of life, though no proof that an idle slot would give a token."""
        self.life_at = now
        self.hangs_since = None
        self.damper.calm()

    def note(self, result: Result, now: float) -> bool:
        """Take a finding; whether the state has changed."""
        if result.soft and self.quiet(now) < self.patience(now):
            result = Result("busy", result.text)
        self.counts[result.word] += 1
        self.state, self.text = result.word, result.text
        if result.first_token_s is not None:
            self.first_token_s, self.tokens_per_s = result.first_token_s, result.tokens_per_s
        if result.word in ("refused", "loading"):
            self.warm = False
        if result.word in ("ok", "slow"):
            self.warm = True
        if result.word in (*WELL, "slow"):
            self.life_at = now
        if result.word == "busy":
            return False
        self._time_trouble(result.word, now)
        if result.word not in WELL:
            self.trouble = result
        if result.word == "slow":
            return False  # its silence was counted as a miss when its time was over
        return self.damper.saw(result.word in WELL, now)

    def _time_trouble(self, word: str, now: float) -> None:
        """Since when it hangs, and loads; a load that takes too long is a hang, and goes on being a load."""
        if word != "hang":
            self.hangs_since = None
        elif self.hangs_since is None:
            self.hangs_since = now
        if word == "loading" and self.loads_since is None:
            self.loads_since = now
        elif word not in ("loading", "hang"):
            self.loads_since = None

    def why(self) -> str:
        """One short ASCII line: why it is down."""
        line = f"{self.trouble.word}: {self.trouble.text}" if self.trouble.text else self.trouble.word
        return " ".join(line.encode("ascii", "replace").decode().split())[:100]

    def hung_for(self, now: float) -> float:
        """Seconds for which it is down and hangs; 0 where it is not so."""
        return 0.0 if self.hangs_since is None or self.up is not False else now - self.hangs_since

    def status(self, now: float) -> dict[str, Any]:
        """For people and programs; ages in seconds."""
        server = self.server
        return {
            "backend": server.backend,
            "server": server.server,
            "address": server.address,
            "engine": server.engine,
            "model": server.model,
            "up": self.up,
            "since_s": None if self.up is None else _short(now - self.damper.since),
            "state": self.state or None,
            "text": self.text,
            "why": self.why() if self.up is False else "",
            "life_s": None if self.life_at is None else _short(now - self.life_at),
            "first_token_s": _short(self.first_token_s),
            "tokens_per_s": _short(self.tokens_per_s),
            "in_flight": self.traffic.in_flight,
            "slots": server.slots,
            "flips": self.damper.flips,
            "probes": {word: count for word, count in self.counts.items() if count},
        }


def _short(value: float | None) -> float | None:
    return None if value is None else round(value, 4)
