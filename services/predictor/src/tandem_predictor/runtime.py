"""What every engine offers: a loaded model that runs named arrays, blocking, in a worker's thread, or awaited."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from tandem.inference import Arrays
from tandem.lifecycle import Fatal
from tandem.metadata import TensorSpec
from tandem.tensors import DTYPES, Array

if TYPE_CHECKING:
    from tandem_predictor.devices import Device
    from tandem_predictor.runtimes.habit import Habit

Allocate = Callable[[Sequence[int], np.dtype[Any]], Array]  # memory of the host, uninitialised


class LoadError(Fatal):
    """A model that cannot be loaded; the text says why, for the person who brought it."""


class Runtime(Protocol):
    """A loaded model. `run` may be called from one thread at a time."""

    @property
    def platform(self) -> str:
        """The engine, as ModelMetadata names it."""
        ...

    @property
    def inputs(self) -> Sequence[TensorSpec]:
        """What the model takes."""
        ...

    @property
    def outputs(self) -> Sequence[TensorSpec]:
        """What the model gives."""
        ...

    @property
    def max_batch_size(self) -> int | None:
        """Rows; 0 means never batched, None that the model has no limit of its own."""
        ...

    @property
    def device(self) -> Device:
        """What it runs on."""
        ...

    @property
    def allocate(self) -> Allocate | None:
        """Memory that it wants its inputs in, which it may write to; None if it takes any, and reads only."""
        ...

    @property
    def on_loop(self) -> bool:
        """Whether `run` is called on the event loop, blocks nothing, and gives what is to be awaited."""
        ...

    @property
    def habit(self) -> Habit | None:
        """How its batches are run; None, for together, where the calling thread's CPU time is not what they cost."""
        ...

    def run(self, inputs: Arrays) -> Arrays | Awaitable[Arrays]:
        """The outputs for `inputs`, whose arrays are read-only. Any exception fails the requests of the batch."""
        ...

    def warm_up(self, rows: int) -> None:
        """Run on zeros in batches of up to `rows` rows, so that no request pays for the first run of its size."""
        ...


def batchable(runtime: Runtime) -> bool:
    """Whether requests may share a run: the first dimension of every input and output is variable."""
    specs = [*runtime.inputs, *runtime.outputs]
    return runtime.max_batch_size != 0 and all(spec.shape and spec.shape[0] == -1 for spec in specs)


def zeros(spec: TensorSpec, rows: int) -> Array:
    """An input for a warm-up: `rows` where the first dimension is variable, 1 where another is."""
    shape = [rows if index == 0 and dim == -1 else max(dim, 1) for index, dim in enumerate(spec.shape)]
    return np.full(shape, b"", object) if spec.datatype == "BYTES" else np.zeros(shape, DTYPES[spec.datatype])
