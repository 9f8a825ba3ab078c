"""Train the ensemble's members on scikit-learn's handwritten digits, convert them to ONNX and lay model.py beside them.

.cache/examples/ensemble/{model.py,neighbours.onnx,perceptron.onnx}
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier

HERE = Path(__file__).resolve().parent
FOLDER = HERE.parents[1] / ".cache" / "examples" / "ensemble"


def main() -> None:
    """Make what is missing."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    shutil.copy(HERE / "model.py", FOLDER)
    files = [FOLDER / "neighbours.onnx", FOLDER / "perceptron.onnx"]
    if all(file.exists() and file.stat().st_mtime > Path(__file__).stat().st_mtime for file in files):
        return
    scans, digits = load_digits(return_X_y=True)
    seen, unseen, answers, truth = train_test_split(scans, digits, test_size=0.25, random_state=0, stratify=digits)
    members = train(seen, answers)
    said = [member.predict_proba(unseen) for member in members]
    for name, probabilities in (*zip(("neighbours", "perceptron"), said, strict=True), ("both", np.mean(said, axis=0))):
        accuracy = np.mean(probabilities.argmax(axis=1) == truth)
        print(f"ensemble: {name}: accuracy {accuracy:.4f} on {len(truth)} unseen scans")
    for file, member in zip(files, members, strict=True):
        onnx.save(convert(member), file)


def train(scans: NDArray[np.float64], digits: NDArray[np.int64]) -> list[Any]:
    """Two that err differently."""
    members = [KNeighborsClassifier(5, weights="distance"), MLPClassifier((64,), max_iter=500, random_state=0)]
    return [member.fit(scans, digits) for member in members]


def convert(member: Any) -> Any:
    """As ONNX: pixels FP32 [N,64] -> label INT64 [N], probabilities FP32 [N,10]."""
    tensors = [("pixels", FloatTensorType([None, 64]))]
    return to_onnx(member, initial_types=tensors, options={"zipmap": False}, target_opset=15)


if __name__ == "__main__":
    main()
