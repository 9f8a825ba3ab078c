"""ONNX Runtime through its IO binding: arrays of the device in, arrays of the device out, nothing copied between."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import onnxruntime as ort
from tandem.metadata import TensorSpec
from tandem.tensors import DTYPES

from tandem_predictor.devices.lane import DeviceArrays, Lane


class Addressed(Lane, Protocol):
    """A lane whose arrays have addresses that the engine can read and write."""

    def pointer(self, array: Any) -> int:
        """The address of an array of the device, which is contiguous."""
        ...

    def adopt(self, pointer: int, shape: Sequence[int], dtype: np.dtype[Any], owner: object) -> Any:
        """Memory of the engine's as an array, which keeps `owner` alive."""
        ...


class BoundSession:
    """A session and one lane. Outputs whose shape is known are bound to memory of the lane's, others are ORT's own.

    The session may be shared: each run takes a stream of ONNX Runtime's own, and waits for it.
    """

    def __init__(
        self,
        session: ort.InferenceSession,
        lane: Addressed,
        platform: str,
        inputs: Sequence[TensorSpec],
        outputs: Sequence[TensorSpec],
    ) -> None:
        self.platform = platform
        self.max_batch_size: int | None = None
        self.inputs = inputs
        self.outputs = outputs
        self._session = session
        self._lane = lane
        self._batched = all(spec.shape[:1] == (-1,) for spec in (*inputs, *outputs))

    def run(self, inputs: DeviceArrays) -> DeviceArrays:
        """One run, which has ended when it returns."""
        binding = self._session.io_binding()
        place = self._lane.device.kind, self._lane.device.index
        rows = next(iter(inputs.values())).shape[0] if self._batched else 0
        for name, array in inputs.items():
            binding.bind_input(name, *place, array.dtype, tuple(array.shape), self._lane.pointer(array))
        bound: DeviceArrays = {}
        for spec in self.outputs:
            shape = (rows, *spec.shape[1:]) if self._batched else tuple(spec.shape)
            if min(shape, default=0) > 0:
                bound[spec.name] = made = self._lane.new(shape, DTYPES[spec.datatype])
                binding.bind_output(spec.name, *place, made.dtype, shape, self._lane.pointer(made))
            else:
                binding.bind_output(spec.name, *place)
        self._session.run_with_iobinding(binding)
        if len(bound) == len(self.outputs):
            return bound
        values = zip(self.outputs, binding.get_outputs(), strict=True)
        return {spec.name: bound[spec.name] if spec.name in bound else self._adopted(spec, v) for spec, v in values}

    def _adopted(self, spec: TensorSpec, value: ort.OrtValue) -> Any:
        return self._lane.adopt(value.data_ptr(), value.shape(), DTYPES[spec.datatype], value)
