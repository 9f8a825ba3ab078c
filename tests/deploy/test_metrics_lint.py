"""/metrics as Prometheus itself sees it."""

from __future__ import annotations

import subprocess

import pytest
from contract.client import ask, over_rest, photos, rest_request
from harness import Pair
from parts import require

pytestmark = pytest.mark.system


@pytest.mark.parametrize("service", ["transformer", "predictor"])
def test_promtool_has_nothing_to_say(pair: Pair, service: str) -> None:
    promtool = require("promtool")
    over_rest(pair, rest_request([photos()["coffee"]]))
    exposition = ask(f"{getattr(pair, service).url}/metrics").body
    done = subprocess.run([promtool, "check", "metrics"], input=exposition, capture_output=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
