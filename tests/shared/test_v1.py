"""KServe's V1 protocol: instances and inputs in, predictions out, and back as a predictor's client sees them."""

from __future__ import annotations

import base64
import json

import ml_dtypes
import numpy as np
import pytest
from tandem import tensors
from tandem.codec import v1
from tandem.errors import InvalidInput
from tandem.inference import InferResponse, Limits
from tandem.metadata import ModelMetadata, TensorSpec

PHOTO = b"\xff\xd8\x00photo"
B64 = {"b64": base64.b64encode(PHOTO).decode()}


def model(*inputs: tuple[str, str]) -> ModelMetadata:
    return ModelMetadata("m", ("1",), "fake", tuple(TensorSpec(name, kind, (-1,)) for name, kind in inputs), ())


IMAGES, NUMBERS, PAIR = model(("photo", "BYTES")), model(("x", "FP32")), model(("x", "FP32"), ("n", "INT64"))
ANYTHING = model()  # a model that describes nothing


def decode(document, described=NUMBERS):
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    return v1.decode_request(body, described)


def lists(request):
    return {name: array.tolist() for name, array in request.inputs.items()}


def answer(**outputs):
    return json.loads(v1.encode_response(InferResponse("m", "1", outputs)))


@pytest.mark.parametrize(
    ("document", "described", "inputs"),
    [
        ({"instances": [[1, 2], [3, 4]]}, NUMBERS, {"x": [[1, 2], [3, 4]]}),
        ({"instances": [1, 2.5]}, NUMBERS, {"x": [1, 2.5]}),
        ({"instances": [{"x": [1]}, {"x": [2]}]}, NUMBERS, {"x": [[1], [2]]}),
        ({"instances": [{"anything": [1]}]}, NUMBERS, {"x": [[1]]}),
        ({"instances": [{"x": 1.5, "n": 2}, {"n": 3, "x": 4}]}, PAIR, {"x": [1.5, 4], "n": [2, 3]}),
        ({"inputs": [1, 2]}, NUMBERS, {"x": [1, 2]}),
        ({"inputs": {"x": [1, 2], "n": [3, 4]}}, PAIR, {"x": [1, 2], "n": [3, 4]}),
        ({"instances": [B64]}, IMAGES, {"photo": [PHOTO]}),
        ({"instances": [{"photo": B64}, {"photo": B64}]}, IMAGES, {"photo": [PHOTO, PHOTO]}),
        ({"instances": [{"image": B64}]}, IMAGES, {"photo": [PHOTO]}),
        ({"instances": ["text", "é"]}, IMAGES, {"photo": [b"text", "é".encode()]}),
        ({"instances": [B64, "text"]}, IMAGES, {"photo": [PHOTO, b"text"]}),
        ({"inputs": {"photo": [B64]}}, IMAGES, {"photo": [PHOTO]}),
        ({"instances": [[1, 2]], "signature_name": "serving"}, NUMBERS, {"x": [[1, 2]]}),
    ],
)
def test_instances_and_inputs_become_the_models_tensors(document, described, inputs):
    request = decode(document, described)
    assert lists(request) == inputs
    assert (request.model_name, request.model_version, request.raw) == ("m", "", False)


@pytest.mark.parametrize(
    ("datatype", "values"),
    [
        ("FP32", [1, 2.5]),
        ("FP64", [1, 2]),
        ("FP16", [0.5]),
        ("BF16", [0.5, 3]),
        ("INT8", [-128, 127]),
        ("UINT8", [0, 255]),
        ("INT64", [2**53 + 1]),
        ("UINT64", [2**64 - 1]),
        ("BOOL", [True, False]),
    ],
)
def test_the_models_datatype_decides_what_numbers_become(datatype, values):
    array = decode({"instances": values}, model(("x", datatype))).inputs["x"]
    assert array.dtype == tensors.DTYPES[datatype]
    assert array.tolist() == values
    assert not array.flags.writeable


@pytest.mark.parametrize(
    ("datatype", "value", "why"),
    [
        ("FP32", "text", "a value is no FP32"),
        ("FP32", None, "a value is no FP32"),
        ("FP32", True, "a value is no FP32"),
        ("INT32", 1.5, "a value is no INT32"),
        ("INT8", 300, "300 is out of range for INT8"),
        ("UINT8", -1, "-1 is out of range for UINT8"),
        ("BOOL", 1, "a value is no BOOL"),
        ("INT64", 10**30, "a value is no INT64"),
        ("BYTES", 5, "a value is neither a string nor"),
        ("BYTES", [1], "a value is neither a string nor"),
        ("BYTES", {"b64": "*"}, "b64 is not valid base64"),
        ("BYTES", {"b64": 5}, "b64 is not valid base64"),
        ("BYTES", {"a": {"a": {"b64": ""}}}, "a value is neither a string nor"),
    ],
)
def test_a_value_that_does_not_suit_the_datatype_is_refused_naming_the_input(datatype, value, why):
    with pytest.raises(InvalidInput, match="'x'") as refused:
        decode({"inputs": [value]}, model(("x", datatype)))
    assert why in refused.value.message


@pytest.mark.parametrize(
    ("document", "described", "why"),
    [
        (b"{", NUMBERS, "the body is not valid JSON"),
        (b"", NUMBERS, "the body is not valid JSON"),
        (b"[" * 5000, NUMBERS, "the body is not valid JSON"),
        ([1], NUMBERS, "neither or both of instances and inputs"),
        ({}, NUMBERS, "neither or both of instances and inputs"),
        ({"instances": [1], "inputs": [1]}, NUMBERS, "neither or both of instances and inputs"),
        ({"instances": []}, NUMBERS, "instances is not an array of one or more"),
        ({"instances": 5}, NUMBERS, "instances is not an array of one or more"),
        ({"instances": {"x": [1]}}, NUMBERS, "instances is not an array of one or more"),
        ({"inputs": 5}, NUMBERS, "inputs is neither an array nor an object of arrays"),
        ({"inputs": {"x": 5}}, NUMBERS, "inputs is neither an array nor an object of arrays"),
        ({"inputs": {}}, NUMBERS, "the request is empty"),
        ({"instances": [{}]}, PAIR, "the request is empty"),
        ({"instances": [{"x": 1}, {"n": 1}]}, PAIR, "the instances differ in their keys"),
        ({"instances": [{"x": 1, "z": 1}]}, PAIR, "unknown input 'z'; the model's inputs are: x, n"),
        ({"inputs": {"z": [1]}}, NUMBERS, "unknown input 'z'; the model's inputs are: x"),
        ({"instances": [1]}, PAIR, "the model has several inputs (x, n)"),
        ({"inputs": [1]}, PAIR, "the model has several inputs (x, n)"),
        ({"instances": [[1, 2], [3]]}, NUMBERS, "input 'x': the instances differ in their shape"),
        ({"instances": [[1], 3]}, NUMBERS, "input 'x': the instances differ in their shape"),
    ],
)
def test_a_body_of_another_form_is_refused_with_what_is_wrong(document, described, why):
    with pytest.raises(InvalidInput) as refused:
        decode(document, described)
    assert why in refused.value.message


@pytest.mark.parametrize(
    ("instances", "datatype"),
    [([1.5], "FP32"), ([[1, 2]], "INT64"), ([True], "BOOL"), (["text"], "BYTES"), ([B64], "BYTES")],
)
def test_without_a_description_the_values_decide_the_datatype(instances, datatype):
    (array,) = decode({"instances": instances}, ANYTHING).inputs.values()
    assert tensors.datatype_of(array.dtype) == datatype


@pytest.mark.parametrize("instances", [[None], [[1], [2, 3]], ["text", 5], [{"a": {"c": 1, "d": 2}}]])
def test_without_a_description_a_mixture_is_refused(instances):
    with pytest.raises(InvalidInput):
        decode({"instances": instances}, ANYTHING)


@pytest.mark.parametrize(
    ("outputs", "predictions"),
    [
        ({"y": np.array([[1.5, 2], [3, 4]], "f4")}, [[1.5, 2], [3, 4]]),
        ({"y": np.array([1, 2]), "z": np.array([[3], [4]])}, [{"y": 1, "z": [3]}, {"y": 2, "z": [4]}]),
        ({"y": tensors.objects([b"cat", PHOTO])}, ["cat", B64]),
        ({"y": tensors.objects([b"a", b"b"]).reshape(1, 2)}, [["a", "b"]]),
        ({"y": np.array([0.5], ml_dtypes.bfloat16)}, [0.5]),
        ({"y": np.array([True, False])}, [True, False]),
        ({"y": np.float32(2.5).reshape(())}, [2.5]),
        ({"y": np.zeros((0, 3), "f4")}, []),
    ],
)
def test_predictions_are_the_rows_of_one_output_or_objects_of_several(outputs, predictions):
    assert answer(**outputs) == {"predictions": predictions}


def test_nan_and_infinity_are_written_as_null():
    assert answer(y=np.array([np.nan, np.inf, 1.0], "f4")) == {"predictions": [None, None, 1.0]}


@pytest.mark.parametrize(
    "inputs",
    [
        {"x": np.array([[1, 2], [3, 4]], "f4")},
        {"x": np.array([1.5, 4], "f4"), "n": np.array([2, 3])},
    ],
)
def test_what_is_asked_of_a_predictor_is_what_it_decodes(inputs):
    described = PAIR if len(inputs) > 1 else NUMBERS
    request = v1.decode_request(v1.encode_request(inputs), described)
    assert lists(request) == {name: array.tolist() for name, array in inputs.items()}


def test_photos_reach_a_predictor_byte_for_byte():
    request = v1.decode_request(v1.encode_request({"photo": tensors.objects([PHOTO, b"text"])}), IMAGES)
    assert lists(request) == {"photo": [PHOTO, b"text"]}


@pytest.mark.parametrize(
    ("predictions", "outputs"),
    [
        ([[1.5], [2]], {"predictions": [[1.5], [2]]}),
        (["cat", "dog"], {"predictions": [b"cat", b"dog"]}),
        ([{"y": 1, "z": "a"}, {"y": 2, "z": "b"}], {"y": [1, 2], "z": [b"a", b"b"]}),
    ],
)
def test_a_predictors_predictions_become_arrays(predictions, outputs):
    decoded = v1.decode_response(json.dumps({"predictions": predictions}).encode())
    assert {name: array.tolist() for name, array in decoded.items()} == outputs


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"predictions":5}', b'{"predictions":null}', b"<html>"])
def test_an_answer_without_predictions_is_a_value_error(body):
    with pytest.raises(ValueError, match=r".+"):
        v1.decode_response(body)


def test_tensors_of_different_rows_cannot_be_asked_for():
    with pytest.raises(InvalidInput, match="differ in their first dimension"):
        v1.encode_request({"a": np.zeros(2, "f4"), "b": np.zeros(3, "f4")})


@pytest.mark.parametrize(
    ("inputs", "why"),
    [
        ({"a": [1], "b": [2]}, "the request has 2 inputs, at most 1"),
        ({"a" * 9: [1]}, "is too long, at most 8"),
        ({"a": [[1, 2], [3, 4]]}, "has over 3 elements"),
    ],
)
def test_the_limits_of_a_request_hold_here_too(inputs, why):
    body = json.dumps({"inputs": inputs}).encode()
    with pytest.raises(InvalidInput, match=why):
        v1.decode_request(body, ANYTHING, Limits(tensors=1, elements=3, name_length=8))
