"""Rows into one buffer and out again: nothing lost, nothing shared that the next batch would overwrite."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from predictor.fakes import x
from tandem.errors import Internal
from tandem.inference import Arrays
from tandem.tensors import DTYPES, objects
from tandem_predictor.stacking import Buffers, join, rows_of, signature, slices, split

ROWS = 16


@st.composite
def batches(draw: st.DrawFn) -> list[Arrays]:
    """Compatible requests of 1 to 16 rows together, of one to three tensors of any dtype and trailing shape."""
    counts = draw(st.lists(st.integers(1, 5), min_size=1, max_size=6).filter(lambda counts: sum(counts) <= ROWS))
    plain = [dtype for dtype in DTYPES.values() if dtype.kind in "biuf" and dtype.isbuiltin == 1]
    kinds = draw(
        st.lists(st.tuples(st.sampled_from(plain), hnp.array_shapes(min_dims=0, max_dims=2, min_side=0)), min_size=1)
    )
    return [
        {
            f"t{index}": draw(hnp.arrays(dtype, (count, *shape), elements=hnp.from_dtype(dtype, allow_nan=False)))
            for index, (dtype, shape) in enumerate(kinds[:3])
        }
        for count in counts
    ]


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.lists(batches(), min_size=1, max_size=3))
def test_stacking_and_splitting_give_every_request_back_as_it_was(several: list[list[Arrays]]):
    buffers = Buffers(ROWS)
    answers = []
    for requests in several:  # the buffers are reused in between
        stacked = buffers.stack(requests)
        assert {len(array) for array in stacked.values()} == {sum(map(rows_of, requests))}
        answers += split(stacked, [rows_of(request) for request in requests], buffers)
    for answer, request in zip(answers, [request for requests in several for request in requests], strict=True):
        assert list(answer) == list(request)
        for name, array in request.items():
            assert answer[name].dtype == array.dtype
            np.testing.assert_array_equal(answer[name], array)


@settings(deadline=None, derandomize=True)
@given(st.integers(0, 40), st.integers(1, 12))
def test_slices_are_views_that_join_in_order(rows: int, size: int):
    request = {"x": np.arange(rows * 2).reshape(rows, 2), "t": objects([b"%d" % row for row in range(rows)])}
    pieces = slices(request, size)
    assert [rows_of(piece) for piece in pieces] == ([size] * (rows // size) + [rows % size] * (rows % size > 0) or [0])
    assert all(np.shares_memory(piece["x"], request["x"]) for piece in pieces if rows)
    joined = join(pieces)
    np.testing.assert_array_equal(joined["x"], request["x"])
    np.testing.assert_array_equal(joined["t"], request["t"])


def test_a_lone_request_is_not_copied():
    request = x(1, 2, 3)
    assert Buffers(4).stack([request])["x"] is request["x"]


def test_a_batch_lies_in_the_same_memory_as_the_batch_before_it():
    buffers = Buffers(4)
    first, second = buffers.stack([x(1), x(2)])["x"], buffers.stack([x(3), x(4), x(5)])["x"]
    assert np.shares_memory(first, second)
    assert second.ravel().tolist() == [3, 4, 5]


def test_a_stacked_batch_is_read_only():
    stacked = Buffers(4).stack([x(1), x(2)])["x"]
    with pytest.raises(ValueError, match="read-only"):
        stacked[0] = 7


def test_a_lone_request_is_read_only_too():
    assert not Buffers(4).stack([{"x": np.ones((1, 1), "<f4")}])["x"].flags.writeable


def test_another_dtype_or_trailing_shape_gets_a_buffer_of_its_own():
    buffers = Buffers(4)
    for columns, dtype in [(1, "<f4"), (3, "<f4"), (3, "<i8"), (1, "<f4")]:
        part = np.full((1, columns), 5, dtype)
        stacked = buffers.stack([{"x": part}, {"x": part}])["x"]
        assert (stacked.shape, stacked.dtype) == ((2, columns), np.dtype(dtype))
        assert np.all(stacked == 5)


def test_elements_of_text_are_stacked_as_they_are():
    parts = [{"t": objects([b"", b"\xff\x00"])}, {"t": objects([b"a" * 100])}]
    stacked = Buffers(4).stack(parts)["t"]
    assert stacked.tolist() == [b"", b"\xff\x00", b"a" * 100]


def test_outputs_are_split_as_views_and_not_copied():
    buffers, outputs = Buffers(4), {"y": np.arange(8.0).reshape(4, 2)}
    first, second = split(outputs, [1, 3], buffers)
    assert (first["y"].tolist(), second["y"].tolist()) == ([[0, 1]], [[2, 3], [4, 5], [6, 7]])
    assert np.shares_memory(first["y"], outputs["y"])


def test_outputs_inside_an_input_buffer_are_copied():
    buffers = Buffers(4)
    stacked = buffers.stack([x(1), x(2)])["x"]
    answers = split({"same": stacked, "turned": stacked[::-1], "own": stacked + 1}, [1, 1], buffers)
    buffers.stack([x(8), x(9)])
    assert [answer["same"].item() for answer in answers] == [1, 2]
    assert [answer["turned"].item() for answer in answers] == [2, 1]
    assert [answer["own"].item() for answer in answers] == [2, 3]


@pytest.mark.parametrize(
    ("array", "got"),
    [
        (np.zeros((2, 1)), "2 rows"),
        (np.zeros((4, 3)), "4 rows"),
        (np.zeros((0,)), "0 rows"),
        (np.zeros((1, 3)), "1 rows"),
        (np.float32(3), "a scalar"),
        (np.array(3), "a scalar"),
    ],
)
def test_another_number_of_rows_than_went_in_is_an_error(array: np.ndarray, got: str):
    with pytest.raises(Internal, match=f"{got} of 'y' for a batch of 3 rows"):
        split({"ok": np.zeros((3,)), "y": array}, [1, 2], Buffers(4))


@pytest.mark.parametrize(
    ("left", "right", "same"),
    [
        ({"a": np.zeros((1, 2))}, {"a": np.zeros((3, 2))}, True),
        ({"a": np.zeros(1)}, {"a": np.ones(2)}, True),
        ({"a": np.zeros((1, 2))}, {"a": np.zeros((1, 3))}, False),
        ({"a": np.zeros((1, 2))}, {"a": np.zeros((1, 2, 1))}, False),
        ({"a": np.zeros(1)}, {"b": np.zeros(1)}, False),
        ({"a": np.zeros(1)}, {"a": np.zeros(1), "b": np.zeros(1)}, False),
        ({"a": np.zeros(1, "<f4")}, {"a": np.zeros(1, "<f8")}, False),
        ({"a": np.zeros(1, "<i4")}, {"a": np.zeros(1, "<u4")}, False),
        ({"a": objects([b""])}, {"a": objects([b"longer"])}, True),
    ],
)
def test_requests_are_compatible_when_names_dtypes_and_trailing_shapes_agree(left: Arrays, right: Arrays, same: bool):
    assert (signature(left) == signature(right)) is same
