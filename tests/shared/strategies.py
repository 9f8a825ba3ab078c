"""Hypothesis strategies for what travels, and the comparison that goes with them."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from tandem.tensors import DTYPES, objects

QUICK = settings(max_examples=120, deadline=None, database=None, derandomize=True)

shapes = st.lists(st.integers(0, 4), max_size=4).map(tuple)  # scalars and tensors without an element among them
words = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)  # every text that UTF-8 can hold
names = words.filter(bool)
parameters = st.dictionaries(
    words,
    st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | words,
    max_size=4,
)


def arrays(datatype, *, elements=None):
    """Arrays of a datatype, of any bits: NaN, infinities and the ends of each integer range are all drawn."""
    return shapes.flatmap(lambda shape: _filled(datatype, shape, elements))


def tensors(datatypes=tuple(DTYPES), *, elements=None):
    """Pairs of a datatype and an array of it."""
    return st.sampled_from(datatypes).flatmap(
        lambda datatype: st.tuples(st.just(datatype), arrays(datatype, elements=elements))
    )


def maps(datatypes=tuple(DTYPES), *, elements=None):
    """Named tensors, at least one."""
    values = st.sampled_from(datatypes).flatmap(lambda datatype: arrays(datatype, elements=elements))
    return st.dictionaries(names, values, min_size=1, max_size=3)


def finite(array):
    """The array with every NaN and infinity replaced by 0, since JSON has neither."""
    if array.dtype.hasobject or array.dtype.kind in "iub":
        return array
    return np.where(np.isfinite(array), array, np.zeros((), array.dtype)).astype(array.dtype)


def same(left, right):
    """Whether two arrays agree in dtype, shape and every bit."""
    if (left.dtype, left.shape) != (right.dtype, right.shape):
        return False
    return (
        left.ravel().tolist() == right.ravel().tolist() if left.dtype.hasobject else left.tobytes() == right.tobytes()
    )


def same_maps(left, right):
    """The same of named arrays, their order included."""
    return list(left) == list(right) and all(same(left[name], right[name]) for name in left)


def _filled(datatype, shape, elements):
    dtype, count = DTYPES[datatype], math.prod(shape)
    if datatype == "BYTES":
        one = st.binary(max_size=12) if elements is None else elements
        return st.lists(one, min_size=count, max_size=count).map(lambda drawn: objects(drawn).reshape(shape))
    if datatype == "BOOL":  # any other byte would be no valid NumPy bool
        return st.lists(st.booleans(), min_size=count, max_size=count).map(lambda d: np.array(d, dtype).reshape(shape))
    size = count * dtype.itemsize
    extremes = st.sampled_from([b"\0", b"\xff", b"\x7f", b"\x80"]).map(lambda byte: byte * size)
    return (st.binary(min_size=size, max_size=size) | extremes).map(
        lambda raw: np.frombuffer(raw, dtype).reshape(shape)
    )
