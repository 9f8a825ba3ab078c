"""A lane: the order in which one instance's copies and kernels run on its device.

    host array -> upload -> arrays of the device's library -> download -> host array

Several lanes on one device run beside one another: while one computes, the other copies. That is what double-buffers
the batches of a GPU, with an instance for each buffer.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Protocol

import numpy as np
from tandem.inference import Arrays
from tandem.tensors import Array

from tandem_predictor.devices import CPU, Device
from tandem_predictor.runtime import Allocate

DeviceArrays = dict[str, Any]  # by name, of the library that the lane uses: NumPy, CuPy or PyTorch


class Lane(Protocol):
    """Used by one thread at a time, within `current`."""

    @property
    def device(self) -> Device:
        """Where it leads."""
        ...

    @property
    def allocate(self) -> Allocate | None:
        """Memory that batches are best copied from; None if any does as well."""
        ...

    @property
    def pads(self) -> bool:
        """Whether batches are to have few different sizes, since the engine prepares itself for each of them."""
        ...

    def current(self) -> AbstractContextManager[object]:
        """Makes the lane the one that this thread's work goes into."""
        ...

    def upload(self, array: Array, rows: int | None = None) -> Any:
        """`array` on the device, not waited for; with zeros below it up to `rows` rows."""
        ...

    def new(self, shape: Sequence[int], dtype: np.dtype[Any]) -> Any:
        """An array of the device, uninitialised."""
        ...

    def download(self, arrays: DeviceArrays) -> Arrays:
        """`arrays` in memory of the host that nobody else has; waits for it."""
        ...

    def wait(self) -> None:
        """Until everything before it has been done."""
        ...


class HostLane:
    """The CPU, where nothing is to be copied and nothing runs behind one's back."""

    device = CPU
    allocate: Allocate | None = None
    pads = False

    def current(self) -> AbstractContextManager[object]:
        """Nothing to switch."""
        return nullcontext()

    def upload(self, array: Array, rows: int | None = None) -> Array:
        """The array itself."""
        return array

    def new(self, shape: Sequence[int], dtype: np.dtype[Any]) -> Array:
        """As NumPy."""
        return np.empty(shape, dtype)

    def download(self, arrays: DeviceArrays) -> Arrays:
        """The arrays themselves."""
        return arrays

    def wait(self) -> None:
        """It has been done."""
