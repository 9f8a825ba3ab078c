"""A device by PyTorch: a stream of a GPU's with pinned memory, or the CPU."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, ExitStack
from typing import TYPE_CHECKING, Any

import numpy as np
from tandem.inference import Arrays
from tandem.tensors import DTYPES, Array

from tandem_predictor.devices import CPU, Device
from tandem_predictor.devices.lane import DeviceArrays

if TYPE_CHECKING:
    import torch

_BF16 = DTYPES["BF16"]  # which NumPy has from elsewhere: it goes over as UINT16


class TorchLane:
    """`threads` are those of PyTorch's own on the CPU, for a run."""

    pads = False

    def __init__(self, device: Device, threads: int) -> None:
        import torch  # noqa: PLC0415 - an extra's

        self.device = device
        self._torch = torch
        self._threads = threads
        self._where = torch.device(str(device))
        self._on_gpu = device != CPU
        self._stream = torch.cuda.Stream(self._where) if self._on_gpu else None

    def allocate(self, shape: Sequence[int], dtype: np.dtype[Any]) -> Array:
        """Memory of the host that PyTorch may write to: pinned for a GPU."""
        return _array(self._torch.empty(tuple(shape), dtype=self._dtype(dtype), pin_memory=self._on_gpu))

    def current(self) -> AbstractContextManager[object]:
        """The thread's stream and number of threads; nothing is recorded for gradients."""
        stack = ExitStack()
        stack.enter_context(self._torch.inference_mode())
        if self._stream:
            stack.enter_context(self._torch.cuda.stream(self._stream))
        elif self._torch.get_num_threads() != self._threads:  # each thread has a number of its own
            self._torch.set_num_threads(self._threads)
        return stack

    def upload(self, array: Array, rows: int | None = None) -> torch.Tensor:
        """`array` on the device; on the CPU the same memory."""
        host = self._torch.from_numpy(array.view(np.uint16) if array.dtype == _BF16 else array)
        host = host.view(self._torch.bfloat16) if array.dtype == _BF16 else host
        return host.to(self._where, non_blocking=True)

    def new(self, shape: Sequence[int], dtype: np.dtype[Any]) -> torch.Tensor:
        """Memory of PyTorch's."""
        return self._torch.empty(tuple(shape), dtype=self._dtype(dtype), device=self._where)

    def download(self, arrays: DeviceArrays) -> Arrays:
        """`arrays` in pinned memory; on the CPU the same memory."""
        host = {name: self._to_host(tensor) for name, tensor in arrays.items()} if self._on_gpu else arrays
        self.wait()
        return {name: _array(tensor) for name, tensor in host.items()}

    def wait(self) -> None:
        """Until the stream is through."""
        if self._stream:
            self._stream.synchronize()

    def _to_host(self, tensor: torch.Tensor) -> torch.Tensor:
        made = self._torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
        return made.copy_(tensor, non_blocking=True)

    def _dtype(self, dtype: np.dtype[Any]) -> torch.dtype:
        made: torch.dtype = getattr(self._torch, dtype.name)
        return made


def _array(tensor: torch.Tensor) -> Array:
    """The memory of a tensor of the host's."""
    import torch  # noqa: PLC0415 - an extra's

    plain = tensor.detach()
    made: Array = plain.view(torch.uint16).numpy().view(_BF16) if plain.dtype == torch.bfloat16 else plain.numpy()
    return made
