"""An NVIDIA GPU by CuPy: pinned memory on the host, a stream of its own for each lane."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from tandem.inference import Arrays
from tandem.tensors import Array

from tandem_predictor.devices import Device, NotInstalled
from tandem_predictor.devices.lane import DeviceArrays
from tandem_predictor.runtime import LoadError


def probe(index: int) -> None:
    """Raise LoadError, saying what to do, unless CuPy reaches the GPU of that number."""
    try:
        import cupy  # noqa: PLC0415 - an extra's
    except ImportError as error:
        raise NotInstalled(f"CuPy is missing ({error}); install tandem-predictor[cuda], or use cpu") from error
    try:
        count = cupy.cuda.runtime.getDeviceCount()
    except cupy.cuda.runtime.CUDARuntimeError as error:
        raise LoadError(f"no GPU, or no driver for it ({error}); mend that, or use cpu") from error
    if index >= count:
        raise LoadError(f"there is no GPU of that number; this machine has: {Device.names(count)}")


def limit_memory(device: Device, limit: int) -> None:
    """Bound what CuPy takes of the device to `limit` bytes; the engine's own arena has a bound of its own."""
    import cupy  # noqa: PLC0415 - an extra's

    with cupy.cuda.Device(device.index):
        cupy.get_default_memory_pool().set_limit(size=limit)


class CudaLane:
    """A stream. Copies to and from pinned memory and kernels of CuPy's go into it without being waited for."""

    pads = True

    def __init__(self, device: Device) -> None:
        import cupy  # noqa: PLC0415 - an extra's
        import cupyx  # noqa: PLC0415

        self.device = device
        self._cupy, self._cupyx = cupy, cupyx
        self._context = cupy.cuda.Device(device.index)
        with self._context:
            self._stream = cupy.cuda.Stream(non_blocking=True)

    def allocate(self, shape: Sequence[int], dtype: np.dtype[Any]) -> Array:
        """Pinned memory of the host."""
        with self._context:
            pinned: Array = self._cupyx.empty_pinned(tuple(shape), dtype)
        return pinned

    @contextmanager
    def current(self) -> Iterator[None]:
        """The thread's device and stream."""
        with self._context, self._stream:
            yield

    def upload(self, array: Array, rows: int | None = None) -> Any:
        """`array` on the device, with zeros below it up to `rows` rows."""
        if rows is None or rows == len(array):
            made = self.new(array.shape, array.dtype)
            made.set(array, stream=self._stream)
            return made
        made = self.new((rows, *array.shape[1:]), array.dtype)
        if len(array):
            made[: len(array)].set(array, stream=self._stream)
        made[len(array) :].fill(0)
        return made

    def new(self, shape: Sequence[int], dtype: np.dtype[Any]) -> Any:
        """Memory of CuPy's pool, which a later batch of this lane gets again."""
        return self._cupy.empty(tuple(shape), dtype)

    def download(self, arrays: DeviceArrays) -> Arrays:
        """`arrays` in pinned memory, which goes back to CuPy's pool when its last view is gone."""
        host = {name: self.allocate(array.shape, array.dtype) for name, array in arrays.items()}
        for name, array in arrays.items():
            array.get(stream=self._stream, out=host[name], blocking=False)
        self.wait()
        return host

    def wait(self) -> None:
        """Until the stream is through."""
        self._stream.synchronize()

    def pointer(self, array: Any) -> int:
        """The address of an array of the device."""
        return int(array.data.ptr)

    def adopt(self, pointer: int, shape: Sequence[int], dtype: np.dtype[Any], owner: object) -> Any:
        """Memory of the engine's as an array, which keeps `owner` alive."""
        size = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
        memory = self._cupy.cuda.UnownedMemory(pointer, size, owner, self.device.index)
        return self._cupy.ndarray(tuple(shape), dtype, self._cupy.cuda.MemoryPointer(memory, 0))
