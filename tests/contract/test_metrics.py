"""The metrics that dashboards and alerts rely on, by name and label, after one request."""

from __future__ import annotations

import pytest
from contract.client import ask, over_rest, photos, rest_request
from harness import Pair, metric

BOTH = [
    ("tandem_requests_total", {"model_name": "custom-model", "code": "OK"}),
    ("tandem_request_seconds_count", {"model_name": "custom-model"}),
    ("tandem_in_flight_requests", {}),
    ("tandem_ready", {}),
    ("tandem_build_info", {"version": "0.1.0"}),
    ("request_predict_seconds_count", {"model_name": "custom-model"}),
]
TRANSFORMER = [
    ("request_preprocess_seconds_count", {"model_name": "custom-model"}),
    ("request_postprocess_seconds_count", {"model_name": "custom-model"}),
    ("tandem_hop_seconds_count", {}),
    ("tandem_hop_total", {"transport": "socket"}),
    ("tandem_predictor_channel_ready", {}),
]
PREDICTOR = [
    ("tandem_queue_seconds_count", {"model_name": "custom-model"}),
    ("tandem_queue_rows", {"model_name": "custom-model"}),
    ("tandem_batch_rows_bucket", {"le": "1.0"}),
    ("tandem_inference_seconds_count", {"model_name": "custom-model"}),
]


@pytest.fixture
def expositions(pair: Pair) -> dict[str, str]:
    over_rest(pair, rest_request([photos()["coffee"]]))
    return {name: ask(f"{getattr(pair, name).url}/metrics").body.decode() for name in ("transformer", "predictor")}


@pytest.mark.parametrize(
    ("service", "expected"), [("transformer", BOTH + TRANSFORMER), ("predictor", BOTH + PREDICTOR)]
)
def test_every_promised_name_is_there(
    expositions: dict[str, str], service: str, expected: list[tuple[str, dict[str, str]]]
) -> None:
    for name, labels in expected:
        metric(expositions[service], name, **labels)
    assert metric(expositions[service], "tandem_ready") == 1
    assert "# TYPE tandem_rejected_total counter" in expositions[service]
    assert "_created" not in expositions[service]


def test_what_a_client_calls_a_model_is_never_a_label(pair: Pair) -> None:
    assert ask(f"{pair.transformer.url}/v2/models/hostile-name/infer", "POST", {"inputs": []}).status == 400
    exposition = ask(f"{pair.transformer.url}/metrics").body.decode()
    assert "hostile-name" not in exposition
    assert metric(exposition, "tandem_requests_total", model_name="unknown", code="INVALID_ARGUMENT") >= 1


def test_kserves_buckets_are_among_the_buckets(expositions: dict[str, str]) -> None:
    for bound in ("0.005", "0.01", "0.025", "0.05", "0.075", "0.1", "0.25", "0.5", "0.75", "1.0", "2.5", "5.0", "10.0"):
        metric(expositions["transformer"], "request_preprocess_seconds_bucket", le=bound)


def test_openmetrics_is_given_to_who_asks_for_it_with_the_trace_of_a_request(pair: Pair) -> None:
    trace = "0af7651916cd43dd8448eb211c80319c"
    request = rest_request([photos()["coffee"]])
    headers = {"traceparent": f"00-{trace}-b7ad6b7169203331-01"}
    assert ask(pair.infer_url, "POST", request, headers).status == 200
    for service in (pair.transformer, pair.predictor):
        accept = {"Accept": "application/openmetrics-text;version=1.0.0;q=0.75,text/plain;version=0.0.4;q=0.5"}
        reply = ask(f"{service.url}/metrics", headers=accept)
        assert reply.headers["content-type"] == "application/openmetrics-text; version=1.0.0; charset=utf-8"
        shown = reply.body.decode()
        assert shown.endswith("# EOF\n")
        assert any(
            line.startswith("tandem_request_seconds_bucket") and f'# {{trace_id="{trace}"}}' in line
            for line in shown.splitlines()
        )
        plain = ask(f"{service.url}/metrics")
        assert plain.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
        assert trace not in plain.body.decode()
