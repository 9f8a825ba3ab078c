"""The values that travel, and what user code sees of them."""

import dataclasses
import re

import pytest
from shared.fakes import Clock
from tandem import Context, timings
from tandem.deadline import Deadline
from tandem.inference import Call, InferRequest, InferResponse, RequestedOutput


def call(**headers):
    return Call("http", "m", Deadline(), {name.replace("_", "-"): value for name, value in headers.items()})


@pytest.mark.parametrize(
    ("own", "header", "expected"), [("7", "8", "7"), ("", "8", "8"), ("7", "", "7"), ("é\n", "8", "é\n")]
)
def test_a_call_is_known_by_its_requests_id_or_else_by_its_header(own, header, expected):
    made = call(x_request_id=header)
    made.begin(InferRequest("m", "", {}, id=own))
    assert made.id == expected


def test_a_call_without_any_id_gets_one_of_its_own():
    made = [call(), call(x_request_id="")]
    for one in made:
        one.begin(InferRequest("m", "", {}))
    assert all(re.fullmatch("[0-9a-f]{32}", one.id) for one in made)
    assert made[0].id != made[1].id


def test_calls_do_not_share_their_timings():
    first, second = call(), call()
    first.timings.add("queue", 1.0)
    assert second.timings.get("queue") == 0.0


def test_the_names_of_the_outputs_asked_for_keep_their_order():
    asked = (RequestedOutput("b"), RequestedOutput("a", {"binary_data": True}))
    assert InferRequest("m", "", {}, outputs=asked).output_names == ("b", "a")
    assert InferRequest("m", "", {}).output_names == ()


@pytest.mark.parametrize(
    "value", [InferRequest("m", "", {}), InferResponse("m", "1", {}), RequestedOutput("a"), Context()]
)
def test_what_travels_is_frozen_and_takes_no_new_attributes(value):
    first = dataclasses.fields(value)[0].name
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(value, first, "other")
    assert not hasattr(value, "__dict__")


def test_a_step_that_user_code_times_shows_among_the_phases(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(timings, "time", clock)
    context = Context()
    with context.timer("lookup"):
        clock.now += 0.25
    assert context.timings.header() == "lookup;dur=250.000"


def test_a_bare_context_is_enough_to_try_a_pipeline():
    context = Context()
    assert (context.id, context.headers, context.parameters, context.deadline.remaining) == ("", {}, {}, None)
    assert context.logger.name == "tandem.user"


def test_an_id_from_a_header_can_always_be_written_again():
    made = call(x_request_id=b"\xff".decode("utf-8", "surrogateescape"))
    made.begin(InferRequest("m", "", {}))
    made.id.encode()
