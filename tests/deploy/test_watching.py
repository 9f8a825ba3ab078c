"""What the manifests tell Prometheus and KEDA, held against the metrics that the services have."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from deploy.manifests import DEPLOY, KNATIVE, STANDARD, Half, Manifest, one, pair, parsed
from deploy.operator import knative, safe, standard
from foreign import environment
from parts import require
from prometheus_client import CollectorRegistry
from tandem.metrics import PredictorMetrics, TransformerMetrics

TARGET = {
    "container",
    "namespace",
    "pod",
    "serving_kserve_io_inferenceservice",
    "shared_memory",
}  # labels that the scrape gives
NAME = "custom-transformer-collocation"


def queries() -> list[tuple[str, float]]:
    """KEDA's queries and what of each one replica may have."""
    found = [each["external"] for each in pair("keda").pod["autoScaling"]["metrics"]]
    return [(each["metric"]["query"], float(each["target"]["value"])) for each in found]


@pytest.mark.parametrize("name", STANDARD)
def test_the_podmonitor_scrapes_the_http_door_of_both(name: str) -> None:
    scraped = one(name, "PodMonitor")["spec"]["podMetricsEndpoints"]
    ports = {
        port["name"]: (half, port["containerPort"])
        for half in (pair(name).transformer, pair(name).predictor)
        for port in half.container["ports"]
    }
    assert [each["path"] for each in scraped] == ["/metrics", "/metrics"]
    found: list[tuple[Half, int]] = [ports[each["port"]] for each in scraped]
    assert [port for _, port in found] == [half.settings.http_port for half, _ in found]
    assert [half for half, _ in found] == [pair(name).transformer, pair(name).predictor]
    assert all(len(port) <= 15 for port in ports)  # Kubernetes takes no longer name
    assert not pair(name).transformer.settings.merge_predictor_metrics  # or the predictor's would count twice


@pytest.mark.parametrize("name", [*KNATIVE, "runtime"])
def test_knative_scrapes_both_through_the_transformer(name: str) -> None:
    notes = (
        one(name, "ClusterServingRuntime")["spec"]["annotations"]
        if name == "runtime"
        else one(name, "InferenceService")["metadata"]["annotations"]
    )
    half = pair(name).transformer
    assert half.settings.merge_predictor_metrics
    assert (notes["prometheus.kserve.io/port"], notes["prometheus.kserve.io/path"]) == ("8000", "/metrics")
    assert half.settings.http_port == 8000
    if name != "runtime":
        assert notes["serving.kserve.io/enable-metric-aggregation"] == "true"
        assert notes["serving.kserve.io/enable-prometheus-scraping"] == "true"


def test_keda_asks_for_gauges_that_there_are_with_labels_that_they_get() -> None:
    asked = [re.fullmatch(r"sum\((\w+)\{(.*)\}\)", query) for query, _ in queries()]
    gauges = _gauges()
    assert [found[1] for found in asked if found] == ["tandem_queue_rows", "tandem_in_flight_requests"]
    for found in filter(None, asked):
        labels = dict(re.findall(r'(\w+)="([^"]*)"', found[2]))
        assert labels.keys() <= gauges[found[1]] | TARGET
        assert labels["serving_kserve_io_inferenceservice"] == one("keda", "InferenceService")["metadata"]["name"]
        assert labels.get("container", "transformer-container") == pair("keda").transformer.container["name"]


@pytest.mark.parametrize("monitor", [standard(), knative()], ids=["standard", "knative"])
def test_the_labels_that_keda_and_the_rules_ask_by_are_those_that_a_podmonitor_gives(monitor: Manifest) -> None:
    given = {safe(label) for label in monitor["spec"]["podTargetLabels"]}
    assert given | {"container", "namespace", "pod"} == TARGET


def test_a_merged_scrape_keeps_the_containers_that_its_samples_name(tmp_path: Path) -> None:
    above = Path(os.path.relpath(DEPLOY / "kserve", tmp_path))
    added = {"resources": [f"{above / 'overlays/knative'}"], "components": [f"{above / 'components/podmonitor'}"]}
    (tmp_path / "kustomization.yaml").write_text(json.dumps(added))
    made = subprocess.run(
        [environment("manifests") / "kubectl", "kustomize", tmp_path], capture_output=True, text=True, check=True
    )
    (monitor,) = (item for item in parsed(made.stdout) if item["kind"] == "PodMonitor")
    assert monitor == knative()
    (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
    assert endpoint["honorLabels"]
    assert monitor["spec"]["selector"] == standard()["spec"]["selector"]


@pytest.mark.system
def test_prometheus_sums_the_gauges_of_this_service_over_its_pods(tmp_path: Path) -> None:
    promtool = require("promtool")
    mine, other = f'serving_kserve_io_inferenceservice="{NAME}"', 'serving_kserve_io_inferenceservice="other"'
    (queue, waiting), (flight, working) = queries()
    series = {
        f'tandem_queue_rows{{{mine},pod="a",model_name="m"}}': 3,
        f'tandem_queue_rows{{{mine},pod="b",model_name="m"}}': 4,
        f'tandem_queue_rows{{{other},pod="c",model_name="m"}}': 100,
        f'tandem_in_flight_requests{{{mine},pod="a",container="transformer-container"}}': 5,
        f'tandem_in_flight_requests{{{mine},pod="b",container="transformer-container"}}': 6,
        f'tandem_in_flight_requests{{{mine},pod="a",container="kserve-container"}}': 7,
    }
    tests: list[dict[str, Any]] = [
        {"expr": query, "eval_time": "1m", "exp_samples": [{"labels": "{}", "value": value}]}
        for query, value in ((queue, 7), (flight, 11))
    ]
    file = tmp_path / "queries.yaml"
    values = [{"series": name, "values": f"{value}+0x5"} for name, value in series.items()]
    file.write_text(json.dumps({"tests": [{"interval": "30s", "input_series": values, "promql_expr_test": tests}]}))
    done = subprocess.run([promtool, "test", "rules", str(file)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert min(waiting, working) > 0


def _gauges() -> dict[str, set[str]]:
    """The labels of every gauge of both services, by name."""
    gauges: dict[str, set[str]] = {}
    for metrics in (PredictorMetrics(CollectorRegistry(), "0"), TransformerMetrics(CollectorRegistry(), "0")):
        if isinstance(metrics, PredictorMetrics):
            metrics.for_model("m")
        for family in metrics.registry.collect():
            if family.type == "gauge":
                gauges[family.name] = {label for sample in family.samples for label in sample.labels}
    return gauges
