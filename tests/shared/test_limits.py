"""How much a request may bring beside its bytes, and its parameters timeout and priority."""

import json

import pytest
from tandem.codec.json import decode_request
from tandem.deadline import Deadline
from tandem.errors import InvalidInput
from tandem.inference import Call, InferRequest, Limits


def decode(limits, *names, shape=(1,), outputs=()):
    tensors = [{"name": name, "datatype": "INT32", "shape": shape, "data": [1] * max(shape)} for name in names]
    document = {"inputs": tensors, "outputs": [{"name": name} for name in outputs]}
    return decode_request(json.dumps(document).encode(), "m", "", limits=limits)


@pytest.mark.parametrize(
    ("limits", "within", "beyond", "flag"),
    [
        (Limits(tensors=2), {"names": "ab"}, {"names": "abc"}, "--max_tensors"),
        (Limits(tensors=2), {"names": "a", "outputs": "xy"}, {"names": "a", "outputs": "xyz"}, "--max_tensors"),
        (Limits(name_length=3), {"names": ["abc"]}, {"names": ["abcd"]}, "--max_name_length"),
        (Limits(name_length=3), {"names": "a", "outputs": ["x"]}, {"names": "a", "outputs": ["wxyz"]}, "--max_name"),
        (Limits(elements=4), {"names": "a", "shape": (4,)}, {"names": "a", "shape": (5,)}, "--max_elements"),
    ],
)
def test_what_is_within_a_limit_passes_and_one_more_is_refused_naming_the_flag(limits, within, beyond, flag):
    assert decode(limits, *within.pop("names"), **within).inputs
    with pytest.raises(InvalidInput, match=flag):
        decode(limits, *beyond.pop("names"), **beyond)


@pytest.mark.parametrize("value", [-1, 1.5, True, "1000"])
def test_a_timeout_that_is_no_whole_number_of_microseconds_is_refused(value):
    with pytest.raises(InvalidInput, match="parameter 'timeout'"):
        Call("http", "m", Deadline(), {}).begin(InferRequest("m", "", {}, parameters={"timeout": value}))


@pytest.mark.parametrize(
    ("own", "timeout", "least", "most"),
    [(None, 60_000_000, 30, 60), (600.0, 60_000_000, 30, 60), (60.0, 600_000_000, 30, 60), (60.0, 0, 30, 60)],
)
def test_a_timeout_only_brings_the_deadline_nearer(own, timeout, least, most):
    call = Call("http", "m", Deadline.after(own), {})
    call.begin(InferRequest("m", "", {}, parameters={"timeout": timeout}))
    assert least < call.deadline.remaining <= most


@pytest.mark.parametrize("value", [-1, 2**32, 1.5, True, "1"])
def test_a_priority_beyond_its_range_is_refused(value):
    with pytest.raises(InvalidInput, match="parameter 'priority'"):
        _ = InferRequest("m", "", {}, parameters={"priority": value}).priority


def test_no_priority_is_zero():
    assert InferRequest("m", "", {}).priority == 0
    assert InferRequest("m", "", {}, parameters={"priority": 7}).priority == 7
