"""The hot loop: requests -> rows of one batch buffer -> engine -> views of the outputs. Vectorised NumPy only.

request arrays (views of the wire's bytes) -> buffer[:rows] -> runtime.run -> outputs[start:end] a request
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from tandem.errors import Internal
from tandem.inference import Arrays
from tandem.tensors import Array, read_only

from tandem_predictor.runtime import Allocate


class Buffers:
    """The input buffers of one worker, `rows` rows each, reused from batch to batch.

    Only that worker touches them, and only the next `stack`, after the engine has returned, overwrites them.
    `allocate` makes them where the engine wants all of its inputs in such memory, and to write to.
    """

    def __init__(self, rows: int, allocate: Allocate | None = None) -> None:
        self._rows = rows
        self._allocate = allocate
        self._buffers: dict[str, Array] = {}

    def stack(self, requests: Sequence[Arrays]) -> Arrays:
        """The rows of all `requests` under one another, read-only. A single request passes through uncopied."""
        if self._allocate:
            return {name: self._own([request[name] for request in requests], name) for name in requests[0]}
        if len(requests) == 1:
            return {name: read_only(array) for name, array in requests[0].items()}
        stacked = {}
        for name in requests[0]:
            rows = self._filled([request[name] for request in requests], name)
            rows.flags.writeable = False
            stacked[name] = rows
        return stacked

    def hold(self, array: Array) -> bool:
        """Whether `array` lies in one of the buffers, so that it must be copied before the next batch."""
        return any(np.may_share_memory(array, buffer) for buffer in self._buffers.values())

    def _own(self, parts: Sequence[Array], name: str) -> Array:
        """`parts` in memory of `allocate`'s, which has no place for texts and scalars."""
        if parts[0].dtype.hasobject or not parts[0].ndim:
            return np.concatenate(parts) if parts[0].ndim else parts[0].copy()
        return self._filled(parts, name)

    def _filled(self, parts: Sequence[Array], name: str) -> Array:
        total = sum(map(len, parts))
        rows = self._buffer(name, parts[0], total)[:total]
        np.concatenate(parts, out=rows)
        return rows

    def _buffer(self, name: str, like: Array, rows: int) -> Array:
        buffer = self._buffers.get(name)
        if buffer is None or buffer.dtype != like.dtype or buffer.shape[1:] != like.shape[1:] or len(buffer) < rows:
            shape = (max(rows, self._rows), *like.shape[1:])
            buffer = self._buffers[name] = (self._allocate or np.empty)(shape, like.dtype)
        return buffer


def split(outputs: Arrays, rows: Sequence[int], buffers: Buffers) -> list[Arrays]:
    """Each request's rows of `outputs`, as views; raises Internal if the model returned another number of rows.

    Outputs that alias the input buffers (an identity model's) are copied: the next batch would overwrite them.
    """
    total, ends = sum(rows), np.cumsum(rows).tolist()
    for name, array in outputs.items():
        if array.ndim == 0 or len(array) != total:
            got = "a scalar" if array.ndim == 0 else f"{len(array)} rows"
            raise Internal(f"the model returned {got} of '{name}' for a batch of {total} rows")
    own = {name: array.copy() if buffers.hold(array) else array for name, array in outputs.items()}
    return [
        {name: array[end - count : end] for name, array in own.items()} for count, end in zip(rows, ends, strict=True)
    ]


def slices(inputs: Arrays, size: int) -> list[Arrays]:
    """`inputs` in pieces of at most `size` rows, as views."""
    total = len(next(iter(inputs.values())))
    return [
        {name: array[start : start + size] for name, array in inputs.items()} for start in range(0, max(total, 1), size)
    ]


def join(pieces: Sequence[Arrays]) -> Arrays:
    """The outputs of `slices`, put together again."""
    return pieces[0] if len(pieces) == 1 else {name: np.concatenate([p[name] for p in pieces]) for name in pieces[0]}


def rows_of(inputs: Arrays) -> int:
    """The rows of a batchable request, the same in every tensor once it is validated."""
    return len(next(iter(inputs.values())))


def signature(inputs: Arrays) -> tuple[object, ...]:
    """What two requests must share to share a batch: names, dtypes and trailing shapes."""
    return tuple((name, array.dtype, array.shape[1:]) for name, array in inputs.items())
