"""The alerts. Each names who is called, and the heading of docs/observability.md that says what to do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from monitoring.rules import SHARED, SHED, Objectives, errors, slow
from monitoring.text import Value

PAGE = "docs/observability.md"
MODEL, POD = ("namespace", "model_name"), ("namespace", "pod")

# Source: Google, The Site Reliability Workbook, "Alerting on SLOs", table 5-8: a window and the short one that ends the
# alert soon after the trouble, with the multiple of the budget's even use that both must be over.
FAST = (("1h", "5m", 14.4), ("6h", "30m", 6))
SLOW = (("1d", "2h", 3), ("3d", "6h", 1))


@dataclass(frozen=True, slots=True)
class Alert:
    """One alert. `labels` are those of its expression that its summary names."""

    name: str
    expr: str
    wait: str
    severity: str  # page: somebody gets up; ticket: in working hours; info: nobody is called
    summary: str
    labels: tuple[str, ...]

    @property
    def annotations(self) -> dict[str, str]:
        """The summary, ending in whom it is about, and where to read on, relative to the repository."""
        whom = ", ".join(f"{label} {{{{ $labels.{label} }}}}" for label in self.labels)
        return {"summary": f"{self.summary}: {whom}", "runbook_url": f"{PAGE}#{self.name.lower()}"}

    @property
    def rule(self) -> Value:
        """As alerts.yaml has it."""
        return {
            "alert": self.name,
            "expr": self.expr,
            "for": self.wait,
            "labels": {"severity": self.severity},
            "annotations": self.annotations,
        }


def all_alerts(objectives: Objectives) -> list[Alert]:
    """Every alert there is."""
    return [*_budgets(objectives), *_states(), *_saturation(objectives)]


def groups(objectives: Objectives) -> list[Value]:
    """The groups of alerts.yaml."""
    return [{"name": "tandem", "rules": [alert.rule for alert in all_alerts(objectives)]}]


def _burn(ratio: Callable[[str], str], budget: float, windows: tuple[tuple[str, str, float], ...]) -> str:
    return "\nor\n".join(
        f"({ratio(long)} > {factor * budget:.6g} and {ratio(short)} > {factor * budget:.6g})"
        for long, short, factor in windows
    )


def _budgets(objectives: Objectives) -> list[Alert]:
    failing, late = 1 - objectives.availability, 1 - objectives.latency_target
    served = f"answered within {objectives.latency_seconds:g} s"
    return [
        Alert(
            f"Tandem{noun}Budget{speed}",
            _burn(ratio, budget, windows),
            wait,
            severity,
            f"{what}; {rest}",
            MODEL,
        )
        for noun, ratio, budget, what in (
            ("Error", errors, failing, "Requests fail"),
            ("Latency", slow, late, f"Too few requests are {served}"),
        )
        for speed, windows, wait, severity, rest in (
            ("Fast", FAST, "2m", "page", "the month's budget is gone within days"),
            ("Slow", SLOW, "15m", "ticket", "the month's budget will not last"),
        )
    ]


def _states() -> list[Alert]:
    merged = "tandem_predictor_scrape_up == 0"
    direct = 'up{container="kserve-container"} == 0'
    ours = 'and on (namespace, pod) tandem_ready{container="transformer-container"}'
    return [
        Alert(
            "TandemPredictorChannelDown",
            "min by (namespace, pod) (tandem_predictor_channel_ready) == 0",
            "1m",
            "page",
            "The transformer cannot reach its predictor",
            POD,
        ),
        Alert(
            "TandemNotReady",
            "min by (namespace, pod, container) (tandem_ready) == 0",
            "5m",
            "page",
            "A service has not been ready for five minutes",
            (*POD, "container"),
        ),
        Alert(
            "TandemPredictorScrapeDown",
            f"min by (namespace, pod) ({merged}\nor\n({direct} {ours}))",
            "5m",
            "ticket",
            "The predictor's metrics cannot be had",
            POD,
        ),
    ]


def _saturation(objectives: Objectives) -> list[Alert]:
    return [
        Alert(
            "TandemQueueFilling",
            f"min by (namespace, pod, model_name) (min_over_time(tandem_queue_rows[5m])) > {objectives.queue_rows}",
            "5m",
            "ticket",
            f"Over {objectives.queue_rows} rows have waited for a batch all the time",
            (*POD, "model_name"),
        ),
        Alert(
            "TandemSheddingLoad",
            f"{SHED} > {objectives.shed:g}",
            "5m",
            "ticket",
            f"Over {objectives.shed * 100:g} % of the requests are refused for want of room",
            (*POD, "container"),
        ),
        Alert(
            "TandemHopNotShared",
            f'{SHARED}{{shared_memory="expected"}} < 0.5',
            "15m",
            "info",
            "Tensors go through a socket where shared memory is expected",
            POD,
        ),
    ]
