"""The array-agnostic loop: each library that is there gives what a slow reference gives."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import array_api_strict
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from tandem_predictor.devices import numerics

Make = Callable[[np.ndarray], Any]


def torch_tensor(array: np.ndarray) -> Any:
    torch = pytest.importorskip("torch", reason="PyTorch's build for the CPU is not to be had here")
    return torch.from_numpy(array.copy())


LIBRARIES: list[Make] = [np.asarray, array_api_strict.asarray, torch_tensor]
each_library = pytest.mark.parametrize("make", LIBRARIES, ids=["numpy", "array-api-strict", "torch"])
SCORES = arrays.arrays(
    np.float32,
    st.tuples(st.integers(1, 4), st.integers(1, 12)),
    elements=st.floats(-50, 50, width=32),
)


def images(rows: int) -> np.ndarray:
    return np.random.default_rng(rows).integers(0, 256, (rows, 5, 4, 3), np.uint8)


@each_library
@pytest.mark.parametrize("channels_first", [True, False])
@pytest.mark.parametrize("numbers", [1, 3])
@pytest.mark.parametrize("rows", [0, 1, 3])
def test_normalisation_is_that_of_the_slow_loop(make: Make, channels_first: bool, numbers: int, rows: int):
    pixels = images(rows)
    mean, std = np.array([123.7, 116.3, 103.5][:numbers], "f4"), np.array([58.4, 57.1, 57.4][:numbers], "f4")
    made = numerics.normalised(make(pixels), make(mean), make(std), channels_first=channels_first)
    expected = np.empty((rows, 3, 5, 4) if channels_first else (rows, 5, 4, 3), "f4")
    for row, y, x, channel in np.ndindex(pixels.shape):
        value = (np.float32(pixels[row, y, x, channel]) - mean[channel % numbers]) / std[channel % numbers]
        expected[(row, channel, y, x) if channels_first else (row, y, x, channel)] = value
    np.testing.assert_array_equal(np.asarray(made), expected)


@pytest.mark.parametrize("make", [np.asarray, torch_tensor], ids=["numpy", "torch"])
def test_what_goes_to_the_engine_is_in_order_and_in_its_dtype(make: Make):
    made = numerics.normalised(
        make(images(2)), make(np.array([1], "f4")), make(np.array([2], "f4")), channels_first=True, dtype="float16"
    )
    assert np.asarray(made).flags.c_contiguous
    assert np.asarray(made).dtype == np.float16


@each_library
@given(SCORES)
def test_the_best_are_those_of_a_stable_sort(make: Make, scores: np.ndarray):
    count = (scores.shape[1] + 1) // 2
    values, classes = numerics.best(make(scores), count)
    expected = [sorted(range(len(row)), key=lambda index: (-row[index], index))[:count] for row in scores]
    assert np.asarray(classes).tolist() == expected
    assert np.asarray(classes).dtype == np.int64
    np.testing.assert_array_equal(np.asarray(values), np.take_along_axis(scores, np.array(expected), axis=1))


@each_library
def test_nan_comes_last(make: Make):
    _, classes = numerics.best(make(np.array([[np.nan, 1, -np.inf, 2]], "f4")), 4)
    assert np.asarray(classes).tolist() == [[3, 1, 2, 0]]


@each_library
@given(SCORES)
def test_scores_become_distributions_row_by_row(make: Make, scores: np.ndarray):
    made = np.asarray(numerics.distributions(make(scores)))
    for row, got in zip(scores.astype(np.float64), made, strict=True):
        if row.min() >= 0 and abs(row.sum() - 1) < 0.9e-3:
            np.testing.assert_array_equal(got, row.astype(np.float32))
        elif row.min() < 0 or abs(row.sum() - 1) > 1.1e-3:
            powers = np.exp(row - row.max())
            np.testing.assert_allclose(got, powers / powers.sum(), rtol=2e-5, atol=1e-7)


@each_library
def test_a_distribution_stays_as_it_is(make: Make):
    rows = np.array([[0.25, 0.75, 0], [3, 1, 2]], "f4")
    made = np.asarray(numerics.distributions(make(rows)))
    np.testing.assert_array_equal(made[0], rows[0])
    assert made[1].sum() == pytest.approx(1)
