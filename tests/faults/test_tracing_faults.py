"""Tracing when its collector, or OpenTelemetry itself, is not there; when a service stops; and when it is off."""

from __future__ import annotations

import secrets
import socket
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from collector import Collector, collecting, tree
from contract.client import ask
from contract.test_tracing import CLIENT, document, expected, parent, post, traced_pair
from faults.test_handoff import nth
from harness import DIGITS, Pair, launch_transformer, met, running_pair, start_predictor
from tandem import cpus
from tandem.tracing.spans import FLUSH

SLACK = 3.0  # seconds that a stop takes in any case: the predictor's quiet time, threads, a busy machine
LATER = "3600000"  # milliseconds between two exports: only the end of the service exports
IMPORTS = """
import sys
import numpy as np
from tandem import TensorSpec

def imported():
    return np.array([[float(sum(name.partition(".")[0] == "opentelemetry" for name in sys.modules))]], np.float32)
"""
MODEL = """
class Model:
    inputs = [TensorSpec("x", "FP32", (-1, 1))]
    outputs = [TensorSpec("predictor", "FP32", (-1, 1)), TensorSpec("transformer", "FP32", (-1, 1))]

    def load(self, path): ...

    def predict(self, inputs):
        return {"predictor": imported(), "transformer": inputs["x"]}
"""
TRANSFORMER = """
from tandem_transformer import Transformer

class Imports(Transformer):
    def preprocess(self, inputs, context):
        return {"x": imported()}
"""


@pytest.fixture
def collector() -> Iterator[Collector]:
    with collecting() as running:
        yield running


@pytest.fixture(params=["nobody listens", "it never answers"])
def no_collector(request) -> Iterator[str]:
    """The address of a collector that takes nothing."""
    with closing(socket.socket()) as place:
        place.bind(("127.0.0.1", 0))
        if request.param == "it never answers":
            place.listen(64)
        yield f"http://127.0.0.1:{place.getsockname()[1]}"


def stop(pair: Pair) -> float:
    """The seconds that the longer stop of the two took; both end well."""
    seconds = []
    for service in (pair.transformer, pair.predictor):
        begun = time.monotonic()
        assert service.process.stop() == 0
        seconds.append(time.monotonic() - begun)
    return max(seconds)


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
def test_without_a_collector_requests_are_served_and_a_service_stops_in_time(collector, no_collector, protocol) -> None:
    down = {"OTEL_EXPORTER_OTLP_ENDPOINT": no_collector, "OTEL_EXPORTER_OTLP_TIMEOUT": "1"}
    with traced_pair(collector, protocol=protocol, **down) as pair:
        for _ in range(100):
            assert post(pair, document(), {}) == 200
        lost = pair.transformer.process.entry("spans cannot be exported, and are dropped")
        for _ in range(100):
            assert post(pair, document(), {}) == 200
        assert stop(pair) < FLUSH + SLACK
        complaints = [line for line in pair.transformer.process.lines if "tandem.tracing" in line]
    assert lost["reason"]
    assert "opentelemetry" not in pair.transformer.process.log
    assert len(complaints) <= 3, complaints  # it is on, it is lost, the last spans are lost


def test_a_collector_that_comes_back_is_told_of_and_used(collector) -> None:
    with closing(socket.socket()) as place:
        place.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # kept, and free for who listens
        place.bind(("127.0.0.1", 0))
        port = place.getsockname()[1]
        down = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}", "OTEL_EXPORTER_OTLP_TIMEOUT": "1"}
        with traced_pair(collector, **down) as pair:
            assert post(pair, document(), {}) == 200
            pair.transformer.process.entry("spans cannot be exported, and are dropped")
            with collecting(port) as late:
                trace = secrets.token_hex(16)
                assert post(pair, document(), parent(trace)) == 200
                late.trace(trace, 1)
                pair.transformer.process.entry("spans are exported again")


def test_the_last_spans_are_exported_before_a_service_ends(collector) -> None:
    trace = secrets.token_hex(16)
    with traced_pair(collector, OTEL_BSP_SCHEDULE_DELAY=LATER) as pair:
        assert post(pair, document(), parent(trace)) == 200
        assert not collector.spans
        assert stop(pair) < FLUSH + SLACK
    assert tree(collector.of(trace), CLIENT) == expected("http", "local")
    assert "lost" not in pair.transformer.process.log + pair.predictor.process.log


@pytest.mark.skipif(cpus.available() < 2, reason="--workers is at most the CPUs, and there is one")
def test_every_worker_exports_its_own_spans_to_its_end(collector) -> None:
    environ = collector.environ() | {"OTEL_BSP_SCHEDULE_DELAY": LATER}
    predictor = start_predictor("--model_name=m", f"--model_dir={DIGITS}")
    flags = ("--model_name=m", "--transformer=identity", "--workers=2")
    try:
        process = launch_transformer(predictor.grpc_port, *flags, env=environ)
        transformer = met(process, wait=False)
        process.wait_for(nth(2, "predictor: ready"))
        pair, count = Pair(transformer, predictor, "m"), 40
        assert {post(pair, document(), {}) for _ in range(count)} == {200}  # each on a connection of its own
        assert process.stop() == 0
    finally:
        predictor.process.stop()
    servers = [span for span in collector.spans if span.kind == "server"]
    assert len({span.trace for span in servers}) == count
    assert len({span.resource["service.instance.id"] for span in servers}) == 2


def test_off_nothing_of_opentelemetry_is_imported(tmp_path: Path) -> None:
    (tmp_path / "model.py").write_text(IMPORTS + MODEL)
    (tmp_path / "imports.py").write_text(IMPORTS + TRANSFORMER)
    served = (f"--model_dir={tmp_path}", "--allow_python_models")
    with running_pair("m", served, (f"--transformer={tmp_path / 'imports.py'}:Imports",)) as pair:
        body = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 1], "data": [7]}]}
        outputs = ask(pair.infer_url, "POST", body).json["outputs"]
    assert {output["name"]: output["data"] for output in outputs} == {"predictor": [0], "transformer": [0]}


def test_where_opentelemetry_is_missing_a_line_says_what_to_do_and_requests_are_served(tmp_path: Path) -> None:
    missing = tmp_path / "opentelemetry"
    missing.mkdir()
    (missing / "__init__.py").write_text("raise ModuleNotFoundError('no module', name='opentelemetry')")
    asked = {"PYTHONPATH": str(tmp_path), "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"}
    with running_pair("m", (f"--model_dir={DIGITS}",), ("--transformer=identity",), asked) as pair:
        assert post(pair, document(), {}) == 200
    for name, service in (("transformer", pair.transformer), ("predictor", pair.predictor)):
        (line,) = [line for line in service.process.lines if "tracing" in line]
        assert f"opentelemetry is not installed; pip install 'tandem-{name}[tracing]'" in line
