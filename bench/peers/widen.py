"""A small request in, 6.2 MB to the predictor: what makes the hop large and the doors small. Tandem's transformer."""

from __future__ import annotations

import numpy as np
from tandem import Context, TensorSpec
from tandem_transformer import Transformer

SIDE = 720


class Widen(Transformer):
    inputs = (TensorSpec("number", "FP32", (1,)),)

    def preprocess(self, inputs: dict[str, np.ndarray], context: Context) -> dict[str, np.ndarray]:
        return {"x": np.full((1, 3, SIDE, SIDE), inputs["number"][0], np.float32)}
