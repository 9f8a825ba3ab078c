"""The REST body and the values that it stands for."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from shared.strategies import QUICK, finite, maps, names, parameters, same, same_maps, tensors, words
from tandem.codec.json import decode_request, encode_metadata, encode_response
from tandem.errors import InvalidInput
from tandem.inference import InferRequest, InferResponse, RequestedOutput
from tandem.metadata import ModelMetadata, TensorSpec
from tandem.tensors import DTYPES, datatype_of, encode_raw, objects

text_bytes = words.map(str.encode)  # in JSON a BYTES element is a string


def listed(array):
    """The elements as a client's JSON library writes them, nested as the shape is; a scalar is a list of one."""
    nested = np.vectorize(bytes.decode, otypes=[object])(array) if array.dtype.hasobject and array.size else array
    return nested.tolist() if array.ndim else [nested.item()]


def nests(array):
    """Whether nested data of this array is accepted; see test_json_strict.py on the others."""
    return 0 not in array.shape[1:-1]


def body_of(inputs, **more):
    """A request's body with `inputs` as dicts."""
    return json.dumps({"inputs": inputs, **more}).encode()


def described(name, array, **more):
    return {"name": name, "datatype": datatype_of(array.dtype), "shape": array.shape, **more}


def sent_binary(inputs):
    """A body with a binary block for each input, and the bytes of JSON in it."""
    blocks = [encode_raw(array) for array in inputs.values()]
    sizes = [{"parameters": {"binary_data_size": len(block)}} for block in blocks]
    head = body_of([described(name, array, **size) for (name, array), size in zip(inputs.items(), sizes, strict=True)])
    return head + b"".join(blocks), len(head)


def answered(outputs, asked=(), *, raw=False):
    """The parsed JSON and the binary part of the answer with `outputs` to a request for the outputs in `asked`."""
    response = InferResponse("m", "1", outputs)
    body, size = encode_response(response, InferRequest("m", "", {}, outputs=tuple(asked), raw=raw))
    return json.loads(body[:size]), body[len(body) if size is None else size :]


def read_back(tensor):
    """The array in one output of a parsed answer."""
    elements = [element.encode() for element in tensor["data"]] if tensor["datatype"] == "BYTES" else tensor["data"]
    flat = objects(elements) if tensor["datatype"] == "BYTES" else np.array(elements, DTYPES[tensor["datatype"]])
    return flat.reshape(tensor["shape"])


@QUICK
@given(maps(elements=text_bytes), st.booleans())
def test_a_request_arrives_exactly_as_it_was_sent_nested_or_flat(inputs, nested):
    inputs = {name: finite(array) for name, array in inputs.items()}
    data = {name: listed(array if nested and nests(array) else array.ravel()) for name, array in inputs.items()}
    body = body_of([described(name, array, data=data[name]) for name, array in inputs.items()])
    assert same_maps(decode_request(body, "m", "").inputs, inputs)


@QUICK
@given(maps())
def test_a_request_in_binary_blocks_arrives_bit_for_bit(inputs):
    body, size = sent_binary(inputs)
    assert same_maps(decode_request(body, "m", "", size).inputs, inputs)


@QUICK
@given(tensors(elements=text_bytes))
def test_an_answer_arrives_exactly_as_it_was_sent(tensor):
    array = finite(tensor[1])
    document, rest = answered({"y": array})
    assert same(read_back(document["outputs"][0]), array)
    assert rest == b""


@QUICK
@given(maps())
def test_an_answer_in_binary_blocks_arrives_bit_for_bit(outputs):
    document, rest = answered(outputs, raw=True)
    assert rest == b"".join(encode_raw(array) for array in outputs.values())
    sizes = [tensor["parameters"]["binary_data_size"] for tensor in document["outputs"]]
    assert sizes == [len(encode_raw(array)) for array in outputs.values()]
    assert not any("data" in tensor for tensor in document["outputs"])


@QUICK
@given(words, parameters.filter(lambda values: "binary_data_output" not in values), st.lists(names, unique=True))
def test_id_parameters_and_outputs_arrive(request_id, values, wanted):
    asked = [{"name": name, "parameters": {"binary_data": True}} for name in wanted]
    inputs = [{"name": "x", "datatype": "FP32", "shape": [0], "data": []}]
    request = decode_request(body_of(inputs, id=request_id, parameters=values, outputs=asked), "model", "7")
    assert (request.id, request.parameters) == (request_id, values)
    assert request.outputs == tuple(RequestedOutput(name, {"binary_data": True}) for name in wanted)
    assert (request.model_name, request.model_version, request.raw) == ("model", "7", False)


@pytest.mark.parametrize(
    ("datatype", "digits"),
    [("INT64", "-9223372036854775808"), ("INT64", "9223372036854775807"), ("UINT64", "18446744073709551615")],
)
def test_a_64_bit_integer_keeps_its_last_digit_both_ways(datatype, digits):
    body = f'{{"inputs":[{{"name":"x","datatype":"{datatype}","shape":[1],"data":[{digits}]}}]}}'.encode()
    array = decode_request(body, "m", "").inputs["x"]
    assert str(array[0]) == digits
    written, _ = encode_response(InferResponse("m", "", {"y": array}), InferRequest("m", "", {}, raw=False))
    assert f'"data":[{digits}]'.encode() in written


def test_absent_id_and_outputs_are_empty_and_null_stands_for_absent():
    inputs = [{"name": "x", "datatype": "FP32", "shape": [1], "data": [1]}]
    absent = decode_request(body_of(inputs), "m", "")
    null = decode_request(body_of(inputs, id=None, parameters=None, outputs=None), "m", "")
    for request in (absent, null):
        assert (request.id, request.parameters, request.outputs, request.raw) == ("", {}, (), False)


def test_integers_are_welcome_where_floats_are_declared():
    body = body_of([{"name": "x", "datatype": "FP32", "shape": [2], "data": [1, 2.5]}])
    assert decode_request(body, "m", "").inputs["x"].tolist() == [1.0, 2.5]


def test_zero_and_one_stand_for_false_and_true():
    body = body_of([{"name": "x", "datatype": "BOOL", "shape": [4], "data": [0, 1, False, True]}])
    assert decode_request(body, "m", "").inputs["x"].tolist() == [False, True, False, True]


def test_json_and_binary_inputs_may_be_mixed():
    inputs = [
        {"name": "a", "datatype": "UINT8", "shape": [2], "parameters": {"binary_data_size": 2}},
        {"name": "b", "datatype": "INT8", "shape": [1], "data": [-1]},
        {"name": "c", "datatype": "BYTES", "shape": [1], "parameters": {"binary_data_size": 5}},
    ]
    head = body_of(inputs)
    request = decode_request(head + b"\x01\x02" + b"\x01\0\0\0z", "m", "", len(head))
    assert [array.tolist() for array in request.inputs.values()] == [[1, 2], [-1], [b"z"]]


@pytest.mark.parametrize(
    ("everything", "one", "binary"),
    [(False, None, False), (True, None, True), (False, True, True), (True, False, False)],
)
def test_an_output_is_binary_by_its_own_parameter_or_else_by_the_requests(everything, one, binary):
    asked = RequestedOutput("y", {} if one is None else {"binary_data": one})
    document, rest = answered({"y": np.array([1], "i1")}, [asked], raw=everything)
    assert (rest == b"\x01") is binary
    assert ("data" in document["outputs"][0]) is not binary


def test_binary_data_output_asks_for_binary_everywhere():
    body = body_of(
        [{"name": "x", "datatype": "FP32", "shape": [0], "data": []}], parameters={"binary_data_output": True}
    )
    assert decode_request(body, "m", "").raw


@pytest.mark.parametrize("datatype", ["FP16", "BF16", "FP32", "FP64"])
def test_nan_and_infinity_are_written_as_null(datatype):
    array = np.array([np.nan, np.inf, -np.inf, 1.5], DTYPES[datatype])
    assert answered({"y": array})[0]["outputs"][0]["data"] == [None, None, None, 1.5]


def test_what_is_absent_is_left_out_of_an_answer():
    document, _ = answered({"y": np.zeros(1, "f4")})
    assert list(document) == ["model_name", "model_version", "outputs"]
    response = InferResponse("m", "1", {}, id="7", parameters={"a": 0.5})
    body, size = encode_response(response, InferRequest("m", "", {}, raw=False))
    assert size is None
    assert json.loads(body) == {
        "model_name": "m",
        "model_version": "1",
        "id": "7",
        "parameters": {"a": 0.5},
        "outputs": [],
    }


def test_bytes_that_are_no_text_are_refused_with_the_way_to_get_them():
    with pytest.raises(InvalidInput, match=r"output 'thumbnail' holds bytes that are not UTF-8 text; .*binary_data"):
        answered({"thumbnail": objects([b"\xff\xd8"])})


def test_metadata_is_the_protocols_object_and_properties_only_where_there_are_some():
    spec = TensorSpec("x", "FP32", (-1, 3))
    document = json.loads(encode_metadata(ModelMetadata("m", ("1", "2"), "onnx", (spec,), ())))
    listed_spec = {"name": "x", "datatype": "FP32", "shape": [-1, 3]}
    expected = {"name": "m", "versions": ["1", "2"], "platform": "onnx", "inputs": [listed_spec], "outputs": []}
    assert document == expected
    assert json.loads(encode_metadata(ModelMetadata("m", (), "p", (), (), {"k": "v"})))["properties"] == {"k": "v"}
