#!/usr/bin/env python3
"""Train the tests' tiny model: handwritten digits, 8x8 -> ten probabilities, written to tests/models/digits/model.onnx.

Needs scikit-learn, whose bundled UCI digits (1,797 scans, CC BY 4.0) it learns from:
    python3 -m venv .cache/venvs/digits
    .cache/venvs/digits/bin/pip install scikit-learn onnx
    .cache/venvs/digits/bin/python tools/train_digits.py
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

FILE = Path(__file__).resolve().parent.parent / "tests" / "models" / "digits" / "model.onnx"


def train() -> dict[str, NDArray[Any]]:
    """The weights of a perceptron with one hidden layer of 64; prints its accuracy on scans that it has not seen."""
    from sklearn.datasets import load_digits  # noqa: PLC0415 - needed by this script alone
    from sklearn.model_selection import train_test_split  # noqa: PLC0415 - the same
    from sklearn.neural_network import MLPClassifier  # noqa: PLC0415 - the same

    scans, digits = load_digits(return_X_y=True)
    seen, unseen, answers, truth = train_test_split(scans / 16, digits, test_size=450, random_state=0, stratify=digits)
    model = MLPClassifier((64,), alpha=1e-2, max_iter=500, random_state=0).fit(seen, answers)
    print(f"accuracy on 450 unseen scans: {model.score(unseen, truth):.4f}")
    first, second = model.coefs_
    bias, last_bias = model.intercepts_
    return {"first": first / 16, "bias": bias, "second": second, "last_bias": last_bias}  # takes 0..16 as it comes


def build(weights: dict[str, NDArray[Any]]) -> onnx.ModelProto:
    """Image FP32 [batch,8,8] -> probabilities FP32 [batch,10]."""
    nodes = [
        helper.make_node("Flatten", ["image"], ["flat"], axis=1),
        helper.make_node("Gemm", ["flat", "first", "bias"], ["hidden"]),
        helper.make_node("Relu", ["hidden"], ["active"]),
        helper.make_node("Gemm", ["active", "second", "last_bias"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["probabilities"], axis=-1),
    ]
    source = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 8, 8])
    result = helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["batch", 10])
    constants = [numpy_helper.from_array(value.astype(np.float32), name) for name, value in weights.items()]
    graph = helper.make_graph(nodes, "digits", [source], [result], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], producer_name="tandem")
    model.ir_version = 8
    onnx.checker.check_model(model, full_check=True)
    return model


if __name__ == "__main__":
    FILE.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(build(train()), FILE)
    print(f"{FILE.name}: {FILE.stat().st_size} bytes")
