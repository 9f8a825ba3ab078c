"""A deadline as a point in time."""

import asyncio
import dataclasses
import math

import pytest
from shared.fakes import Clock
from tandem import deadline
from tandem.deadline import Alarm, Deadline
from tandem.errors import DeadlineExceeded


@pytest.fixture
def clock(monkeypatch):
    clock = Clock(now=100.0)
    monkeypatch.setattr(deadline, "time", clock)
    return clock


@pytest.mark.parametrize("never", [Deadline(), Deadline.after(None), Deadline.after(math.inf)])
def test_no_deadline_never_ends(never):
    assert never.remaining is None
    assert not never.expired
    assert never.earlier(5).remaining is None
    never.check("anything")


def test_what_remains_shrinks_with_the_clock_and_is_never_negative(clock):
    end = Deadline.after(2.5)
    assert (end.at, end.remaining, end.expired) == (102.5, 2.5, False)
    clock.now = 102.0
    assert (end.remaining, end.expired) == (0.5, False)
    clock.now = 102.5
    assert (end.remaining, end.expired) == (0.0, True)
    clock.now = 200.0
    assert (end.remaining, end.expired) == (0.0, True)


@pytest.mark.parametrize("seconds", [0, -1.5])
def test_no_time_at_all_is_over_at_once(clock, seconds):
    assert Deadline.after(seconds).expired
    assert Deadline.after(seconds).remaining == 0.0


def test_the_deadline_handed_on_is_earlier_by_the_margin(clock):
    assert Deadline.after(2.0).earlier(0.5) == Deadline.after(1.5)
    assert Deadline.after(0.25).earlier(0.5).expired


def test_a_check_says_what_would_have_been_next(clock):
    end = Deadline.after(1)
    end.check("the batch ran")
    clock.now += 1
    with pytest.raises(DeadlineExceeded, match="the request's deadline passed before the batch ran"):
        end.check("the batch ran")


def test_a_deadline_cannot_be_moved():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Deadline(5.0).at = 6.0


SOON, LATER = 0.01, 60.0  # seconds


async def waiting(alarm_at: float | None, *, nearer: float | None = None, begun: asyncio.Event | None = None) -> None:
    with Alarm(Deadline.after(alarm_at)) as alarm:
        if nearer is not None:
            alarm.set(Deadline.after(nearer))
        if begun:
            begun.set()
        await asyncio.Event().wait()


async def test_an_alarm_ends_what_waits_for_ever():
    with pytest.raises(DeadlineExceeded, match="deadline passed"):
        await waiting(SOON)
    await asyncio.sleep(0)  # and nothing of the cancellation is left


@pytest.mark.parametrize("first", [LATER, None])
async def test_an_alarm_can_be_set_nearer(first):
    with pytest.raises(DeadlineExceeded):
        await waiting(first, nearer=SOON)


async def test_an_alarm_can_be_set_later():
    with Alarm(Deadline.after(SOON)) as alarm:
        alarm.set(Deadline.after(LATER))
        await asyncio.sleep(2 * SOON)


async def test_what_ends_in_time_hears_nothing_of_its_alarm():
    with Alarm(Deadline.after(SOON)):
        await asyncio.sleep(0)
    await asyncio.sleep(2 * SOON)


async def test_a_cancellation_by_others_stays_one():
    begun = asyncio.Event()
    task = asyncio.create_task(waiting(LATER, begun=begun))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_cancellation_by_others_goes_before_the_alarm():
    begun = asyncio.Event()
    task = asyncio.create_task(waiting(0.0, begun=begun))
    await begun.wait()
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()


async def test_an_error_of_the_body_is_its_own():
    with pytest.raises(ZeroDivisionError), Alarm(Deadline.after(LATER)):
        raise ZeroDivisionError


async def test_the_inner_of_two_alarms_is_told_from_the_outer():
    with Alarm(Deadline.after(LATER)):
        with pytest.raises(DeadlineExceeded):
            await waiting(SOON)
        await asyncio.sleep(0)


def test_an_alarm_needs_a_task():
    loop = asyncio.new_event_loop()
    try:
        loop.call_soon(loop.stop)
        with pytest.raises(RuntimeError):
            Alarm(Deadline.after(1)).__enter__()
    finally:
        loop.close()
