"""Classes written for KServe's SDK, run by Tandem as they are: KServe's own sample shapes, and what authors do."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from contract.client import Reply, ask
from foreign import environment
from harness import FLOATS_MODEL, ROOT, Pair, Process, Service, launch_transformer, start_predictor, start_transformer
from pages import block
from parts import shared

HERE = Path(__file__).parent
AUTHORED = HERE / "kserve_authored.py"
NAMED = "--model_name=sums"
ROWS = [[1, 2, 3], [4, 5, 6]]
JSON = {"content-type": "application/json"}


@pytest.fixture(scope="module")
def python() -> str:
    return str(environment("kserve-adapter") / "python")


@pytest.fixture(scope="module")
def samples(python: str) -> Iterator[Pair]:
    """KServe's sample shapes, both of them, unchanged, with the page's own flags."""
    peers, named = shared("peers"), "--model_name=custom-model"
    own = f"--model_class=kserve:{peers / 'ks_predictor.py'}:OnnxModel"
    predictor = start_predictor(named, own, "--allow_python_models", python=python, env=model())
    try:
        own = f"--transformer=kserve:{peers / 'ks_transformer.py'}:ImageTransformer"
        transformer = start_transformer(predictor.grpc_port, named, "--protocol=grpc-v2", own, python=python)
        yield Pair(transformer, predictor, "custom-model")
        assert transformer.process.stop() == 0
    finally:
        assert predictor.process.stop() == 0


def model() -> dict[str, str]:
    return {"MODEL": str(next(FLOATS_MODEL.rglob("model.onnx"))), "THREADS": "1"}


def test_kserves_sample_pair_answers_the_seed_request_as_its_own_methods_do(samples: Pair, python: str) -> None:
    seed = shared("seed/input.json")
    reply = ask(samples.infer_url, "POST", seed.read_bytes(), JSON)
    assert reply.status == 200, reply.body
    (output,) = reply.json["outputs"]
    assert (output["name"], output["datatype"], output["shape"]) == ("output-0", "FP32", [1, 5])
    command = [python, HERE / "kserve_direct.py", shared("peers"), seed]
    direct = subprocess.run(command, capture_output=True, text=True, check=True, env={**os.environ, **model()})
    assert np.abs(np.array(output["data"]) - json.loads(direct.stdout.splitlines()[-1])).max() <= 1e-4
    phases = {phase.partition(";")[0].strip() for phase in reply.headers["server-timing"].split(",")}
    assert {"preprocess", "hop", "queue", "inference"} <= phases


@pytest.fixture(scope="module")
def sums() -> Iterator[Service]:
    predictor = start_predictor(NAMED, f"--model_dir={ROOT / 'examples' / 'row-sums'}", "--allow_python_models")
    yield predictor
    predictor.process.stop()


@contextmanager
def transformer(predictor: Service, python: str, cls: str, *flags: str) -> Iterator[Service]:
    rest = any(flag in ("--predictor_protocol=v1", "--predictor_protocol=v2") for flag in flags)
    port = predictor.http_port if rest else predictor.grpc_port
    running = start_transformer(port, NAMED, f"--transformer=kserve:{AUTHORED}:{cls}", *flags, python=python)
    try:
        yield running
    finally:
        assert running.process.stop() == 0


def infer(service: Service, **parameters: str) -> Reply:
    tensor = {"name": "x", "shape": [2, 3], "datatype": "FP32", "data": [1, 2, 3, 4, 5, 6]}
    body = {"id": "a", "inputs": [tensor], "parameters": parameters}
    return ask(f"{service.url}/v2/models/sums/infer", "POST", body, JSON)


@pytest.mark.parametrize("protocol", ["grpc-v2", "v2", "v1"])
def test_v1_and_v2_callers_reach_the_authors_methods_in_front_of_every_protocol(
    sums: Service, python: str, protocol: str
) -> None:
    with transformer(sums, python, "Doubling", f"--predictor_protocol={protocol}") as service:
        instances = {"instances": [{"values": row} for row in ROWS]}
        reply = ask(f"{service.url}/v1/models/sums:predict", "POST", instances, JSON)
        assert reply.status == 200, reply.body
        assert reply.json == {"predictions": [{"sum": 12.0, "unit": "K"}, {"sum": 30.0, "unit": "K"}]}
        assert reply.headers["x-sensor"] == "7"
        reply = infer(service)
        assert reply.status == 200, reply.body
        assert reply.json["outputs"][0]["data"] == [12, 30]
        assert (reply.json["id"], reply.headers["x-sensor"]) == ("a", "7")


@pytest.fixture(scope="module")
def twice(sums: Service, python: str) -> Iterator[Service]:
    with transformer(sums, python, "Twice") as running:
        yield running


def test_an_async_predict_of_its_own_may_ask_the_predictor_more_than_once(twice: Service) -> None:
    reply = infer(twice)
    assert reply.status == 200, reply.body
    assert reply.json["outputs"][0]["data"] == [12, 30]
    assert reply.headers["x-asked"] == "2"


@pytest.mark.parametrize(
    ("failure", "status", "text"),
    [
        ("invalid", 400, "colder than absolute zero"),
        ("inference", 500, "the sensor is broken"),
        ("missing", 404, "no such sensor"),
        ("unready", 503, "Model with name sums is not ready."),
        ("unoffered", 501, "not yet"),
        ("http", 429, "too many sensors"),
        ("bug", 500, "Twice.preprocess failed; the log says more (id a)"),
    ],
)
def test_kserves_errors_keep_their_meaning(twice: Service, failure: str, status: int, text: str) -> None:
    reply = infer(twice, fail=failure)
    assert (reply.status, reply.json["error"]) == (status, text)


def test_a_refusal_of_the_predictor_passes_through_the_authors_methods(twice: Service) -> None:
    tensor = {"name": "x", "shape": [1, 2], "datatype": "FP32", "data": [1, 2]}
    reply = ask(f"{twice.url}/v2/models/sums/infer", "POST", {"inputs": [tensor]}, JSON)
    assert reply.status == 400
    assert "shape is [1, 2], expected [-1, 3]" in reply.json["error"]


def test_texts_come_as_json_has_them_and_the_constructor_gets_what_it_asks_for(sums: Service, python: str) -> None:
    flags = ("--transformer_options=prefix=the", "--greeting=hi", "--enable_predictor_health_check=true")
    with transformer(sums, python, "Texts", *flags) as service:
        tensor = {"name": "words", "shape": [2], "datatype": "BYTES", "data": ["abc", "é"]}
        reply = ask(f"{service.url}/v2/models/sums/infer", "POST", {"inputs": [tensor]}, JSON)
        assert reply.status == 200, reply.body
        expected = ["the 127.0.0.1 grpc-v2 ! hi 9.0", "the 127.0.0.1 grpc-v2 ! hi 3.0"]
        assert reply.json["outputs"][0]["data"] == expected


def test_the_class_of_the_page_bring_what_you_have_runs_by_its_command(
    sums: Service, python: str, tmp_path: Path
) -> None:
    page = "docs/bring-what-you-have.md"
    (tmp_path / "celsius.py").write_text(block(page, "import argparse"))
    flags = shlex.split(block(page, "tandem-transformer"))[1:]
    mine = [flag.replace("celsius.py", str(tmp_path / "celsius.py")) for flag in flags if "host" not in flag]
    service = start_transformer(sums.grpc_port, *mine, python=python)
    try:
        tensor = {"name": "fahrenheit", "shape": [1, 3], "datatype": "FP32", "data": [32, 212, -40]}
        reply = ask(f"{service.url}/v2/models/sums/infer", "POST", {"inputs": [tensor]}, JSON)
        assert (reply.json["outputs"][0]["data"], reply.headers["x-unit"]) == ([60], "C")
        refused = {"inputs": [{**tensor, "data": [0, 0, -500]}]}
        reply = ask(f"{service.url}/v2/models/sums/infer", "POST", refused, JSON)
        assert (reply.status, reply.json["error"]) == (400, "colder than absolute zero")
    finally:
        assert service.process.stop() == 0


def test_a_predictor_is_made_ready_as_kserves_server_does_and_declares_its_tensors(python: str) -> None:
    predictor = start_predictor(
        NAMED, f"--model_class=kserve:{AUTHORED}:Summing", "--allow_python_models", python=python
    )
    try:
        described = ask(f"{predictor.url}/v2/models/sums").json
        assert described["inputs"] == [{"name": "x", "datatype": "FP32", "shape": [-1, -1]}]
        reply = infer(predictor)
        assert reply.status == 200, reply.body
        assert reply.json["outputs"][0]["data"] == [60, 150]
        empty = {"inputs": [{"name": "x", "shape": [0, 3], "datatype": "FP32", "data": []}]}
        reply = ask(f"{predictor.url}/v2/models/sums/infer", "POST", empty, JSON)
        assert (reply.status, reply.json["error"]) == (400, "no rows")
        reply = ask(f"{predictor.url}/v1/models/sums:predict", "POST", {"instances": ROWS}, JSON)
        assert reply.json == {"predictions": [60, 150]}
    finally:
        assert predictor.process.stop() == 0


def test_what_only_the_user_can_mend_is_one_line_and_status_2(python: str, sums: Service) -> None:
    def ends(*flags: str, with_kserve: bool = True) -> str:
        kind = {"python": python} if with_kserve else {}
        process = launch_transformer(sums.grpc_port, NAMED, *flags, **kind)
        assert process.end() == 2
        return process.lines[-1]

    assert "the constructor needs prefix; give them with --transformer_options=prefix=..." in ends(
        f"--transformer=kserve:{AUTHORED}:Texts"
    )
    assert f"{AUTHORED} defines no subclass Absent of kserve.Model" in ends(f"--transformer=kserve:{AUTHORED}:Absent")
    assert "install it: pip install 'tandem-shared[kserve]'" in ends(
        f"--transformer=kserve:{AUTHORED}:Twice", with_kserve=False
    )
    own = f"--model_class=kserve:{AUTHORED}:Unready"
    process = Process.python("tandem_predictor", own, "--allow_python_models", "--http_port=0", python=python)
    assert process.end() == 2
    assert process.lines[-1].endswith("load() has left self.ready False")
    process = Process.python("tandem_predictor", own, "--http_port=0", python=python)
    assert process.end() == 2
    assert process.lines[-1].endswith("is only run with --allow_python_models")
