"""Soft voting: two models look at each image, and the mean of their probabilities decides.

image FP32 [N,8,8] -> each member's probabilities [2,N,10] -> mean -> digit, probabilities, votes
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime as ort
from tandem import Arrays, TensorSpec

MEMBERS = ("neighbours", "perceptron")  # NAME.onnx beside this file


class Model:
    """Handwritten digits, read by two."""

    inputs = (TensorSpec("image", "FP32", (-1, 8, 8)),)
    outputs = (
        TensorSpec("digit", "INT64", (-1,)),
        TensorSpec("probabilities", "FP32", (-1, 10)),
        TensorSpec("votes", "INT64", (-1, len(MEMBERS))),
    )
    max_batch_size = 32

    def load(self, path: Path) -> None:
        """Open the members, with one thread each: --instances is what uses more."""
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        self._members = [ort.InferenceSession(path / f"{name}.onnx", options) for name in MEMBERS]

    def predict(self, inputs: Arrays) -> Arrays:
        """The rows of a whole batch at once."""
        pixels = inputs["image"].reshape(-1, 64)
        said = np.stack([member.run(["probabilities"], {"pixels": pixels})[0] for member in self._members])
        mean = said.mean(axis=0)
        return {"digit": mean.argmax(axis=1), "probabilities": mean, "votes": said.argmax(axis=2).T}
