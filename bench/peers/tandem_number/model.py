"""One number out of a large tensor, so that the hop has next to nothing to carry back."""

from __future__ import annotations

import numpy as np
from tandem import TensorSpec


class Model:
    inputs = (TensorSpec("x", "FP32", (-1, -1, -1, -1)),)
    outputs = (TensorSpec("y", "FP32", (1,)),)

    def predict(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        return {"y": inputs["x"].ravel()[-1:].copy()}
