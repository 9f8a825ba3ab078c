"""Reads PyTorch's legacy checkpoints (before 1.6) into NumPy arrays, without torch and without trusting the pickle.

The format: four pickles (magic number, protocol, system, the state dict, whose tensors name their storages), then a
pickled list of storage keys, then for each key an int64 element count and the raw little-endian data.
"""

from __future__ import annotations

import collections
import pickle
import struct
from dataclasses import dataclass
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
_MAGIC = 0x1950A86A20F9469CFC6C
_PROTOCOL = 1001
_DTYPES: dict[str, np.dtype[Any]] = {"FloatStorage": np.dtype("<f4"), "LongStorage": np.dtype("<i8")}


@dataclass(frozen=True, slots=True)
class _Tensor:
    """A tensor as the pickle describes it; its storage is read later."""

    storage: str
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    def read(self, storages: dict[str, Array]) -> Array:
        flat = storages[self.storage][self.offset :]
        steps = [stride * flat.itemsize for stride in self.strides]
        return np.lib.stride_tricks.as_strided(flat, self.shape, steps).copy()


class _Unpickler(pickle.Unpickler):
    """Knows the few names that a state dict needs and refuses all others."""

    def __init__(self, file: IO[bytes]) -> None:
        super().__init__(file)
        self.dtypes: dict[str, np.dtype[Any]] = {}

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return collections.OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return lambda storage, offset, shape, strides, *_: _Tensor(storage, offset, shape, strides)
        if module == "torch" and name in _DTYPES:
            return name
        raise pickle.UnpicklingError(f"the checkpoint names {module}.{name}, which a state dict has no need of")

    def persistent_load(self, pid: Any) -> str:
        kind, storage_type, key, _device, _count, view = pid
        if kind != "storage" or view is not None:
            raise pickle.UnpicklingError(f"the checkpoint refers to {pid!r}, expected a storage")
        self.dtypes[str(key)] = _DTYPES[str(storage_type)]
        return str(key)


def read(file: IO[bytes]) -> dict[str, Array]:
    """The state dict in `file`, by parameter name. Raises ValueError if it is no legacy checkpoint."""
    magic, protocol, system = (_Unpickler(file).load() for _ in range(3))
    if magic != _MAGIC or protocol != _PROTOCOL or not system["little_endian"]:
        raise ValueError("not a little-endian checkpoint in PyTorch's legacy format")
    described = _Unpickler(file)
    state = described.load()
    storages = {key: _storage(file, described.dtypes[key]) for key in _Unpickler(file).load()}
    return {name: tensor.read(storages) for name, tensor in state.items()}


def _storage(file: IO[bytes], dtype: np.dtype[Any]) -> Array:
    (count,) = struct.unpack("<q", file.read(8))
    return np.frombuffer(file.read(count * dtype.itemsize), dtype)
