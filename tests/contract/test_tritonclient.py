"""The predictor alone, through somebody else's client and with pixels that were preprocessed here."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from contract.client import over_rest, photos, rest_request
from foreign import triton
from harness import Pair
from tandem_transformer.transformers import pixels

SCRIPT = Path(__file__).parent / "triton_predictor.py"


def test_tritonclient_on_the_predictor_gets_the_scores_of_the_pair(pair: Pair, tmp_path: Path) -> None:
    images = list(photos().values())
    batch = np.stack([pixels.fit(pixels.decode(image, size=(224, 224)), (224, 224)) for image in images])
    np.save(tmp_path / "pixels.npy", batch)
    told = json.loads(triton(SCRIPT, pair.predictor.target, str(tmp_path / "pixels.npy")))
    scores = np.array(told["scores"], np.float32)
    ours = over_rest(pair, rest_request(images))
    assert np.array_equal(np.argsort(-scores, axis=1)[:, :5], ours.classes)
    assert np.abs(-np.sort(-scores, axis=1)[:, :5] - ours.probabilities).max() <= 1e-4
    assert told["metadata"]["inputs"][0]["shape"] == ["-1", "224", "224", "3"]
