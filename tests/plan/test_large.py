"""Plans of large fleets stay quick: `just bench-plan` measures them."""

from tools.bench_plan import measure


def test_a_thousand_hosts_take_seconds() -> None:
    """Processor time, with room for slow machines: 1.2 s where this was written; quadratic took minutes."""
    found = measure(1000)
    assert (found["placed"], found["refused"]) == (17117, 0)
    assert found["parse"] + found["plan"] < 10


def test_many_refusals_take_seconds() -> None:
    """2 s for 87 refused models: each suggestion is tried on the whole fleet, so their number is bounded."""
    found = measure(10)
    assert found["refused"] > 50
    assert found["parse"] + found["plan"] < 10
