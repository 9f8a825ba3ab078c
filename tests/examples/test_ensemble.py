"""examples/ensemble: the answer is the mean of what its members say."""

from __future__ import annotations

import numpy as np
import onnxruntime as ort
import pytest
from examples.running import INSTALLING, ask, running
from harness import ROOT

pytestmark = [pytest.mark.system, pytest.mark.timeout(INSTALLING)]


def test_it_answers_the_mean_of_its_members() -> None:
    images = np.random.default_rng(0).integers(0, 17, (100, 8, 8)).astype(np.float32)
    with running("ensemble") as pair:
        answer = ask(pair, "digits", "image", "FP32", [100, 8, 8], images.ravel().tolist())
    members = [ort.InferenceSession(file) for file in sorted((ROOT / ".cache/examples/ensemble").glob("*.onnx"))]
    said = [member.run(["probabilities"], {"pixels": images.reshape(100, 64)})[0] for member in members]
    assert len(said) == 2
    mean = np.mean(said, axis=0)
    assert np.abs(np.reshape(answer["probabilities"], (100, 10)) - mean).max() <= 1e-6
    assert answer["digit"] == mean.argmax(axis=1).tolist()
    assert np.reshape(answer["votes"], (100, 2)).T.tolist() == [votes.argmax(axis=1).tolist() for votes in said]
