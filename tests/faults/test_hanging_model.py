"""A model that hangs: its caller is told, readiness tells the truth on every door, and all is well when it ends."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from contract.client import ask
from gates import Gates
from harness import ROOT, Service, running_pair

ECHO = ROOT / "tests" / "contract" / "echo" / "model.py"
AWAITED = """

import asyncio

Blocking = Model


class Model(Blocking):
    async def predict(self, inputs):
        return await asyncio.to_thread(Blocking.predict, self, inputs)
"""
WAIT = -1.0  # what the echo model waits at its gate for


def infer(service: Service, value: float) -> tuple[int, str]:
    tensor = {"name": "x", "shape": [1], "datatype": "FP32", "data": [value]}
    reply = ask(f"{service.url}/v2/models/echo/infer", "POST", {"inputs": [tensor]})
    return reply.status, reply.json.get("error", "")


def readiness(service: Service) -> tuple[int, int]:
    paths = ("/v2/health/ready", "/v2/models/echo/ready")
    ready, model = (ask(f"{service.url}{path}").status for path in paths)
    return ready, model


def until(service: Service, status: int) -> bool:
    return any(readiness(service) == (status, status) for _ in range(2000))


@pytest.mark.parametrize("added", ["", AWAITED], ids=["in its thread", "on the event loop"])
def test_a_run_that_hangs_is_told_and_readiness_follows(tmp_path: Path, added: str) -> None:
    (tmp_path / "model.py").write_text(ECHO.read_text() + added)
    gates = Gates(tmp_path)
    flags = (f"--model_dir={tmp_path}", "--allow_python_models", "--inference_timeout=0.3")
    with running_pair("echo", flags, ("--transformer=identity",)) as pair:
        status, text = infer(pair.transformer, WAIT)
        assert (status, "deadline passed" in text) == (504, True)
        assert readiness(pair.predictor) == (503, 503)
        assert ask(f"{pair.predictor.url}/v2/health/live").status == 200
        assert (
            "model 'echo': every instance of the model hangs"
            in ask(f"{pair.predictor.url}/v2/health/ready").json["error"]
        )
        assert infer(pair.predictor, 1.0)[0] == 503
        assert until(pair.transformer, 503)
        gates.let_through()
        assert until(pair.predictor, 200)
        assert until(pair.transformer, 200)
        assert infer(pair.transformer, float(np.float32(0.5)))[0] == 200
