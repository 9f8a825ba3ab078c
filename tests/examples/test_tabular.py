"""examples/tabular: each model says what its library says, of every sample that it has not seen."""

from __future__ import annotations

import json

import numpy as np
import pytest
from examples.running import INSTALLING, ask, running
from harness import ROOT

pytestmark = [pytest.mark.system, pytest.mark.timeout(INSTALLING)]


@pytest.mark.parametrize("model", ["sklearn", "xgboost"])
def test_its_probabilities_are_those_of_predict_proba(model: str) -> None:
    with running("tabular", f"--model_name={model}") as pair:
        expected = json.loads((ROOT / ".cache/examples/tabular/test.json").read_text())[model]
        answer = ask(pair, model, "sample", "BYTES", [len(expected)], list(expected))
    assert len(expected) == 143
    assert np.abs(np.array(answer["malignant"]) - list(expected.values())).max() <= 1e-5
    assert set(answer["diagnosis"]) == {"benign", "malignant"}
