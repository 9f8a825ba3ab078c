"""Blocks of README.md, docs/architecture.md and docs/observability.md that need a scene of their own."""

from __future__ import annotations

import os
import shlex
import signal
import socket
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from contract.client import ask
from deploy.manifests import pair, parsed
from harness import ROOT, Process, running_pair, start_predictor
from pages import block
from parts import missing, require
from tandem_cli import testing

SUMS = ROOT / "examples" / "row-sums"


@pytest.mark.system
def test_make_run_of_the_readme_classifies_the_cat_and_ends_on_one_ctrl_c() -> None:
    for port in (8000, 8080, 8081, 8082):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                missing(f"make run wants port {port}, which is taken")
    process = Process(*shlex.split(block("README.md", "make run")))
    process.wait_for(lambda line: "tiger cat" in line, patience=120)
    process.wait_for(lambda line: "grpcurl -plaintext" in line)
    os.killpg(process.process.pid, signal.SIGINT)  # as a terminal does
    process.end()
    assert "Traceback" not in process.log


def test_the_python_model_of_the_architecture_sums_rows(tmp_path: Path) -> None:
    (tmp_path / "model.py").write_text(block("docs/architecture.md", "from tandem import TensorSpec"))
    predictor = start_predictor("--model_name=m", f"--model_dir={tmp_path}", "--allow_python_models")
    try:
        tensor = {"name": "x", "datatype": "FP32", "shape": [2, 4], "data": list(range(8))}
        reply = ask(f"{predictor.url}/v2/models/m/infer", "POST", {"inputs": [tensor]})
        assert reply.json["outputs"][0]["data"] == [6, 22]
    finally:
        predictor.process.stop()


MODEL = """
from tandem import TensorSpec

class Model:
    inputs = [TensorSpec("x", "FP32", (-1, 3))]
    outputs = [TensorSpec("y", "FP32", (-1, 3))]

    def predict(self, inputs):
        return {"y": inputs["x"]}
"""


def test_the_transformer_of_the_readme_turns_fahrenheit_into_celsius(tmp_path: Path) -> None:
    (tmp_path / "model.py").write_text(MODEL)
    (tmp_path / "celsius.py").write_text(block("README.md", "import numpy"))
    model = (f"--model_dir={tmp_path}", "--allow_python_models")
    with running_pair("m", model, (f"--transformer={tmp_path / 'celsius.py'}:Celsius",)) as pair:
        warm = {"name": "fahrenheit", "datatype": "FP32", "shape": [1, 3], "data": [32, 212, -40]}
        assert ask(pair.infer_url, "POST", {"inputs": [warm]}).json["outputs"][0]["data"] == [0, 100, -40]
        refused = ask(pair.infer_url, "POST", {"inputs": [{**warm, "data": [0, 0, -500]}]})
        assert (refused.status, "absolute zero" in refused.json["error"]) == (400, True)


def test_what_kserves_celsius_becomes_answers_as_it_does() -> None:
    scope: dict[str, Any] = {}
    exec(block("docs/bring-what-you-have.md", "import numpy as np\nfrom tandem import"), scope)  # noqa: S102 - our page
    outputs = testing.run(scope["Celsius"](), {"fahrenheit": np.array([[32, 212, -40]], np.float32)}, SUMS)
    assert outputs["sums"].tolist() == [60]


def test_the_arguments_of_the_architecture_are_those_of_the_manifests() -> None:
    (arguments,) = parsed(block("docs/architecture.md", "- --model_name"))
    assert arguments == pair("standard").transformer.container["args"]


@pytest.mark.system
def test_prometheus_takes_the_scrape_configs_of_the_page(tmp_path: Path) -> None:
    (tmp_path / "prometheus.yml").write_text(block("docs/observability.md", "scrape_configs:"))
    command = [require("promtool"), "check", "config", tmp_path / "prometheus.yml"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
