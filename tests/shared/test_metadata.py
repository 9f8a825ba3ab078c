"""What a model takes and gives, and how tensors are held against it."""

import numpy as np
import pytest
import tandem
from shared.strategies import same
from tandem.errors import Internal, InvalidInput
from tandem.metadata import TensorSpec, as_arrays, match, select
from tandem.tensors import DTYPES, datatype_of

IMAGE = TensorSpec("image", "UINT8", (-1, 3))
SCALE = TensorSpec("scale", "FP32", (1,))
PIXELS, FACTOR = np.zeros((2, 3), "u1"), np.ones(1, "f4")


@pytest.mark.parametrize(
    ("declared", "shape", "admitted"),
    [
        ((), (), True),
        ((2, 3), (2, 3), True),
        ((-1, 3), (0, 3), True),
        ((-1, 3), (7, 3), True),
        ((-1, -1), (1, 2), True),
        ((-1, 3), (7, 4), False),
        ((-1,), (7, 3), False),
        ((-1, 3), (3,), False),
        ((-1,), (), False),
        ((2,), (3,), False),
        ((0,), (0,), True),
        ((0,), (3,), False),
    ],
)
def test_a_spec_admits_its_rank_and_its_fixed_dimensions(declared, shape, admitted):
    assert TensorSpec("x", "FP32", declared).admits(shape) is admitted


@pytest.mark.parametrize("datatype", list(DTYPES))
def test_a_spec_takes_its_own_datatype_and_no_other(datatype):
    for other, dtype in DTYPES.items():
        array = np.zeros(1, dtype)
        if other == datatype:
            TensorSpec("x", datatype, (1,)).check(array)
            continue
        with pytest.raises(InvalidInput) as refused:
            TensorSpec("x", datatype, (1,)).check(array)
        assert refused.value.message == f"input 'x': datatype is {other}, expected {datatype}"


def test_another_shape_is_refused_with_both_shapes():
    with pytest.raises(InvalidInput) as refused:
        IMAGE.check(np.zeros((2, 4), "u1"))
    assert refused.value.message == "input 'image': shape is [2, 4], expected [-1, 3]"


def test_inputs_come_in_the_order_in_which_they_are_declared():
    matched = match({"scale": FACTOR, "image": PIXELS}, (IMAGE, SCALE))
    assert list(matched) == ["image", "scale"]
    assert matched["image"] is PIXELS


def test_the_name_of_the_only_input_does_not_matter():
    assert list(match({"anything": PIXELS}, (IMAGE,))) == ["image"]


def test_a_scalar_stands_for_a_vector_of_one():
    vector = TensorSpec("x", "FP32", (-1,))
    assert same(match({"x": np.array(5, "f4")}, (vector,))["x"], np.array([5], "f4"))


@pytest.mark.parametrize("declared", [(1,), (-1, 1), (2,)])
def test_a_scalar_stands_for_nothing_else(declared):
    with pytest.raises(InvalidInput, match=r"input 'x': shape is \[\], expected \["):
        match({"x": np.array(5, "f4")}, (TensorSpec("x", "FP32", declared),))


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"image": PIXELS, "mask": FACTOR}, "unknown input 'mask'; the model's inputs are: image, scale"),
        ({"image": PIXELS}, "input 'scale' is missing; the model's inputs are: image, scale"),
        ({}, "input 'image' is missing; the model's inputs are: image, scale"),
        ({"image": PIXELS, "scale": PIXELS}, "input 'scale': datatype is UINT8, expected FP32"),
    ],
)
def test_other_inputs_than_declared_are_refused_by_name(given, why):
    with pytest.raises(InvalidInput) as refused:
        match(given, (IMAGE, SCALE))
    assert refused.value.message == why


def test_two_inputs_for_one_declared_are_refused():
    with pytest.raises(InvalidInput, match="unknown input 'mask'; the model's inputs are: image"):
        match({"image": PIXELS, "mask": FACTOR}, (IMAGE,))


def test_outputs_come_as_they_were_asked_for_and_all_without_a_wish():
    outputs = {"a": PIXELS, "b": FACTOR, "c": FACTOR}
    assert list(select(outputs, ())) == ["a", "b", "c"]
    assert list(select(outputs, ("c", "a"))) == ["c", "a"]
    assert select(outputs, ("a",))["a"] is PIXELS


def test_an_output_that_the_model_does_not_have_is_refused_by_name():
    with pytest.raises(InvalidInput) as refused:
        select({"a": PIXELS, "b": FACTOR}, ("a", "z"))
    assert refused.value.message == "unknown output 'z'; the model's outputs are: a, b"


@pytest.mark.parametrize(
    "text", [np.array(["é", "", "cat"]), np.array("é"), np.array([], "U1"), np.array([["a"], ["b"]])]
)
def test_text_that_user_code_returned_becomes_bytes(text):
    array = as_arrays({"labels": text}, "postprocess")["labels"]
    assert (array.dtype, array.shape) == (np.dtype(object), text.shape)
    assert array.ravel().tolist() == [element.encode() for element in text.ravel().tolist()]


def test_other_arrays_that_user_code_returned_are_left_alone():
    assert as_arrays({"a": PIXELS}, "preprocess")["a"] is PIXELS


@pytest.mark.parametrize(
    ("result", "why"),
    [
        (None, "preprocess returned NoneType, expected a dict of NumPy arrays"),
        (PIXELS, "preprocess returned ndarray, expected a dict of NumPy arrays"),
        ({"a": [1, 2]}, "preprocess returned 'a' as list, expected numpy.ndarray"),
        ({"a": PIXELS, "b": np.float32(1)}, "preprocess returned 'b' as float32, expected numpy.ndarray"),
    ],
)
def test_what_user_code_must_not_return_is_an_internal_error_saying_what_it_should(result, why):
    with pytest.raises(Internal) as failed:
        as_arrays(result, "preprocess")
    assert failed.value.message == why


def test_authors_find_what_they_need_in_the_package_itself():
    assert tandem.TensorSpec is TensorSpec
    assert tandem.InvalidInput is InvalidInput
    assert {"Context", "InvalidInput", "ModelMetadata", "TensorSpec"} <= set(tandem.__all__)


def test_text_in_numpys_own_string_dtype_becomes_bytes_too():
    text = np.array(["é", "cat"], np.dtypes.StringDType())
    assert datatype_of(as_arrays({"labels": text}, "postprocess")["labels"].dtype) == "BYTES"
