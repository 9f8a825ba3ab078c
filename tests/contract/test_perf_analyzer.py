"""Both services under Triton's load generator: HTTP, gRPC; with their statistics, and without.

perf_analyzer has no switch for statistics: it asks for them if the server advertises the extension.
"""

from __future__ import annotations

import base64
import json
import re
import struct
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from contract.client import photos
from harness import DEFAULT_MODEL, Pair, Process, Service
from perf_analyzer import perf_analyzer, program

pytestmark = pytest.mark.system

HERE = Path(__file__).parent
REQUESTS = 16


@pytest.fixture(scope="module", autouse=True)
def _there_is_a_perf_analyzer() -> None:
    program()


@pytest.fixture(scope="module")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One photo as perf_analyzer wants it: its {"b64"} goes out as it is, so it holds the element's length too."""
    image = photos()["coffee"]
    element = base64.b64encode(struct.pack("<I", len(image)) + image).decode()
    path = tmp_path_factory.mktemp("perf_analyzer") / "photo.json"
    path.write_text(json.dumps({"data": [{"input-0": {"content": {"b64": element}, "shape": [1]}}]}))
    return path


def start_unadvertised(service: str, event: str, *flags: str) -> Service:
    ports = ("--host=127.0.0.1", "--http_port=0", "--grpc_port=0", "--model_name=custom-model", "--log_format=json")
    process = Process(sys.executable, str(HERE / "unadvertised.py"), service, *ports, *flags)
    entry = process.entry(event)
    return Service(process, entry["http_port"], entry["grpc_port"])


@pytest.fixture(scope="module")
def unadvertised() -> Iterator[Pair]:
    """The same pair, but neither service advertises statistics."""
    predictor = start_unadvertised("predictor", "ready", f"--model_dir={DEFAULT_MODEL}", "--drain_idle=0.6")
    try:
        hop = f"--predictor_host={predictor.target}"
        transformer = start_unadvertised("transformer", "listening", hop)
        try:
            transformer.process.entry("predictor: ready")
            yield Pair(transformer, predictor, "custom-model")
        finally:
            transformer.process.stop()
    finally:
        predictor.process.stop()


def load(pair: Pair, service: str, door: str, concurrency: int, photo: Path) -> str:
    """What perf_analyzer reports of a service; the predictor's pixels are perf_analyzer's own, random."""
    address = f"127.0.0.1:{getattr(getattr(pair, service), f'{door}_port')}"
    inputs = (f"--input-data={photo}", "--shape=input-0:1") if service == "transformer" else ()
    amount = (f"--request-count={REQUESTS}", f"--concurrency-range={concurrency}", "--shared-memory=none")
    return perf_analyzer("-m", pair.model, "-u", address, "-i", door, *amount, *inputs)


def assert_all_were_answered(report: str, concurrency: int) -> None:
    assert re.findall(r"Request concurrency: (\d+)", report) == [str(concurrency)]
    assert re.findall(r"Request count: (\d+)", report) == [str(REQUESTS)]
    (throughput,) = re.findall(r"Throughput: ([\d.]+) infer/sec", report)
    assert float(throughput) > 0
    assert not re.search(r"error|fail", report, re.IGNORECASE), report


@pytest.mark.parametrize("concurrency", [1, 4])
@pytest.mark.parametrize("door", ["http", "grpc"])
@pytest.mark.parametrize("service", ["transformer", "predictor"])
def test_perf_analyzer_runs_and_reports_the_statistics_of_the_server(
    pair: Pair, service: str, door: str, concurrency: int, photo: Path
) -> None:
    report = load(pair, service, door, concurrency, photo)
    assert_all_were_answered(report, concurrency)
    assert f"Inference count: {REQUESTS}" in report, report
    assert f"Successful request count: {REQUESTS}" in report
    (inferring,) = re.findall(r"compute infer (\d+) usec", report)
    assert int(inferring) > 0


@pytest.mark.parametrize("concurrency", [1, 4])
@pytest.mark.parametrize("door", ["http", "grpc"])
@pytest.mark.parametrize("service", ["transformer", "predictor"])
def test_perf_analyzer_runs_on_a_server_that_advertises_no_statistics(
    unadvertised: Pair, service: str, door: str, concurrency: int, photo: Path
) -> None:
    report = load(unadvertised, service, door, concurrency, photo)
    assert_all_were_answered(report, concurrency)
    assert "Server:" not in report
