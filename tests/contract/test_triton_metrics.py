"""--enable_triton_metrics: what dashboards for Triton ask for."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from contract.client import ask
from harness import DIGITS, Service, metric, start_predictor
from tandem.model import triton
from tandem.model.statistics import ModelStatistics, Statistics

DURATIONS = ("request", "queue", "compute_input", "compute_infer", "compute_output")


@pytest.fixture(scope="module")
def predictor() -> Iterator[Service]:
    service = start_predictor(f"--model_dir={DIGITS}", "--model_name=digits", "--enable_triton_metrics")
    try:
        yield service
    finally:
        service.process.stop()


def infer(predictor: Service, rows: int) -> int:
    tensor = {"name": "image", "shape": [rows, 8, 8], "datatype": "FP32", "data": [0.0] * (64 * rows)}
    return ask(f"{predictor.url}/v2/models/digits/infer", "POST", {"inputs": [tensor]}).status


def test_requests_rows_and_batches_are_counted_under_tritons_names(predictor: Service) -> None:
    assert [infer(predictor, 1), infer(predictor, 3)] == [200, 200]
    shown = ask(f"{predictor.url}/metrics").body.decode()
    labels = {"model": "digits", "version": "1"}
    counts = {
        name: metric(shown, f"nv_inference_{name}", **labels) for name in ("request_success", "count", "exec_count")
    }
    assert counts == {"request_success": 2, "count": 4, "exec_count": 2}
    assert metric(shown, "nv_inference_request_failure", **labels) == 0
    times = {name: metric(shown, f"nv_inference_{name}_duration_us", **labels) for name in DURATIONS}
    assert 0 < times["compute_infer"] < times["request"]
    assert metric(shown, "tandem_ready") == 1


def test_a_name_is_written_as_the_format_asks() -> None:
    shown = triton.exposition([ModelStatistics('a"b\\c', "1", Statistics())]).decode()
    assert 'nv_inference_count{model="a\\"b\\\\c",version="1"} 0\n' in shown
