"""The recording rules: how much of the two objectives is missed, over each window that an alert looks at."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path

from monitoring.text import Value
from tandem.errors import HTTP_STATUS
from tandem.metrics import SECONDS

FRONT = 'container="transformer-container"'  # what callers see; the predictor counts the same requests again
WINDOWS = ("5m", "30m", "1h", "2h", "6h", "1d", "3d")


def _codes(hundreds: int) -> str:
    """The status names that HTTP writes as 4xx or 5xx, as a regular expression."""
    return "|".join(sorted(code.name for code, status in HTTP_STATUS.items() if status // 100 == hundreds))


FAILED = f'code=~"{_codes(5)}"'
CALLERS_FAULT = f'code=~"{_codes(4)}"'
COUNTED = f'code!~"{_codes(4)}"'


@dataclass(frozen=True, slots=True)
class Objectives:
    """objectives.toml. Raises ValueError where a number cannot be held against the metrics."""

    availability: float
    latency_seconds: float
    latency_target: float
    queue_rows: int
    shed: float

    @classmethod
    def read(cls, file: Path) -> Objectives:
        """The objectives in a file."""
        told = tomllib.loads(file.read_text())
        latency, saturation = told["latency"], told["saturation"]
        if latency["seconds"] not in SECONDS:
            raise ValueError(f"{file}: latency.seconds is {latency['seconds']}, no bucket; one of {SECONDS}")
        if not (0 < told["availability"] < 1 and 0 < latency["target"] < 1):
            raise ValueError(f"{file}: an objective of all or nothing leaves no budget to burn")
        return cls(
            told["availability"],
            float(latency["seconds"]),
            latency["target"],
            saturation["queue_rows"],
            saturation["shed"],
        )


def errors(window: str) -> str:
    """The name of the rule for the share of failed requests."""
    return f"model:tandem_errors:ratio_rate{window}"


def slow(window: str) -> str:
    """The name of the rule for the share of slow requests."""
    return f"model:tandem_slow:ratio_rate{window}"


SHED = "pod:tandem_rejected:ratio_rate5m"
SHARED = "pod:tandem_hop_shared:ratio_rate15m"


def groups(objectives: Objectives) -> list[Value]:
    """The groups of rules.yaml."""
    return [
        {"name": "tandem-errors", "rules": [{"record": errors(window), "expr": _errors(window)} for window in WINDOWS]},
        {
            "name": "tandem-latency",
            "rules": [
                {"record": slow(window), "expr": _slow(window, objectives.latency_seconds)} for window in WINDOWS
            ],
        },
        {
            "name": "tandem-saturation",
            "rules": [{"record": SHED, "expr": _shed()}, {"record": SHARED, "expr": _shared()}],
        },
    ]


def _errors(window: str) -> str:
    """Without a failure the numerator has no series, so zero stands in; without a request there is no ratio at all."""
    counted = f"sum by (namespace, model_name) (rate(tandem_requests_total{{{FRONT}, {COUNTED}}}[{window}]))"
    failed = f"sum by (namespace, model_name) (rate(tandem_requests_total{{{FRONT}, {FAILED}}}[{window}]))"
    return f"(\n  {failed}\n  or\n  0 * {counted}\n)\n/\n({counted} > 0)"


def _slow(window: str, seconds: float) -> str:
    labels = f'{FRONT}, model_name!="unknown"'
    fast = f'rate(tandem_request_seconds_bucket{{{labels}, le="{seconds}"}}[{window}])'
    every = f"rate(tandem_request_seconds_count{{{labels}}}[{window}])"
    return f"1 -\nsum by (namespace, model_name) ({fast})\n/\n(sum by (namespace, model_name) ({every}) > 0)"


def _shed() -> str:
    by = "sum by (namespace, pod, container)"
    return f"{by} (rate(tandem_rejected_total[5m]))\n/\n({by} (rate(tandem_requests_total[5m])) > 0)"


def _shared() -> str:
    """The label `shared_memory` is the operator's word that it is expected (docs/observability.md)."""
    by = "sum by (namespace, pod, shared_memory)"
    shared = f'{by} (rate(tandem_hop_total{{transport="shm"}}[15m]))'
    return f"{shared}\n/\n({by} (rate(tandem_hop_total[15m])) > 0)"
