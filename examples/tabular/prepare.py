"""Train two models on scikit-learn's breast cancer data, convert them to ONNX and fill the store, once.

.cache/examples/tabular/{sklearn,xgboost}/1/model.onnx, store.sqlite, and test.json: what each library's own
predict_proba says of the samples that neither model has seen.
"""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxmltools
import onnxruntime as ort
from numpy.typing import NDArray
from onnxmltools.convert.common import data_types as onnxml_types
from skl2onnx import to_onnx
from skl2onnx.common import data_types as skl2onnx_types
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from xgboost import XGBClassifier

FOLDER = Path(__file__).resolve().parents[2] / ".cache" / "examples" / "tabular"
DONE = FOLDER / "test.json"  # written last


def main() -> None:
    """Make what is missing."""
    if DONE.exists() and DONE.stat().st_mtime > Path(__file__).stat().st_mtime:
        return
    features, benign = load_breast_cancer(return_X_y=True)
    features, malignant = features.astype(np.float32), 1 - benign
    keys = [f"sample-{number:03}" for number in range(len(features))]
    seen, unseen, truth, unseen_truth, _, unseen_keys = train_test_split(
        features, malignant, keys, test_size=0.25, random_state=0, stratify=malignant
    )
    FOLDER.mkdir(parents=True, exist_ok=True)
    fill(FOLDER / "store.sqlite", keys, features)
    expected: dict[str, dict[str, float]] = {}
    for name, model in train(seen, truth).items():
        file = FOLDER / name / "1" / "model.onnx"
        file.parent.mkdir(parents=True, exist_ok=True)
        onnx.save(convert(model, seen), file)
        own = model.predict_proba(unseen)[:, 1]
        difference = np.abs(own - probabilities(file, unseen)[:, 1]).max()
        accuracy = np.mean((own >= 0.5) == unseen_truth)
        print(
            f"tabular: {name}: accuracy {accuracy:.3f} on {len(unseen)} unseen samples; "
            f"ONNX differs from predict_proba by {difference:.1e} at most"
        )
        expected[name] = dict(zip(unseen_keys, own.tolist(), strict=True))
    DONE.write_text(json.dumps(expected))


def train(features: NDArray[np.float32], malignant: NDArray[np.int64]) -> dict[str, Any]:
    """A linear model and boosted trees."""
    linear = make_pipeline(StandardScaler(), LogisticRegression())
    trees = XGBClassifier(n_estimators=100, max_depth=3, random_state=0)
    return {"sklearn": linear.fit(features, malignant), "xgboost": trees.fit(features, malignant)}


def convert(model: Any, features: NDArray[np.float32]) -> Any:
    """As ONNX: features FP32 [N,30] -> label INT64 [N], probabilities FP32 [N,2]."""
    shape = [None, features.shape[1]]
    if isinstance(model, XGBClassifier):
        tensors = [("features", onnxml_types.FloatTensorType(shape))]
        return onnxmltools.convert_xgboost(model, initial_types=tensors, target_opset=15)
    tensors = [("features", skl2onnx_types.FloatTensorType(shape))]
    return to_onnx(model, initial_types=tensors, options={"zipmap": False}, target_opset=15)


def probabilities(file: Path, features: NDArray[np.float32]) -> NDArray[np.float32]:
    """What ONNX Runtime makes of the model: [N,2]."""
    return np.asarray(ort.InferenceSession(file).run(["probabilities"], {"features": features})[0])


def fill(file: Path, keys: list[str], features: NDArray[np.float32]) -> None:
    """A table of samples and their features, as raw FP32."""
    file.unlink(missing_ok=True)
    with sqlite3.connect(file) as store:
        store.execute("CREATE TABLE samples (sample TEXT PRIMARY KEY, features BLOB) WITHOUT ROWID")
        rows = zip(keys, (row.tobytes() for row in features), strict=True)
        store.executemany("INSERT INTO samples VALUES (?, ?)", rows)
    store.close()


if __name__ == "__main__":
    main()
