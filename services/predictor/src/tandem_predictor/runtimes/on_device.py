"""A model on its device: host batch -> upload -> steps -> engine -> steps -> download.

A GPU's batches are filled up with zeros to the next power of two: engines prepare themselves for each size that occurs,
and so there are few, all of which the warm-up has seen.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from tandem.errors import Internal
from tandem.inference import Arrays
from tandem.metadata import TensorSpec

from tandem_predictor.devices import Device
from tandem_predictor.devices.lane import DeviceArrays, Lane
from tandem_predictor.devices.scale import Scale
from tandem_predictor.runtime import batchable, zeros
from tandem_predictor.runtimes.steps import Normalization, TopK

PHASES = ("copy_in", "compute", "copy_out")
Observe = Callable[[str, float], None]  # a phase took so many seconds


class Engine(Protocol):
    """A loaded model that takes and gives arrays of the lane's library. Raises what the engine raises."""

    @property
    def platform(self) -> str:
        """As ModelMetadata names it."""
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
        """Rows; None that the model has no limit of its own."""
        ...

    def run(self, inputs: DeviceArrays) -> DeviceArrays:
        """The outputs, which may still be on their way."""
        ...


class OnDevice:
    """One instance of a model with its lane. The steps before and after the engine run on the device too."""

    def __init__(
        self, engine: Engine, lane: Lane, *, scale: Scale | None = None, top_k: int = 0, observe: Observe | None = None
    ) -> None:
        self.platform = engine.platform
        self.max_batch_size = engine.max_batch_size
        self.allocate = lane.allocate
        self.on_loop = False
        self.habit = None
        self._engine = engine
        self._lane = lane
        self._observe = observe
        self._normalization = Normalization(scale, engine.inputs, lane) if scale else None
        self._top_k = TopK(top_k, engine.outputs) if top_k else None
        self.inputs = self._normalization.inputs if self._normalization else engine.inputs
        self.outputs = self._top_k.outputs if self._top_k else engine.outputs
        self._batched = batchable(self)

    @property
    def device(self) -> Device:
        """The lane's."""
        return self._lane.device

    def run(self, inputs: Arrays) -> Arrays:
        """One batch. Raises Internal if a padded one comes back in another size."""
        rows = len(next(iter(inputs.values()))) if self._batched else None
        size = padded(rows) if rows is not None and self._lane.pads else rows
        with self._lane.current():
            times = [time.perf_counter()]
            arrays = {name: self._lane.upload(array, size) for name, array in inputs.items()}
            if self._normalization:
                arrays = self._normalization(arrays)
            self._lane.wait()  # before the engine, whose own stream knows nothing of this one
            times.append(time.perf_counter())
            outputs = self._engine.run(arrays)
            self._lane.wait()
            times.append(time.perf_counter())
            if size != rows:
                outputs = {name: _cut(name, array, size, rows) for name, array in outputs.items()}
            results = self._lane.download(self._top_k(outputs) if self._top_k else outputs)
            times.append(time.perf_counter())
        if self._observe:
            for phase, start, end in zip(PHASES, times, times[1:], strict=False):
                self._observe(phase, end - start)
        return results

    def warm_up(self, rows: int) -> None:
        """Run on zeros in each size that will occur."""
        sizes = {1, rows} if self._batched else {1}
        if self._lane.pads and self._batched:
            sizes = {padded(count) for count in range(1, rows + 1)}
        for size in sorted(sizes):
            self.run({spec.name: zeros(spec, size) for spec in self.inputs})


def padded(rows: int) -> int:
    """The next power of two, from 1."""
    return 1 << max(0, rows - 1).bit_length()


def _cut(name: str, array: Any, size: int | None, rows: int | None) -> Any:
    """The rows that were asked for, of those that the engine was given."""
    if not array.shape or array.shape[0] != size:
        raise Internal(f"the model returned {list(array.shape)} of '{name}' for a batch of {size} rows")
    return array[:rows]
