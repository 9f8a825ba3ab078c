"""Every datatype, and all that can be asked, through tritonclient: HTTP, gRPC, streams; both services."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from foreign import triton
from harness import Pair, running_pair

HERE = Path(__file__).parent
WAYS = [("http", "binary"), ("http", "json"), ("grpc", "unary")]


@pytest.fixture(scope="module")
def types(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    folder = tmp_path_factory.mktemp("types")
    (folder / "types" / "1").mkdir(parents=True)
    shutil.copy(HERE / "echo_types.py", folder / "types" / "1" / "model.py")
    flags = (f"--model_dir={folder}", "--allow_python_models", "--model_control=explicit")
    with running_pair("types", flags, ("--transformer=identity",)) as running:
        yield running


def address(pair: Pair, service: str, door: str) -> str:
    return f"127.0.0.1:{getattr(getattr(pair, service), f'{door}_port')}"


@pytest.mark.parametrize("service", ["transformer", "predictor"])
@pytest.mark.parametrize(("door", "way"), WAYS, ids=[way for _, way in WAYS])
def test_every_datatype_and_every_question(types: Pair, service: str, door: str, way: str) -> None:
    control = "control" if service == "predictor" else "nocontrol"
    told = json.loads(triton(HERE / "triton_every_type.py", door, address(types, service, door), way, control))
    assert told["server"]["name"] == f"tandem-{service}"
    assert len(told["metadata"]["inputs"]) == len(told["config"]["input"]) == 14
    (statistics,) = told["statistics"]["model_stats"]
    assert int(statistics["inference_count"]) >= 1
    assert int(statistics["inference_stats"]["success"]["count"]) >= 1
    assert control == "control" or "--model_control=explicit" in told["refusal"]
    index = told["index"] if door == "http" else told["index"]["models"]
    assert index == [{"name": "types", "version": "1", "state": "READY"}]


@pytest.mark.parametrize("service", ["transformer", "predictor"])
@pytest.mark.parametrize("way", ["stream", "async"])
def test_streams_and_asyncio(types: Pair, service: str, way: str) -> None:
    triton(HERE / "triton_every_type.py", "grpc", address(types, service, "grpc"), way, "nocontrol")
