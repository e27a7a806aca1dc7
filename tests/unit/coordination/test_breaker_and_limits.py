"""Circuit and limits of a worker, on a clock that the test moves."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.clocks import FakeClock

from kubefugu_coordination.clock import Deadline
from kubefugu_coordination.workers.breaker import Breaker, BreakerSettings, BreakerState
from kubefugu_coordination.workers.limits import Limiter, MinuteWindow
from kubefugu_core.errors import OverloadedError, RateLimitedError
from kubefugu_core.pool import Limits

SETTINGS = BreakerSettings(failures=3, open_s=10, max_open_s=35)


def opened(clock: FakeClock) -> Breaker:
    breaker = Breaker(clock, SETTINGS)
    for _ in range(3):
        assert breaker.try_acquire()
        breaker.failed()
    return breaker


def test_consecutive_failures_open_the_circuit() -> None:
    breaker = opened(FakeClock())
    assert breaker.state is BreakerState.OPEN
    assert not breaker.try_acquire()


def test_a_success_in_between_starts_the_count_anew() -> None:
    breaker = Breaker(FakeClock(), SETTINGS)
    for _ in range(5):
        breaker.failed()
        breaker.failed()
        breaker.succeeded()
    assert breaker.state is BreakerState.CLOSED


def test_after_the_pause_one_probe_goes_through_and_closes_it() -> None:
    clock = FakeClock()
    breaker = opened(clock)
    clock.advance(10)
    assert breaker.state is BreakerState.HALF_OPEN
    assert breaker.try_acquire()
    assert not breaker.try_acquire(), "one probe at a time"
    breaker.succeeded()
    assert breaker.state is BreakerState.CLOSED
    assert breaker.try_acquire()


def test_a_failing_probe_opens_it_for_twice_as_long_up_to_a_bound() -> None:
    clock = FakeClock()
    breaker = opened(clock)
    for pause in (10, 20, 35, 35):
        clock.advance(pause - 0.1)
        assert not breaker.available
        clock.advance(0.1)
        assert breaker.try_acquire()
        breaker.failed()


def test_a_cancelled_probe_lets_another_one_go() -> None:
    clock = FakeClock()
    breaker = opened(clock)
    clock.advance(10)
    assert breaker.try_acquire()
    breaker.released()
    assert breaker.try_acquire()


def test_the_minute_window_is_exact() -> None:
    clock = FakeClock()
    window = MinuteWindow(3, clock)
    for _ in range(3):
        assert window.wait_s() == 0
        window.use()
        clock.advance(10)
    assert window.wait_s() == pytest.approx(30)
    clock.advance(30)
    assert window.wait_s() == 0


def test_more_than_the_limit_fits_an_empty_window() -> None:
    clock = FakeClock()
    window = MinuteWindow(100, clock)
    assert window.wait_s(500) == 0
    window.use(500)
    assert window.wait_s(1) == pytest.approx(60)


@given(st.lists(st.tuples(st.floats(0, 30), st.integers(1, 5)), max_size=60), st.integers(1, 10))
def test_no_minute_ever_holds_more_than_the_limit(calls: list[tuple[float, int]], limit: int) -> None:
    clock = FakeClock()
    window = MinuteWindow(limit, clock)
    taken: list[tuple[float, int]] = []
    for pause, amount in calls:
        amount = min(amount, limit)
        clock.advance(pause)
        while (wait := window.wait_s(amount)) > 0:
            clock.advance(wait)
        window.use(amount)
        taken.append((clock.now, amount))
        assert sum(used for at, used in taken if at > clock.now - 60 + 1e-6) <= limit


async def test_a_request_over_the_rate_waits_within_its_deadline() -> None:
    clock = FakeClock()
    limiter = Limiter(Limits(requests_per_minute=1), clock, worker="a")
    await limiter.acquire(Deadline.after(100, clock), tokens=1)
    await limiter.acquire(Deadline.after(100, clock), tokens=1)
    assert clock.slept == [60]
    with pytest.raises(RateLimitedError) as caught:
        await limiter.acquire(Deadline.after(5, clock), tokens=1)
    assert caught.value.retry_after_s == 60


async def test_tokens_are_estimated_first_and_settled_later() -> None:
    clock = FakeClock()
    limiter = Limiter(Limits(tokens_per_minute=1000), clock, worker="a")
    await limiter.acquire(Deadline.after(1, clock), tokens=900)
    limiter.settle(estimated_tokens=900, actual_tokens=100)
    await limiter.acquire(Deadline.after(1, clock), tokens=850)
    with pytest.raises(RateLimitedError):
        await limiter.acquire(Deadline.after(1, clock), tokens=100)


async def test_a_pause_that_the_worker_asked_for_holds() -> None:
    clock = FakeClock()
    limiter = Limiter(Limits(), clock, worker="a")
    limiter.pause(30)
    with pytest.raises(RateLimitedError):
        await limiter.acquire(Deadline.after(5, clock), tokens=1)
    await limiter.acquire(Deadline.after(40, clock), tokens=1)
    assert clock.slept == [30]


async def test_a_slot_is_given_back_when_the_rate_refuses() -> None:
    clock = FakeClock()
    limiter = Limiter(Limits(max_concurrency=1, requests_per_minute=1), clock, worker="a")
    await limiter.acquire(Deadline.after(5, clock), tokens=1)
    limiter.release()
    with pytest.raises(RateLimitedError):
        await limiter.acquire(Deadline.after(5, clock), tokens=1)
    clock.advance(61)
    await asyncio.wait_for(limiter.acquire(Deadline.after(5, clock), tokens=1), 1)
    with pytest.raises(OverloadedError):
        await limiter.acquire(Deadline.after(-1, clock), tokens=1)
