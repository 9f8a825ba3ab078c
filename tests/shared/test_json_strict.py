"""The REST codec at its edges: nesting, long integers, what a refusal says, read-only arrays."""

import pytest
from tandem.codec.json import decode_raw_request, decode_request
from tandem.errors import InvalidInput
from tandem.metadata import ModelMetadata, TensorSpec


def body(datatype="FP32", shape="[1]", data="[1]", more=""):
    """A body with one tensor, its parts as JSON text."""
    tensor = f'{{"name":"pixels","datatype":"{datatype}","shape":{shape},"data":{data}{more}}}'
    return f'{{"inputs":[{tensor}]}}'.encode()


def refusal(sent, json_size=None):
    with pytest.raises(InvalidInput) as refused:
        decode_request(sent, "m", "", json_size)
    return refused.value.message


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


@pytest.mark.parametrize(("shape", "data"), [("[2]", "[[1,2],[]]"), ("[2,2]", "[[1,2],[[3,4],[]]]")])
def test_arrays_of_more_and_less_than_one_element_do_not_stand_for_elements(shape, data):
    assert "nested otherwise than shape" in refusal(body(shape=shape, data=data))


@pytest.mark.parametrize(("shape", "data"), [("[1,0,0]", "[[]]"), ("[2,0,3]", "[[],[]]")])
def test_empty_data_may_be_nested_as_the_shape_is(shape, data):
    assert decode_request(body(shape=shape, data=data), "m", "").inputs["pixels"].size == 0


@pytest.mark.parametrize("datatype", ["FP64", "FP32"])
@pytest.mark.parametrize(
    ("digits", "value"),
    [
        ("18446744073709552000", 2.0**64),
        ("-18446744073709552000", -(2.0**64)),
    ],
)
def test_a_float_may_be_written_as_a_long_integer(datatype, digits, value):
    request = decode_request(body(datatype, data=f"[{digits}]"), "m", "")
    assert request.inputs["pixels"].tolist() == [value]


@pytest.mark.parametrize(("datatype", "digits"), [("UINT64", 2**64), ("INT64", -(2**63) - 1)])
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


def raw_request(body, *specs):
    return decode_raw_request(body, ModelMetadata("m", ("1",), "fake", specs, ()), "2")


@pytest.mark.parametrize(("shape", "array"), [((-1,), [b"\xff\xd8"]), ((), b"\xff\xd8"), ((-1, 1), [[b"\xff\xd8"]])])
def test_a_raw_binary_request_is_the_one_element_of_a_bytes_input(shape, array):
    request = raw_request(b"\xff\xd8", TensorSpec("photo", "BYTES", shape))
    assert (request.model_name, request.model_version, request.raw) == ("m", "2", True)
    assert request.inputs["photo"].tolist() == array


@pytest.mark.parametrize(
    ("shape", "result"), [((-1,), (6,)), ((-1, 3), (2, 3)), ((2, -1), (2, 3)), ((-1, -1), (6, 1)), ((3, 2), (3, 2))]
)
def test_the_size_of_a_raw_binary_request_is_its_first_variable_dimension(shape, result):
    request = raw_request(bytes(range(24)), TensorSpec("x", "FP32", shape))
    assert request.inputs["x"].shape == result
    assert request.inputs["x"].tobytes() == bytes(range(24))


@pytest.mark.parametrize("shape", [(-1, 4), (7,), (-1, 0)])
def test_a_raw_binary_request_whose_size_does_not_suit_is_refused_naming_the_tensor(shape):
    with pytest.raises(InvalidInput, match="tensor 'x': 24 bytes of data, expected"):
        raw_request(bytes(24), TensorSpec("x", "FP32", shape))


@pytest.mark.parametrize("count", [0, 2])
def test_a_raw_binary_request_is_for_models_with_one_input(count):
    specs = [TensorSpec(f"x{index}", "FP32", (-1,)) for index in range(count)]
    with pytest.raises(InvalidInput, match=f"for models with one input; 'm' has {count}"):
        raw_request(b"abcd", *specs)


@pytest.mark.parametrize("datatype", ["FP64", "FP32", "INT8", "BOOL"])
def test_json_inputs_are_read_only_as_binary_ones_are(datatype):
    assert not decode_request(body(datatype), "m", "").inputs["pixels"].flags.writeable
