"""A deadline as a point in time."""

import dataclasses
import math

import pytest
from shared.fakes import Clock
from tandem import deadline
from tandem.deadline import Deadline
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
