"""JSON, names and log fields at the limits of the libraries below: refused or written, never a fault."""

import json
import logging
from urllib.parse import quote

import pytest
from tandem.codec.json import decode_request
from tandem.errors import InvalidInput
from tandem.logs import JsonFormatter

GRPC_TRAILER_LIMIT = 8192  # bytes, the status text percent-encoded; from there to 16 KiB a client refuses some
BEYOND_ORJSON = 300  # levels: orjson writes 254 at most, simdjson reads 1,024
LONG = "18446744073709552000"  # 2**64 as JavaScript writes it


def body(datatype="FP32", shape="[1]", data="[1]", more=""):
    """A body with one tensor, its parts as JSON text."""
    tensor = f'{{"name":"pixels","datatype":"{datatype}","shape":{shape},"data":{data}{more}}}'
    return f'{{"inputs":[{tensor}]}}'.encode()


def refusal(sent):
    with pytest.raises(InvalidInput) as refused:
        decode_request(sent, "m", "")
    return refused.value.message


def nested(depth, leaf="1", opening="[", closing="]"):
    return opening * depth + leaf + closing * depth


def line(**extra):
    """A record with `extra` fields as its JSON line, read back as strictly as JSON is defined."""
    made = {"name": "tandem.x", "levelname": "INFO", "msg": "it is done", "created": 0.0, "msecs": 0.0}
    written = JsonFormatter().format(logging.makeLogRecord(made | extra))
    return json.loads(written, parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))


@pytest.mark.parametrize(
    ("shape", "data"),
    [
        pytest.param("[2,0]", "[[],[],[]]", id="a row too many, though no element"),
        pytest.param("[1,1,2,3]", "[[[[1,2],[3,4],[5,6]]]]", id="wrong in the third dimension only"),
        pytest.param("[2,2]", "[[1,2],[3,4],[]]", id="an empty row too many"),
    ],
)
def test_data_nested_otherwise_is_refused_even_where_the_elements_add_up(shape, data):
    assert refusal(body(shape=shape, data=data)).startswith("input 'pixels': data is nested otherwise than shape ")


@pytest.mark.parametrize(("shape", "data"), [("[2,2]", "[1,[2,3,4]]"), ("[3]", "[1,[2,3],[]]")])
@pytest.mark.xfail(
    strict=True,
    raises=pytest.fail.Exception,
    reason="the nesting is looked at only where the first element is an array",
)
def test_arrays_of_any_length_behind_a_number_are_refused(shape, data):
    assert "nested otherwise than shape" in refusal(body(shape=shape, data=data))


@pytest.mark.parametrize("datatype", ["FP32", "BYTES"])
def test_a_deep_object_for_an_element_is_refused(datatype):
    data = "[" + nested(BEYOND_ORJSON, opening='{"a":', closing="}") + "]"
    assert "'pixels'" in refusal(body(datatype, data=data))


def test_a_deep_parameter_is_refused():
    assert "'pixels'" in refusal(body(more=f',"parameters":{{"a":{nested(BEYOND_ORJSON)}}}'))


@pytest.mark.parametrize(
    "extra", [f',"unread":{nested(BEYOND_ORJSON)}', f',"parameters":{{"a":{nested(BEYOND_ORJSON)}}}']
)
def test_a_long_integer_beside_deep_json_is_a_refusal_or_an_answer(extra):
    try:
        request = decode_request(body(data=f"[{LONG}]", more=extra), "m", "")
    except InvalidInput:
        return
    assert request.inputs["pixels"].tolist() == [2.0**64]


@pytest.mark.xfail(
    strict=True, raises=AssertionError, reason="simdjson takes the first of two equal keys, orjson the last"
)
def test_a_long_integer_does_not_change_which_of_two_equal_keys_counts():
    ids = [
        decode_request(body(data=f"[{number}]").replace(b"{", b'{"id":"first","id":"last",', 1), "m", "").id
        for number in ("1", LONG)
    ]
    assert ids[0] == ids[1]


def test_a_refusal_in_any_script_is_short_enough_for_a_grpc_trailer():
    assert len(quote(InvalidInput("input '" + "😀" * 5000).message)) < GRPC_TRAILER_LIMIT


def circle():
    made = {}
    made["again"] = made
    return made


@pytest.mark.parametrize(
    "extra",
    [
        pytest.param({"scores": {("cat", 1): 0.5}}, id="a dict with tuples for keys"),
        pytest.param({"scores": circle()}, id="a dict that holds itself"),
        pytest.param({"total": 2**70, "mean": float("nan")}, id="NaN beside a long integer"),
    ],
)
def test_a_log_line_is_valid_json_whatever_is_logged(extra):
    assert line(**extra)["message"] == "it is done"
