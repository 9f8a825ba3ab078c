"""deploy/monitoring against a real Prometheus that scrapes a real pair through errors and an overload."""

from __future__ import annotations

import json
import math
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import grpc
import numpy as np
import pytest
from contract.client import ask
from deploy.operator import Pod, jobs, knative, standard
from deploy.prometheus import MONITORING, Prometheus, config
from harness import DIGITS, Pair, start_predictor, start_transformer
from parts import require
from tandem.oip import inference_pb2 as pb
from tandem.oip import inference_pb2_grpc as pb_grpc

pytestmark = pytest.mark.system

TRANSFORMER = """
from tandem_transformer import Transformer


class Same(Transformer):
    def preprocess(self, inputs, context):
        with context.timer("copy"):
            return dict(inputs)

    def postprocess(self, outputs, context):
        return dict(outputs)
"""
TRACE = "0af7651916cd43dd8448eb211c80319c"
IN_FLIGHT = 4
FRONT = 'container="transformer-container"'
CHOSEN = {"namespace": "shop", "pod": "direct|merged", "model_name": "digits", "__rate_interval": "1m"}

KUBELET = "cAdvisor's, which only a kubelet has: Tandem exports no process_* of its own"
EMPTY = {
    **dict.fromkeys(("CPU by container", "CPU throttled by container", "Memory by container"), KUBELET),
    **dict.fromkeys(("Mean time of a batch on its device", "Memory of the GPU"), "the model runs on the CPU"),
}

# In these something must be above zero after the load; in the others a zero is an answer.
MOVED = {
    "Ready", "Versions", "Availability burn rate", "Requests by model and door", "Failures by status",
    "Refused or left, by status", "Latency as callers see it", "Latency, every request", "Latency at the predictor",
    "Mean time by phase", "Mean time by timer of the author",
    "99th percentile by phase", "Predict as the transformer sees it", "Rows in a batch",
    "Preprocess, every request", "Queue, every request", "Inference, every batch", "Batches and rows a second",
    "Refused by reason", "Share refused", "Predictor channel", "Hop latency",
    "Calls by transport", "Share through shared memory",
}  # fmt: skip


@dataclass
class Scene:
    direct: Pair
    merged: Pair
    prometheus: Prometheus

    def total(self, code: str) -> float:
        """What Prometheus knows of the direct pair's answers."""
        labels = f'pod="direct", container="transformer-container", code="{code}"'
        return sum(value for _, value in self.prometheus.query(f"tandem_requests_total{{{labels}}}"))


def infer(pair: Pair, rows: int = 1, **headers: str) -> int:
    tensor = {"name": "image", "shape": [rows, 8, 8], "datatype": "FP32", "data": [0.0] * (64 * rows)}
    return ask(pair.infer_url, "POST", {"inputs": [tensor]}, headers).status


def over_grpc(pair: Pair) -> None:
    request = pb.ModelInferRequest(model_name=pair.model)
    request.inputs.add(name="image", datatype="FP32", shape=[1, 8, 8])
    request.raw_input_contents.append(np.zeros(64, np.float32).tobytes())
    with grpc.insecure_channel(pair.transformer.target) as channel:
        pb_grpc.GRPCInferenceServiceStub(channel).ModelInfer(request, timeout=30)


def overload(pair: Pair) -> None:
    """Three times as many requests as are taken, while the predictor stands still: the taken ones miss their time."""
    with ThreadPoolExecutor(3 * IN_FLIGHT) as callers:
        pair.predictor.process.send(signal.SIGSTOP)
        try:
            asked = [callers.submit(infer, pair, **{"x-request-timeout-ms": "1500"}) for _ in range(3 * IN_FLIGHT)]
            answers = sorted(each.result() for each in asked)
        finally:
            pair.predictor.process.send(signal.SIGCONT)
    assert answers == [429] * 2 * IN_FLIGHT + [504] * IN_FLIGHT
    end = time.monotonic() + 10
    while infer(pair) != 200:
        assert time.monotonic() < end, "the pair does not come back"


def load(scene: Scene) -> None:
    """A round of everything: small and large, both doors, callers' faults, failures, refusals."""
    for pair in (scene.direct, scene.merged):
        over_grpc(pair)
        for rows in (1, 1, 1, 100, 100, 100):  # 100 rows are 25.6 kB: shared memory's
            assert infer(pair, rows, traceparent=f"00-{TRACE}-b7ad6b7169203331-01") == 200
    assert ask(scene.direct.infer_url, "POST", {"inputs": []}).status == 400
    overload(scene.direct)


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """Twice the load, and Prometheus has seen both: only then is there a rate of what the first brought into being."""
    programs = [require(name) for name in ("prometheus", "promtool")]
    folder = tmp_path_factory.mktemp("prometheus")
    ends = []
    try:
        predictor = start_predictor(f"--model_dir={DIGITS}", "--model_name=digits")
        ends.append(predictor.process.stop)
        (folder / "same.py").write_text(TRANSFORMER)
        flags = ("--model_name=digits", f"--transformer={folder / 'same.py'}:Same")
        front = start_transformer(predictor.grpc_port, *flags, f"--max_in_flight={IN_FLIGHT}")
        ends.append(front.process.stop)
        merging = ("--merge_predictor_metrics", f"--predictor_metrics_url={predictor.url}/metrics")
        merged = start_transformer(predictor.grpc_port, *flags, *merging)
        ends.append(merged.process.stop)
        file = folder / "prometheus.yml"
        labels = {"shared_memory": "expected"}
        doors = {("transformer-container", "http"): front.http_port, ("transformer-container", "grpc"): front.grpc_port}
        doors[("kserve-container", "http-predictor")] = predictor.http_port
        direct = Pod("direct", "shop", doors, labels)
        other = {"metadata": {"name": "other"}}  # both would have one name, as nobody needs both
        # queue-proxy's aggregate is stood for by what it passes on
        aggregate = Pod("merged", "shop", {("queue-proxy", "aggr-metric"): merged.http_port}, labels)
        file.write_text(config([*jobs(standard(), direct), *jobs(knative() | other, aggregate)]))
        subprocess.run([programs[1], "check", "config", file], check=True, capture_output=True)
        prometheus = Prometheus(programs[0], folder, file)
        ends.append(prometheus.process.stop)
        made = Scene(Pair(front, predictor, "digits"), Pair(merged, predictor, "digits"), prometheus)
        for times in (1, 2):
            load(made)
            seen = times * IN_FLIGHT
            prometheus.comes(lambda seen=seen: made.total("DEADLINE_EXCEEDED") == seen, f"{seen} deadlines")
        yield made
    finally:
        for stop in reversed(ends):
            stop()


def panels() -> list[dict[str, Any]]:
    dashboard = json.loads((MONITORING / "tandem.json").read_text())
    return [panel for panel in dashboard["panels"] if panel["type"] != "row"]


def substituted(expr: str) -> str:
    """The query as Grafana sends it."""
    sent = re.sub(r"\$(\w+)", lambda found: CHOSEN[found[1]], expr)
    assert "$" not in sent
    return sent


def over(scene: Scene, expr: str, least: float) -> bool:
    return any(value > least for _, value in scene.prometheus.query(expr))


@pytest.mark.parametrize("panel", panels(), ids=lambda panel: panel["title"])
def test_every_query_of_a_panel_has_an_answer_or_a_reason_for_none(scene: Scene, panel: dict[str, Any]) -> None:
    for target in panel["targets"]:
        expr = substituted(target["expr"])
        if panel["title"] in EMPTY:
            assert not scene.prometheus.query(expr)
        else:
            least = 0 if panel["title"] in MOVED else -math.inf
            scene.prometheus.comes(lambda expr=expr, least=least: over(scene, expr, least), f"an answer to {expr}")


def test_the_titles_in_the_tables_are_those_of_panels() -> None:
    assert {panel["title"] for panel in panels()} >= MOVED | set(EMPTY)


def test_an_exemplar_of_each_panel_that_asks_is_the_trace_of_a_request(scene: Scene) -> None:
    asking = [target["expr"] for panel in panels() for target in panel["targets"] if target["exemplar"]]
    assert asking
    for expr in asking:
        parameters = {"query": substituted(expr), "start": time.time() - 600, "end": time.time()}
        series = scene.prometheus.get("query_exemplars", **parameters)
        assert {one["labels"]["trace_id"] for each in series for one in each["exemplars"]} == {TRACE}, expr


def test_every_recording_rule_records_and_every_alert_is_evaluated(scene: Scene) -> None:
    def settled() -> list[dict[str, Any]]:
        groups = scene.prometheus.get("rules")["groups"]
        found = [rule for group in groups for rule in group["rules"]]
        return [] if any(rule["health"] == "unknown" for rule in found) else found

    rules = scene.prometheus.comes(settled, "an evaluation of every rule")
    assert [rule for rule in rules if rule["health"] != "ok"] == []
    recorded = [rule["name"] for rule in rules if rule["type"] == "recording"]
    assert recorded
    for name in recorded:
        scene.prometheus.comes(lambda name=name: scene.prometheus.query(name), name)


def test_the_ratios_count_failures_and_leave_refusals_out(scene: Scene) -> None:
    def share(failed: str, every: str) -> list[float]:
        rates = [f'sum(rate(tandem_requests_total{{{FRONT}, code=~"{codes}"}}[5m]))' for codes in (failed, every)]
        return [value for _, value in scene.prometheus.query(" / ".join(rates))]

    def the_same() -> bool:
        """The rule's last word may be a second old, and then of fewer requests."""
        recorded = scene.prometheus.query('model:tandem_errors:ratio_rate5m{namespace="shop", model_name="digits"}')
        expected = share("DEADLINE_EXCEEDED", "OK|DEADLINE_EXCEEDED")
        return [value for _, value in recorded] == pytest.approx(expected, rel=0.02)

    scene.prometheus.comes(the_same, "the share of the deadlines among the answers")
    assert share("DEADLINE_EXCEEDED", ".*") != pytest.approx(
        share("DEADLINE_EXCEEDED", "OK|DEADLINE_EXCEEDED"), rel=0.1
    )


def test_the_alert_of_fast_burning_is_on_its_way_and_that_of_the_lost_scrape_is_not(scene: Scene) -> None:
    def pending() -> list[str]:
        names = [alert["labels"]["alertname"] for alert in scene.prometheus.get("alerts")["alerts"]]
        return names if "TandemErrorBudgetFast" in names else []

    assert "TandemPredictorScrapeDown" not in scene.prometheus.comes(pending, "a burning budget")


@pytest.mark.parametrize("step", ["preprocess", "predict", "postprocess"])
def test_what_kserves_dashboard_17969_asks_has_an_answer(scene: Scene, step: str) -> None:
    """The form of its queries: quantiles of a step by model, and how many predictions there were."""
    buckets = f'request_{step}_seconds_bucket{{model_name="digits"}}'
    for quantile in (0.5, 0.9, 0.95, 0.99):
        [(_, value)] = scene.prometheus.query(f"histogram_quantile({quantile}, sum by (le) (rate({buckets}[1m])))")
        assert 0 < value < 2.5
    [(_, count)] = scene.prometheus.query(f'sum(increase(request_{step}_seconds_count{{model_name="digits"}}[1m]))')
    assert count > 0


def test_a_merged_scrape_keeps_whose_each_sample_is(scene: Scene) -> None:
    containers = {labels["container"] for labels, _ in scene.prometheus.query('tandem_ready{pod="merged"}')}
    assert containers == {"transformer-container", "kserve-container"}


def test_a_podmonitor_gives_what_it_scrapes_the_labels_that_rules_panels_and_keda_ask_by(scene: Scene) -> None:
    given = {labels["pod"]: labels for labels, _ in scene.prometheus.query(f"tandem_hop_total{{{FRONT}}}")}
    place = {"namespace": "shop", "container": "transformer-container", "shared_memory": "expected"}
    for pod, endpoint in (("direct", "http"), ("merged", "aggr-metric")):
        assert place.items() <= given[pod].items()
        assert given[pod]["serving_kserve_io_inferenceservice"] == "custom-transformer-collocation"
        assert given[pod]["endpoint"] == endpoint
    found = scene.prometheus.query('{__name__=~"tandem_.*|request_.*"}')
    assert [labels for labels, _ in found if any(name.startswith("exported_") for name in labels)] == []


def test_only_the_ports_that_a_podmonitor_names_are_scraped(scene: Scene) -> None:
    scraped = {(labels["pod"], labels["container"]): up for labels, up in scene.prometheus.query("up")}
    pods = {("direct", "transformer-container"), ("direct", "kserve-container"), ("merged", "queue-proxy")}
    assert scraped == dict.fromkeys(pods, 1)
