"""Where the REST codec differs from wire.md and its own docstrings. Whoever mends one removes its mark."""

import pytest
from tandem.codec.json import decode_request
from tandem.errors import InvalidInput


def gap(reason, raises=AssertionError):
    return pytest.mark.xfail(strict=True, raises=raises, reason=reason)


def body(datatype="FP32", shape="[1]", data="[1]", more=""):
    """A body with one tensor, its parts as JSON text."""
    tensor = f'{{"name":"pixels","datatype":"{datatype}","shape":{shape},"data":{data}{more}}}'
    return f'{{"inputs":[{tensor}]}}'.encode()


def refusal(sent, json_size=None):
    with pytest.raises(InvalidInput) as refused:
        decode_request(sent, "m", "", json_size)
    return refused.value.message


@gap(
    "wire.md bounds the depth with a 400; _leaves recurses once a level, so 1,000 to 1,024 levels are a 500",
    RecursionError,
)
@pytest.mark.parametrize(("datatype", "leaf"), [("BYTES", '"a"'), ("BOOL", "true")])
def test_text_nested_as_deep_as_the_parser_goes_is_refused(datatype, leaf):
    assert "pixels" in refusal(body(datatype, data="[" * 1018 + leaf + "]" * 1018))


@pytest.mark.parametrize(
    ("shape", "data"),
    [
        ("[3]", "[1,[2,3]]"),
        ("[2,2]", "[[1,2],[3,[4]]]"),
        pytest.param("[2,2,1]", "[[1,2],[3,4]]", id="one level short"),
    ],
)
@gap("_check_nesting looks at the first element only, and takes a flat part at any depth", pytest.fail.Exception)
def test_data_nested_in_part_is_refused(shape, data):
    assert "nested otherwise than shape" in refusal(body(shape=shape, data=data))


@gap("simdjson knows no integer literal over 64 bits; JSON.stringify(2 ** 64) writes one", InvalidInput)
@pytest.mark.parametrize("datatype", ["FP64", "FP32"])
def test_a_float_may_be_written_as_a_long_integer(datatype):
    request = decode_request(body(datatype, data="[18446744073709552000]"), "m", "")
    assert request.inputs["pixels"].tolist() == [2.0**64]


@gap("it is called invalid JSON, and the tensor is not named")
@pytest.mark.parametrize(("datatype", "digits"), [("UINT64", 2**64), ("INT64", -(2**63) - 1)])
def test_an_integer_beyond_64_bits_is_refused_naming_the_tensor(datatype, digits):
    assert "'pixels'" in refusal(body(datatype, data=f"[{digits}]"))


@gap("decode_request promises which tensor an error concerns; these do not say, though the name is known")
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


@gap("wire.md wants expected and got in the text; these say only what was expected")
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


@gap("the size check speaks of a header that was not sent: 'is 0, expected 1 to 0'")
def test_an_empty_body_is_refused_as_such():
    assert "Inference-Header-Content-Length" not in refusal(b"")


@gap("wire.md: header value 0 with a body is the raw binary request; it is refused", InvalidInput)
def test_a_json_size_of_zero_is_the_raw_binary_request():
    decode_request(b"\xff\xd8", "m", "", 0)


@gap("InferRequest promises read-only arrays; those of 64-bit JSON numbers and all narrowed ones can be written")
@pytest.mark.parametrize("datatype", ["FP64", "FP32", "INT8", "BOOL"])
def test_json_inputs_are_read_only_as_binary_ones_are(datatype):
    assert not decode_request(body(datatype), "m", "").inputs["pixels"].flags.writeable
