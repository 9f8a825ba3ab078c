"""What surrounds the engine on its device: normalisation of images before it, the choice of the best after it.

UINT8 [N,height,width,3] -> Normalization -> engine -> TopK -> scores FP32 [N,K], classes INT64 [N,K]
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from array_api_compat import array_namespace
from tandem.metadata import TensorSpec

from tandem_predictor.devices import numerics
from tandem_predictor.devices.lane import DeviceArrays, Lane
from tandem_predictor.devices.scale import Scale
from tandem_predictor.runtime import LoadError

CLASSES = "classes"
_FLOATS = {"FP32": "float32", "FP16": "float16"}


class Normalization:
    """Makes a model for normalised images take their pixels. Raises LoadError if it takes no such images."""

    def __init__(self, scale: Scale, inputs: Sequence[TensorSpec], lane: Lane) -> None:
        found = [spec for spec in inputs if _is_image(spec)]
        if len(found) != 1:
            layouts = "[N,3,height,width] or [N,height,width,3]"
            raise LoadError(f"--normalize: expected one input FP32 or FP16 {layouts}, got {_shown(inputs)}")
        self._model = found[0]
        self._channels_first = self._model.shape[3] != 3
        with lane.current():
            self._mean, self._std = (lane.upload(np.array(half, np.float32)) for half in (scale.mean, scale.std))
            lane.wait()
        shape = self._model.shape
        own = (shape[0], shape[2], shape[3], 3) if self._channels_first else tuple(shape)
        taken = TensorSpec(self._model.name, "UINT8", own)
        self.inputs = tuple(taken if spec is self._model else spec for spec in inputs)

    def __call__(self, arrays: DeviceArrays) -> DeviceArrays:
        """The arrays that the model takes."""
        images = arrays[self._model.name]
        dtype = _FLOATS[self._model.datatype]
        values = numerics.normalised(images, self._mean, self._std, channels_first=self._channels_first, dtype=dtype)
        return arrays | {self._model.name: values}


class TopK:
    """Makes a classifier answer with its best classes only. Raises LoadError if it gives no scores."""

    def __init__(self, count: int, outputs: Sequence[TensorSpec]) -> None:
        found = [spec for spec in outputs if spec.datatype in _FLOATS and len(spec.shape) == 2]
        if len(found) != 1 or any(spec.name == CLASSES for spec in outputs):
            wanted = f"one output FP32 or FP16 [N,classes], none called '{CLASSES}'"
            raise LoadError(f"--top_k: expected {wanted}, got {_shown(outputs)}")
        scores = found[0]
        self._name = scores.name
        self._count = min(count, scores.shape[1]) if scores.shape[1] > 0 else count
        shape = (scores.shape[0], self._count if scores.shape[1] > 0 else -1)
        kept = [TensorSpec(scores.name, "FP32", shape) if spec is scores else spec for spec in outputs]
        self.outputs = (*kept, TensorSpec(CLASSES, "INT64", shape))

    def __call__(self, arrays: DeviceArrays) -> DeviceArrays:
        """Scores [N,classes] as probabilities: the best, and which they are."""
        scores = arrays[self._name]
        xp = array_namespace(scores)
        probabilities = numerics.distributions(xp.astype(scores, xp.float32, copy=False))
        values, classes = numerics.best(probabilities, self._count)
        return arrays | {self._name: values, CLASSES: classes}


def _is_image(spec: TensorSpec) -> bool:
    return spec.datatype in _FLOATS and len(spec.shape) == 4 and 3 in (spec.shape[1], spec.shape[3])


def _shown(specs: Sequence[TensorSpec]) -> str:
    return ", ".join(f"'{spec.name}' {spec.datatype} {list(spec.shape)}" for spec in specs)
