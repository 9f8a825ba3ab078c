"""The REST codec at its edges: nesting, long integers, what a refusal says, read-only arrays."""

import pytest
from tandem.codec.json import decode_request
from tandem.errors import InvalidInput

BIG_NEGATIVE = pytest.mark.xfail(
    strict=True, reason="simdjson says BIGINT_ERROR with a RuntimeError; _parse reads a ValueError's again only"
)


def body(datatype="FP32", shape="[1]", data="[1]", more=""):
    """A body with one tensor, its parts as JSON text."""
    tensor = f'{{"name":"pixels","datatype":"{datatype}","shape":{shape},"data":{data}{more}}}'
    return f'{{"inputs":[{tensor}]}}'.encode()


def refusal(sent, json_size=None):
    with pytest.raises(InvalidInput) as refused:
        decode_request(sent, "m", "", json_size)
    return refused.value.message


@pytest.mark.xfail(
    strict=True, raises=TypeError, reason="below 32 levels _culprit gives an array to orjson, which is a 500"
)
@pytest.mark.parametrize(("datatype", "leaf"), [("BYTES", '"a"'), ("BOOL", "true")])
def test_text_nested_as_deep_as_the_parser_goes_is_refused(datatype, leaf):
    assert "pixels" in refusal(body(datatype, data="[" * 1018 + leaf + "]" * 1018))


def test_data_nested_in_part_is_refused():
    assert (
        refusal(body(shape="[3]", data="[1,[2,3]]")) == "input 'pixels': data is nested otherwise than shape [3] says"
    )


@pytest.mark.parametrize(
    ("shape", "data", "array"),
    [
        ("[2]", "[[1],[2]]", [1, 2]),
        ("[2]", "[1,[2]]", [1, 2]),
        ("[2,2]", "[[1,2],[3,[4]]]", [[1, 2], [3, 4]]),
    ],
)
def test_an_array_of_one_element_may_stand_for_the_element(shape, data, array):
    assert decode_request(body(shape=shape, data=data), "m", "").inputs["pixels"].tolist() == array


@pytest.mark.xfail(
    strict=True,
    raises=pytest.fail.Exception,
    reason="in the last dimension only the number of all elements is looked at",
)
@pytest.mark.parametrize(("shape", "data"), [("[2]", "[[1,2],[]]"), ("[2,2]", "[[1,2],[[3,4],[]]]")])
def test_arrays_of_more_and_less_than_one_element_do_not_stand_for_elements(shape, data):
    assert "nested otherwise than shape" in refusal(body(shape=shape, data=data))


@pytest.mark.xfail(
    strict=True, raises=InvalidInput, reason="an empty part is taken for a flat one: '0 elements, expected 0'"
)
@pytest.mark.parametrize(("shape", "data"), [("[1,0,0]", "[[]]"), ("[2,0,3]", "[[],[]]")])
def test_empty_data_may_be_nested_as_the_shape_is(shape, data):
    assert decode_request(body(shape=shape, data=data), "m", "").inputs["pixels"].size == 0


@pytest.mark.parametrize("datatype", ["FP64", "FP32"])
@pytest.mark.parametrize(
    ("digits", "value"),
    [
        ("18446744073709552000", 2.0**64),
        pytest.param("-18446744073709552000", -(2.0**64), marks=BIG_NEGATIVE),
    ],
)
def test_a_float_may_be_written_as_a_long_integer(datatype, digits, value):
    request = decode_request(body(datatype, data=f"[{digits}]"), "m", "")
    assert request.inputs["pixels"].tolist() == [value]


@pytest.mark.parametrize(
    ("datatype", "digits"), [("UINT64", 2**64), pytest.param("INT64", -(2**63) - 1, marks=BIG_NEGATIVE)]
)
def test_an_integer_beyond_64_bits_is_refused_naming_the_tensor(datatype, digits):
    assert "input 'pixels': data holds" in refusal(body(datatype, data=f"[{digits}]"))


@pytest.mark.parametrize(
    "sent",
    [
        b'{"inputs":[{"name":"pixels","shape":[1],"data":[1]}]}',
        body(more=',"parameters":5'),
        body(more=',"parameters":{"a":null}'),
    ],
)
def test_a_tensor_of_another_form_is_refused_naming_it(sent):
    assert "'pixels'" in refusal(sent)


@pytest.mark.parametrize(
    ("sent", "got"),
    [
        (body(shape="[1.5]"), ("1.5", "float")),
        (body(data='["cat"]'), ("cat", "str", "string")),
        (body(data="[null]"), ("null", "None")),
        (body("INT32", data="[2.5]"), ("2.5", "float")),
    ],
)
def test_a_refusal_says_what_was_got(sent, got):
    assert any(word in refusal(sent) for word in got)


def test_an_empty_body_is_refused_as_such():
    assert "Inference-Header-Content-Length" not in refusal(b"")


@pytest.mark.xfail(strict=True, raises=InvalidInput, reason="the raw binary request of wire.md is not there yet")
def test_a_json_size_of_zero_is_the_raw_binary_request():
    decode_request(b"\xff\xd8", "m", "", 0)


@pytest.mark.parametrize("datatype", ["FP64", "FP32", "INT8", "BOOL"])
def test_json_inputs_are_read_only_as_binary_ones_are(datatype):
    assert not decode_request(body(datatype), "m", "").inputs["pixels"].flags.writeable
