"""The dashboard: first what callers see, then what it is made of."""

from __future__ import annotations

from collections.abc import Callable

from monitoring import inside
from monitoring.grafana import Panel, Query, Row, Variable, dashboard
from monitoring.promql import BEFORE, HERE, PLACE, heatmap, mean, quantile, quantiles, rate
from monitoring.rules import CALLERS_FAULT, FAILED, Objectives, errors, slow
from monitoring.text import Value

_WHEN = "14.4 for an hour, or 6 for six, pages"

VARIABLES = (
    Variable("namespace", "tandem_build_info"),
    Variable("pod", 'tandem_build_info{namespace=~"$namespace"}'),
    Variable("model_name", f"tandem_requests_total{{{PLACE}}}"),
)
PHASES = (
    ("preprocess", "request_preprocess_seconds", BEFORE),
    ("hop", "tandem_hop_seconds", PLACE),
    ("queue", "tandem_queue_seconds", HERE),
    ("inference", "tandem_inference_seconds", HERE),
    ("postprocess", "request_postprocess_seconds", BEFORE),
)


def tandem(objectives: Objectives) -> Value:
    """The dashboard."""
    seen = [_objectives(objectives), _traffic(), _latency(), _phases()]
    made_of = [inside.batches(), inside.device(), inside.saturation(), inside.hop(), inside.resources()]
    return dashboard("tandem", "Tandem", [*seen, *made_of], VARIABLES)


def _objectives(objectives: Objectives) -> Row:
    model = 'namespace=~"$namespace", model_name=~"$model_name"'
    failing, late = 1 - objectives.availability, 1 - objectives.latency_target
    within = f"{objectives.latency_target:.4g} within {objectives.latency_seconds:g} s"

    def burn(title: str, of: str, ratio: Callable[[str], str], budget: float) -> Panel:
        queries = tuple(Query(f"max({ratio(over)}{{{model}}}) / {budget:.6g}", over) for over in ("5m", "1h", "6h"))
        text = f"How fast is the error budget of {of} used up? 1 lasts the month; {_WHEN} (recording rules)."
        return Panel(title, text, queries, width=6)

    return Row(
        "Objectives",
        (
            Panel(
                "Ready",
                "Does every service take requests? 1 if all replicas do.",
                (Query(f"min by (container) (tandem_ready{{{PLACE}}})", "{{container}}"),),
                kind="stat",
                width=6,
            ),
            Panel(
                "Versions",
                "What runs, and how many of each? Two versions are a rollout, or one that is stuck.",
                (Query(f"count by (service, version) (tandem_build_info{{{PLACE}}})", "{{service}} {{version}}"),),
                kind="stat",
                width=6,
            ),
            burn("Availability burn rate", f"{objectives.availability:.4g} availability", errors, failing),
            burn("Latency burn rate", within, slow, late),
        ),
    )


def _traffic() -> Row:
    requests = "tandem_requests_total"
    return Row(
        "Traffic and errors",
        (
            Panel(
                "Requests by model and door",
                "How much is asked, of which model, by HTTP or gRPC?",
                (Query(rate(requests, BEFORE, "model_name, protocol"), "{{model_name}} {{protocol}}"),),
                "reqps",
                stacked=True,
            ),
            Panel(
                "Failures by status",
                "Which failures are the service's own? UNAVAILABLE: the predictor is away; DEADLINE_EXCEEDED: too "
                "slow; INTERNAL: user code or a fault, see the log.",
                (Query(rate(requests, f"{BEFORE}, {FAILED}", "code"), "{{code}}"),),
                "reqps",
                stacked=True,
            ),
            Panel(
                "Refused or left, by status",
                "What do callers do wrong, and how much is refused for want of room (RESOURCE_EXHAUSTED)?",
                (Query(rate(requests, f"{BEFORE}, {CALLERS_FAULT}", "code"), "{{code}}"),),
                "reqps",
                stacked=True,
            ),
        ),
    )


def _latency() -> Row:
    seconds = "tandem_request_seconds"
    behind = f'{HERE}, container="kserve-container"'
    return Row(
        "Latency",
        (
            Panel(
                "Latency as callers see it",
                "How long does a request take, from its first byte to its answer? The dots are traces.",
                quantiles(seconds, BEFORE, exemplar=True),
                "s",
            ),
            heatmap(
                "Latency, every request",
                "Are there two kinds of requests, a slow tail, or one slow moment? The dots are traces.",
                seconds,
                BEFORE,
                exemplar=True,
            ),
            Panel(
                "Latency at the predictor",
                "Is it the predictor that is slow? Compare with the first panel. The dots are traces.",
                quantiles(seconds, behind, exemplar=True),
                "s",
            ),
        ),
    )


def _phases() -> Row:
    return Row(
        "Latency by phase",
        (
            Panel(
                "Mean time by phase",
                "Where does the time go? A batch's inference counts once, however many requests shared it.",
                tuple(Query(mean(metric, labels), phase) for phase, metric, labels in PHASES),
                "s",
                stacked=True,
            ),
            Panel(
                "99th percentile by phase",
                "Which phase makes the tail?",
                tuple(Query(quantile(0.99, metric, labels), phase) for phase, metric, labels in PHASES),
                "s",
            ),
            Panel(
                "Predict as the transformer sees it",
                "How long does the transformer wait for the predictor (KServe's request_predict_seconds)?",
                quantiles("request_predict_seconds", BEFORE),
                "s",
            ),
            Panel(
                "Mean time by timer of the author",
                "Which step of the transformer's own code takes the time (context.timer)?",
                (Query(mean("tandem_step_seconds", BEFORE, "step"), "{{step}}"),),
                "s",
            ),
            *_heatmaps(),
        ),
    )


def _heatmaps() -> tuple[Panel, ...]:
    return (
        heatmap(
            "Preprocess, every request",
            "Are some inputs much dearer than others?",
            "request_preprocess_seconds",
            BEFORE,
        ),
        heatmap("Queue, every request", "Do requests wait for a batch, and how evenly?", "tandem_queue_seconds", HERE),
        heatmap(
            "Inference, every batch",
            "Does the engine take the same time for every batch, or do sizes or neighbours show?",
            "tandem_inference_seconds",
            HERE,
        ),
    )
