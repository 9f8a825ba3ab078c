"""A stand-in for CuPy where there is no GPU: NumPy's memory, and a stream that shows who does not wait for it.

A copy to the host is made when the stream is waited for, and not before. The address of an array can only be had while
nothing is under way. It is as strict as CuPy about the rest: real copies take contiguous arrays of one dtype.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from types import SimpleNamespace, TracebackType

import numpy as np


class Stream:
    """What was put into it since it was last waited for."""

    def __init__(self, non_blocking: bool = False) -> None:
        assert non_blocking  # a blocking one would wait for every other
        self.pending: list[Callable[[], None]] = []
        self.waits = 0

    def synchronize(self) -> None:
        for work in self.pending:
            work()
        self.pending.clear()
        self.waits += 1

    def __enter__(self) -> Stream:
        CURRENT.append(self)
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        assert CURRENT.pop() is self


class Array(np.ndarray):
    """An array of the device."""

    def set(self, array: np.ndarray, stream: Stream) -> None:
        assert self.flags.c_contiguous
        assert array.flags.c_contiguous
        assert (self.dtype, self.shape) == (array.dtype, array.shape)
        np.asarray(self)[...] = array
        stream.pending.append(lambda: None)

    def get(self, stream: Stream, out: np.ndarray, blocking: bool) -> np.ndarray:
        assert not blocking
        out.fill(77)  # what somebody sees who does not wait
        stream.pending.append(lambda: np.copyto(out, np.asarray(self)))
        return out

    def __array_function__(self, function, types, args, kwargs):
        """What is made of an array of the device is one."""
        made = super().__array_function__(function, types, args, kwargs)
        return made.view(Array) if type(made) is np.ndarray else made

    @property
    def data(self) -> SimpleNamespace:
        assert not any(stream.pending for stream in CURRENT), "the engine was started before the copies had ended"
        assert self.flags.c_contiguous
        return SimpleNamespace(ptr=self.ctypes.data)


CURRENT: list[Stream] = []


class Context:
    """A device, of which there are two."""

    def __init__(self, index: int) -> None:
        assert index < 2
        self.id = index

    def __enter__(self) -> Context:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        pass


class CUDARuntimeError(RuntimeError):
    """As CuPy's."""


def empty(shape: tuple[int, ...], dtype: np.dtype) -> Array:
    assert CURRENT, "made outside of the lane"
    made = np.empty(shape, dtype).view(Array)
    made.fill(99)  # rubbish
    return made


def adopted(shape: tuple[int, ...], dtype: np.dtype, memory: SimpleNamespace) -> Array:
    raw = (ctypes.c_ubyte * memory.size).from_address(memory.pointer)
    made = np.frombuffer(raw, np.dtype(dtype)).reshape(shape).view(Array)
    made.owner = memory.owner
    return made


def empty_pinned(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    PINNED.append(np.empty(shape, dtype))
    return PINNED[-1]


PINNED: list[np.ndarray] = []
LIMITS: list[int] = []


def _limit(size: int) -> None:
    LIMITS.append(size)


cupyx = SimpleNamespace(empty_pinned=empty_pinned)
cupy = SimpleNamespace(
    empty=empty,
    ndarray=adopted,
    get_default_memory_pool=lambda: SimpleNamespace(set_limit=_limit),
    cuda=SimpleNamespace(
        Device=Context,
        Stream=Stream,
        UnownedMemory=lambda pointer, size, owner, device: SimpleNamespace(pointer=pointer, size=size, owner=owner),
        MemoryPointer=lambda memory, offset: memory,
        runtime=SimpleNamespace(getDeviceCount=lambda: 2, CUDARuntimeError=CUDARuntimeError),
    ),
)
