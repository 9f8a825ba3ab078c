"""Phases and the Server-Timing header."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from shared.fakes import Clock
from shared.strategies import QUICK
from tandem import timings
from tandem.timings import PHASES, Timings, parse


@pytest.fixture
def clock(monkeypatch):
    clock = Clock(now=50.0)
    monkeypatch.setattr(timings, "time", clock)
    return clock


def test_a_phase_takes_the_time_of_its_body(clock):
    spent = Timings()
    with spent.phase("decode"):
        clock.now += 0.25
    assert spent.get("decode") == 0.25
    assert spent.get("encode") == 0.0


def test_a_phase_counts_although_its_body_raises(clock):
    spent = Timings()

    def fails():
        with spent.phase("decode"):
            clock.now += 0.5
            raise LookupError

    with pytest.raises(LookupError):
        fails()
    assert list(spent.items()) == [("decode", 0.5)]


def test_a_phase_seen_again_adds_up_in_its_first_place(clock):
    spent = Timings()
    spent.add("queue", 1.0)
    spent.add("inference", 2.0)
    with spent.phase("queue"):
        clock.now += 0.5
    assert list(spent.items()) == [("queue", 1.5), ("inference", 2.0)]


def test_the_header_is_server_timing_in_milliseconds():
    spent = Timings()
    spent.add("queue", 0.00012)
    spent.add("inference", 0.0098)
    assert spent.header() == "queue;dur=0.120, inference;dur=9.800"
    assert Timings().header() == ""


@QUICK
@given(st.dictionaries(st.sampled_from(PHASES), st.floats(0, 3600)))
def test_a_header_is_read_back_to_the_microsecond(phases):
    spent = Timings()
    for name, seconds in phases.items():
        spent.add(name, seconds)
    back = parse(spent.header())
    assert list(back) == list(phases)
    assert all(abs(back[name] - seconds) < 1e-6 for name, seconds in phases.items())


@pytest.mark.parametrize(
    ("header", "phases"),
    [
        ("", {}),
        ("queue;dur=1000,inference;dur=2", {"queue": 1.0, "inference": 0.002}),
        ("  queue ; dur=1000 ", {"queue": 1.0}),
        ("cache, queue;dur=1000, miss;desc=x, bad;dur=fast, none;dur=", {"queue": 1.0}),
    ],
)
def test_entries_without_a_duration_are_left_out(header, phases):
    assert parse(header) == phases


@pytest.mark.parametrize(
    "header",
    [
        'db;dur=1000;desc="a table"',
        'db;desc="a table";dur=1000',
        "db; desc=x; dur=1000",
        "db; desc=x; dur = 1000",
    ],
)
def test_a_duration_counts_wherever_it_stands(header):
    assert parse(header) == {"db": 1.0}


@pytest.mark.parametrize("value", ["nan", "inf", "-5"])
def test_a_duration_that_no_clock_gives_is_left_out(value):
    assert parse(f"queue;dur={value}") == {}


def test_a_step_is_a_phase_that_is_marked_as_the_authors_own():
    timings = Timings()
    for _ in range(2):
        with timings.step("look-up.v2_1"):
            pass
    assert timings.steps == {"look-up.v2_1"}
    assert timings.get("look-up.v2_1") > 0


@pytest.mark.parametrize("name", ["", "look up", "a;b", "ä", "x" * 65, "a=1", "preprocess", "hop"])
def test_a_name_that_cannot_be_a_step_is_refused(name):
    with pytest.raises(ValueError, match="timer"):
        Timings().step(name)
