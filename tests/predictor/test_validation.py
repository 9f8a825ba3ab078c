"""Requests that a model can run, and the words for those that it cannot."""

from __future__ import annotations

import numpy as np
import pytest
from tandem import InvalidInput, ModelMetadata, TensorSpec
from tandem.inference import Arrays, InferRequest, RequestedOutput
from tandem.tensors import objects
from tandem_predictor.validation import validate

F4 = np.dtype("<f4")
IMAGE = (TensorSpec("image", "FP32", (-1, 2)),)
PAIR = (TensorSpec("ids", "INT64", (-1, -1)), TensorSpec("mask", "INT64", (-1, -1)))
TEXT = (TensorSpec("text", "BYTES", (-1,)),)
FIXED = (TensorSpec("a", "FP32", (2, 3)), TensorSpec("b", "FP32", (5,)))
SCALAR = (TensorSpec("s", "FP32", ()),)


def accepted(specs: tuple[TensorSpec, ...], inputs: Arrays, *outputs: str, batchable: bool = True) -> Arrays:
    model = ModelMetadata("m", ("1",), "fake", specs, (TensorSpec("y", "FP32", (-1,)), TensorSpec("z", "FP32", (-1,))))
    request = InferRequest("m", "", inputs, outputs=tuple(RequestedOutput(name) for name in outputs))
    return validate(request, model, batchable=batchable)


@pytest.mark.parametrize(
    ("specs", "inputs", "batchable"),
    [
        (IMAGE, {"image": np.zeros((1, 2), F4)}, True),
        (IMAGE, {"image": np.zeros((0, 2), F4)}, True),
        (IMAGE, {"image": np.zeros((1000, 2), F4)}, True),
        (PAIR, {"ids": np.zeros((3, 7), "<i8"), "mask": np.zeros((3, 1), "<i8")}, True),
        (TEXT, {"text": objects([b"", b"\xff"])}, True),
        (FIXED, {"a": np.zeros((2, 3), F4), "b": np.zeros(5, F4)}, False),
        (SCALAR, {"s": np.zeros((), F4)}, False),
    ],
)
def test_a_request_of_the_declared_kind_passes_untouched(specs, inputs: Arrays, batchable: bool):
    passed = accepted(specs, inputs, batchable=batchable)
    assert list(passed) == [spec.name for spec in specs]
    assert all(passed[name] is inputs[name] for name in inputs)


def test_inputs_come_in_the_order_of_the_model():
    inputs = {"mask": np.ones((1, 1), "<i8"), "ids": np.zeros((1, 1), "<i8")}
    passed = accepted(PAIR, inputs)
    assert list(passed) == ["ids", "mask"]
    assert passed["mask"] is inputs["mask"]


def test_the_name_of_an_only_input_does_not_matter():
    assert list(accepted(IMAGE, {"input-0": np.zeros((1, 2), F4)})) == ["image"]


def test_a_scalar_is_a_vector_of_one_where_any_length_is_declared():
    assert accepted(TEXT, {"text": np.array(b"one", object)})["text"].tolist() == [b"one"]


@pytest.mark.parametrize(
    ("specs", "inputs", "text"),
    [
        (IMAGE, {}, "input 'image' is missing; the model's inputs are: image"),
        (IMAGE, {"image": np.zeros((1, 2), F4), "x": np.zeros(1, F4)}, "unknown input 'x'"),
        (PAIR, {"ids": np.zeros((1, 1), "<i8")}, "input 'mask' is missing; the model's inputs are: ids, mask"),
        (PAIR, {"ids": np.zeros((1, 1), "<i8"), "Mask": np.zeros((1, 1), "<i8")}, "unknown input 'Mask'"),
        (IMAGE, {"image": np.zeros((1, 2), "<f8")}, "'image': datatype is FP64, expected FP32"),
        (IMAGE, {"image": objects([b"a"])}, "'image': datatype is BYTES, expected FP32"),
        (TEXT, {"text": np.zeros(1, "u1")}, "'text': datatype is UINT8, expected BYTES"),
        (IMAGE, {"image": np.zeros((1, 3), F4)}, r"'image': shape is \[1, 3\], expected \[-1, 2\]"),
        (IMAGE, {"image": np.zeros(2, F4)}, r"'image': shape is \[2\], expected \[-1, 2\]"),
        (IMAGE, {"image": np.zeros((1, 1, 2), F4)}, r"shape is \[1, 1, 2\]"),
        (IMAGE, {"image": np.zeros((), F4)}, r"shape is \[\], expected \[-1, 2\]"),
        (FIXED, {"a": np.zeros((1, 3), F4), "b": np.zeros(5, F4)}, r"'a': shape is \[1, 3\], expected \[2, 3\]"),
        (SCALAR, {"s": np.zeros(1, F4)}, r"'s': shape is \[1\], expected \[\]"),
    ],
)
def test_a_request_of_another_kind_is_refused_naming_the_tensor(specs, inputs: Arrays, text: str):
    with pytest.raises(InvalidInput, match=text):
        accepted(specs, inputs, batchable=False)


ROWS_DIFFER = {"ids": np.zeros((2, 4), "<i8"), "mask": np.zeros((3, 4), "<i8")}


def test_the_inputs_of_a_batchable_model_agree_in_their_rows():
    with pytest.raises(InvalidInput, match=r"differ in their first dimension.*'ids': 2, 'mask': 3"):
        accepted(PAIR, ROWS_DIFFER)


def test_the_inputs_of_another_model_need_not_agree():
    assert accepted(PAIR, ROWS_DIFFER, batchable=False) == ROWS_DIFFER


@pytest.mark.parametrize("outputs", [(), ("y",), ("z", "y")])
def test_any_outputs_of_the_model_may_be_asked_for(outputs: tuple[str, ...]):
    assert accepted(IMAGE, {"image": np.zeros((1, 2), F4)}, *outputs)


@pytest.mark.parametrize("outputs", [("x",), ("y", "x"), ("Y",), ("",)])
def test_an_output_that_does_not_exist_is_refused_naming_those_that_do(outputs: tuple[str, ...]):
    with pytest.raises(InvalidInput, match=f"unknown output '{outputs[-1]}'; the model's outputs are: y, z"):
        accepted(IMAGE, {"image": np.zeros((1, 2), F4)}, *outputs)


@pytest.mark.parametrize(
    ("inputs", "outputs"),
    [
        ({"image": np.zeros((1, 2), F4)}, ("o" * 100_000,)),
        ({"image": np.zeros((1, 2), F4), "i" * 100_000: np.zeros(1, F4)}, ()),
    ],
    ids=["output", "input"],
)
def test_an_endless_name_is_cut_in_the_error(inputs: Arrays, outputs: tuple[str, ...]):
    with pytest.raises(InvalidInput) as caught:
        accepted(IMAGE, inputs, *outputs)
    assert len(caught.value.message) < 1000
