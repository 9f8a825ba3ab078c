"""REST bodies against the protocol: each is refused, and the text says what is wrong and with which tensor."""

import json

import pytest
from tandem.codec.json import decode_request
from tandem.errors import InvalidInput


def refusal(body, json_size=None):
    """The text with which `body` is refused."""
    with pytest.raises(InvalidInput) as refused:
        decode_request(body, "m", "", json_size)
    return refused.value.message


def tensor_body(datatype="FP32", shape="[1]", data="[1]"):
    """A body with one tensor, its parts as JSON text."""
    return f'{{"inputs":[{{"name":"pixels","datatype":"{datatype}","shape":{shape},"data":{data}}}]}}'.encode()


def binary_body(size, rest=b"", **more):
    tensor = {"name": "pixels", "datatype": "UINT8", "shape": [4], "parameters": {"binary_data_size": size}, **more}
    head = json.dumps({"inputs": [tensor]}).encode()
    return head + rest, len(head)


@pytest.mark.parametrize(
    "body", [b"{", b"{} {}", b'{"a":1,}', b"\xff", b'{"a":"\xff"}', b'{"a":"\\ud800"}', b" ", b"nul"]
)
def test_a_body_that_is_no_json_is_refused(body):
    assert refusal(body).startswith("the body is not valid JSON:")


@pytest.mark.parametrize("depth", [1_500, 100_000])
@pytest.mark.parametrize("opening", [b"[", b'{"a":'])
def test_json_nested_thousands_deep_is_refused(opening, depth):
    assert refusal(opening * depth).startswith("the body is not valid JSON:")
    assert refusal(tensor_body(data="[" * depth + "]" * depth)).startswith("the body is not valid JSON:")


@pytest.mark.parametrize("body", [b"[]", b'"x"', b"5", b"null"])
def test_a_body_that_is_no_object_is_refused(body):
    assert refusal(body) == "the body is not a JSON object"


@pytest.mark.parametrize("body", [b"{}", b'{"inputs":[]}', b'{"inputs":null}', b'{"instances":[1]}'])
def test_a_body_without_inputs_is_refused_showing_what_they_look_like(body):
    assert refusal(body).startswith('the request has no inputs; expected {"inputs":')


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b'{"inputs":{}}', "'inputs' is not an array of objects"),
        (b'{"inputs":[1]}', "'inputs' is not an array of objects"),
        (b'{"inputs":[{}]}', "an input: 'name' is missing, expected a string"),
        (b'{"inputs":[{"name":5}]}', "an input: 'name' is 5, expected a string"),
        (tensor_body()[:-1] + b',"outputs":[5]}', "'outputs' is not an array of objects"),
        (tensor_body()[:-1] + b',"outputs":[{"name":null}]}', "an output: 'name' is missing, expected a string"),
        (tensor_body()[:-1] + b',"id":5}', "'id' is 5, expected a string"),
        (tensor_body()[:-1] + b',"parameters":[]}', "'parameters' is [], expected an object"),
        (
            tensor_body()[:-1] + b',"parameters":{"a":{}}}',
            "parameter 'a' is {}, expected a string, number or boolean",
        ),
        (
            tensor_body()[:-1] + b',"parameters":{"a":null}}',
            "parameter 'a' is missing, expected a string, number or boolean",
        ),
        (tensor_body()[:-1] + b',"outputs":[{"name":"y"},{"name":"y"}]}', "output 'y' is given twice"),
        (b'{"inputs":[%s,%s]}' % ((tensor_body()[11:-2],) * 2), "input 'pixels' is given twice"),
    ],
)
def test_a_request_of_another_form_is_refused(body, why):
    assert refusal(body) == why


@pytest.mark.parametrize(
    "shape", ["null", "1", "{}", "[1.0]", "[true]", '["1"]', "[null]", "[[1]]", "[9223372036854775808]"]
)
def test_a_shape_that_is_no_array_of_integers_is_refused(shape):
    got = "missing" if shape == "null" else shape
    assert refusal(tensor_body(shape=shape)) == f"input 'pixels': shape is {got}, expected an array of integers"


@pytest.mark.parametrize(
    ("shape", "why"),
    [
        ("[-1]", "shape [-1] has a negative dimension"),
        ("[4294967296,4294967296]", "has over 268435456 elements (--max_elements)"),
        ("[1099511627777,0]", "is too large"),
        ("[0,-1]", "negative"),
    ],
)
def test_a_shape_that_nothing_can_have_is_refused(shape, why):
    message = refusal(tensor_body(shape=shape))
    assert message.startswith("tensor 'pixels': ")
    assert why in message


@pytest.mark.parametrize("datatype", ["fp32", "", "FLOAT", "FP8"])
def test_an_unknown_or_lower_case_datatype_is_refused(datatype):
    assert refusal(tensor_body(datatype)).startswith(f"tensor 'pixels': unknown datatype '{datatype}', expected one of")


EXPECTED = {"BOOL": "true or false", "BYTES": "a string, as BYTES are in JSON"}
BEYOND = "a value of another type or out of range"


@pytest.mark.parametrize(
    ("datatype", "value", "shown"),
    [
        *[(name, value, value) for name in ("FP32", "FP16", "BF16") for value in ('"1"', "null", "true", "{}")],
        *[("INT32", value, value) for value in ("1.0", '"1"', "null", "true")],
        ("INT32", "1e2", "100.0"),
        ("INT32", "9223372036854775808", BEYOND),
        ("UINT64", "-1", BEYOND),
        *[("UINT64", value, value) for value in ("1.5", "null")],
        *[("BOOL", value, value) for value in ("2", "-1", "null", '"true"', "0.5", "{}")],
        *[("BYTES", value, value) for value in ("1", "null", "true", '{"b64":""}')],
    ],
)
def test_a_value_of_another_type_is_refused_naming_the_tensor_with_what_was_got_and_expected(datatype, value, shown):
    expected = EXPECTED.get(datatype, datatype)
    assert (
        refusal(tensor_body(datatype, data=f"[{value}]")) == f"input 'pixels': data holds {shown}, expected {expected}"
    )


def test_the_value_that_is_named_is_the_one_that_does_not_suit():
    assert refusal(tensor_body("BOOL", "[2]", "[1,2]")) == "input 'pixels': data holds 2, expected true or false"


@pytest.mark.parametrize(
    ("datatype", "value"),
    [
        ("INT8", 300),
        ("INT8", -129),
        ("UINT8", 256),
        ("INT16", 2**15),
        ("UINT16", 2**16),
        ("INT32", 2**31),
        ("UINT32", 2**32),
    ],
)
def test_an_integer_out_of_range_is_refused_by_its_value(datatype, value):
    expected = f"tensor 'pixels': {value} is out of range for {datatype}"
    assert refusal(tensor_body(datatype, data=f"[{value}]")) == expected


@pytest.mark.parametrize("literal", ["NaN", "Infinity", "-Infinity", "nan", "1e400"])
def test_a_number_that_json_has_no_word_for_is_refused(literal):
    assert refusal(tensor_body("FP64", data=f"[{literal}]")).startswith("the body is not valid JSON:")


@pytest.mark.parametrize("data", ["null", "5", '"AAAA"', "{}"])
def test_data_that_is_no_array_is_refused(data):
    assert refusal(tensor_body(data=data)) == "input 'pixels': data is missing or not an array"


@pytest.mark.parametrize("datatype", ["FP32", "UINT8", "BOOL"])
def test_another_count_of_elements_is_refused_with_both_counts(datatype):
    expected = "input 'pixels': 3 elements, expected 4 for shape [2, 2]"
    assert refusal(tensor_body(datatype, "[2,2]", "[1,0,1]")) == expected


@pytest.mark.parametrize(
    ("shape", "data"),
    [
        ("[2,3]", "[[1,2],[3,4],[5,6]]"),
        ("[2,2]", "[[1,2,3],[4]]"),
        ("[2,2]", "[[1,0],[1]]"),
        ("[2,2,1]", "[[1,2],[3,4]]"),
        ("[]", "[[1]]"),
        ("[0]", "[[]]"),
    ],
)
def test_data_nested_otherwise_than_the_shape_is_refused(shape, data):
    message = refusal(tensor_body(shape=shape, data=data))
    assert message == f"input 'pixels': data is nested otherwise than shape {json.loads(shape)} says"


@pytest.mark.parametrize(
    ("size", "rest", "why"),
    [
        (5, b"abcd", "input 'pixels': binary_data_size is 5, expected an integer from 0 to 4"),
        (-1, b"abcd", "input 'pixels': binary_data_size is -1, expected an integer from 0 to 4"),
        (4.0, b"abcd", "input 'pixels': binary_data_size is 4.0, expected an integer from 0 to 4"),
        (True, b"abcd", "input 'pixels': binary_data_size is True, expected an integer from 0 to 4"),
        ("4", b"abcd", "input 'pixels': binary_data_size is '4', expected an integer from 0 to 4"),
        (3, b"abc", "tensor 'pixels': 3 bytes of data, expected 4 for UINT8 [4]"),
        (4, b"abcdef", "2 bytes are left after the last tensor's binary data"),
    ],
)
def test_binary_sizes_that_do_not_add_up_are_refused(size, rest, why):
    assert refusal(*binary_body(size, rest)) == why


def test_bytes_after_the_json_that_no_tensor_asked_for_are_refused():
    assert refusal(tensor_body() + b"abc", len(tensor_body())) == "3 bytes are left after the last tensor's binary data"


def test_data_beside_a_binary_block_is_refused():
    body, size = binary_body(4, b"abcd", data=[1, 2, 3, 4])
    assert refusal(body, size) == "input 'pixels': both data and binary_data_size are given"


def test_a_json_size_beyond_the_body_is_refused_with_both_sizes():
    assert refusal(b"{}", 3) == "Inference-Header-Content-Length is 3, expected 1 to 2, the body's length"
