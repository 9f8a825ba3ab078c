"""A Triton repository served as it is, seen through tritonclient; and what is told of one that cannot be."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from contract.client import ask
from foreign import triton
from harness import DIGITS, Process, Service, start_predictor
from pages import block

HERE = Path(__file__).parent
DESCRIBED = """
name: "digits"
platform: "onnxruntime_onnx"
max_batch_size: 8
input [{ name: "image" data_type: TYPE_FP32 dims: [ 64 ] reshape { shape: [ 8, 8 ] } }]
output [{ name: "probabilities" data_type: TYPE_FP32 dims: [ 10 ] label_filename: "labels.txt" }]
instance_group [{ count: 2 kind: KIND_CPU }]
dynamic_batching { preferred_batch_size: [ 4, 8 ] max_queue_delay_microseconds: 100 }
"""
ENSEMBLE = 'name: "pair" platform: "ensemble" ensemble_scheduling { step [{ model_name: "digits" model_version: -1 }] }'
WORDS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("triton")
    for version in ("1", "2"):
        (root / "digits" / version).mkdir(parents=True)
        shutil.copy(DIGITS / "model.onnx", root / "digits" / version)
    (root / "digits" / "config.pbtxt").write_text(DESCRIBED)
    (root / "digits" / "labels.txt").write_text("\n".join(WORDS))
    (root / "pair" / "1").mkdir(parents=True)
    (root / "pair" / "config.pbtxt").write_text(ENSEMBLE)
    return root


@pytest.fixture(scope="module")
def served(repository: Path) -> Iterator[Service]:
    command = block("docs/bring-what-you-have.md", "tandem-predictor")
    predictor = start_predictor(*command.replace("=repository", f"={repository}").split()[1:])
    yield predictor
    assert predictor.process.stop() == 0


@pytest.mark.parametrize("door", ["http", "grpc"])
def test_tritonclient_sees_what_the_file_says(served: Service, door: str) -> None:
    port = served.http_port if door == "http" else served.grpc_port
    told = json.loads(triton(HERE / "triton_repository.py", door, f"127.0.0.1:{port}"))
    metadata, config = told["metadata"], told["config"]
    assert (metadata["platform"], metadata["versions"]) == ("onnxruntime_onnx", ["2"])  # the newest, as Triton
    assert [(t["name"], numbers(t["shape"])) for t in metadata["inputs"]] == [("image", [-1, 64])]
    assert [(t["name"], numbers(t["shape"])) for t in metadata["outputs"]] == [("probabilities", [-1, 10])]
    assert config["max_batch_size"] == 8
    assert numbers(config["input"][0]["dims"]) == [64]
    assert numbers(config["input"][0]["reshape"]["shape"]) == [8, 8]
    assert config["output"][0]["label_filename"] == "labels.txt"
    assert config["instance_group"] == [{"name": "digits_0", "kind": "KIND_CPU", "count": 2}]
    assert int(config["dynamic_batching"]["max_queue_delay_microseconds"]) == 100
    assert config["version_policy"] == {"latest": {"num_versions": 1}}
    for row in told["classes"]:
        assert len(row) == 2
        for text in row:
            _, index, label = text.split(":")
            assert label == WORDS[int(index)]


@pytest.mark.parametrize("door", ["http", "grpc"])
def test_only_the_model_that_cannot_be_served_is_missing(served: Service, door: str) -> None:
    port = served.http_port if door == "http" else served.grpc_port
    told = json.loads(triton(HERE / "triton_repository.py", door, f"127.0.0.1:{port}"))
    assert told["ready"] == {"digits": True, "pair": False}
    index = told["index"] if door == "http" else told["index"]["models"]
    states = {model["name"]: (model["state"], model.get("reason", "")) for model in index}
    reason = "not to be loaded; the predictor's log says why"
    assert states == {"digits": ("READY", ""), "pair": ("UNAVAILABLE", reason)}
    entry = served.process.entry("loading failed")
    assert entry["reason"].endswith("pair/config.pbtxt: ensemble_scheduling is not served by Tandem")


def test_the_only_model_that_cannot_be_served_ends_the_predictor_with_one_line(repository: Path) -> None:
    process = Process.python("tandem_predictor", f"--model_dir={repository}", "--model_name=pair", "--http_port=0")
    assert process.end() == 2
    assert process.lines[-1].endswith("pair/config.pbtxt: ensemble_scheduling is not served by Tandem")


def test_a_flag_that_is_given_wins_over_the_file(repository: Path) -> None:
    predictor = start_predictor(f"--model_dir={repository}", "--max_batch_size=3", "--model_name=digits")
    try:
        assert ask(f"{predictor.url}/v2/models/digits/config").json["max_batch_size"] == 3
    finally:
        assert predictor.process.stop() == 0


def numbers(values: list[str] | list[int]) -> list[int]:
    return [int(value) for value in values]  # gRPC's JSON has 64-bit numbers as text
