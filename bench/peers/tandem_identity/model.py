"""y = x, on Tandem's predictor."""

from __future__ import annotations

import numpy as np
from tandem import TensorSpec


class Model:
    inputs = (TensorSpec("x", "FP32", (-1, -1, -1, -1)),)
    outputs = (TensorSpec("y", "FP32", (-1, -1, -1, -1)),)

    async def predict(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        return {"y": inputs["x"]}
