"""What every engine offers: a loaded model that runs named arrays, blocking, in a thread of the batcher's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from tandem.inference import Arrays
from tandem.lifecycle import Fatal
from tandem.metadata import TensorSpec


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

    def run(self, inputs: Arrays) -> Arrays:
        """The outputs for `inputs`, whose arrays are read-only. Any exception fails the requests of the batch."""
        ...

    def warm_up(self, rows: int) -> None:
        """Run once on zeros of `rows` rows, so that the first request does not pay for it."""
        ...


def batchable(runtime: Runtime) -> bool:
    """Whether requests may share a run: the first dimension of every input and output is variable."""
    specs = [*runtime.inputs, *runtime.outputs]
    return runtime.max_batch_size != 0 and all(spec.shape and spec.shape[0] == -1 for spec in specs)
