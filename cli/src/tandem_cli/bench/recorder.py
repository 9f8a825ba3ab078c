"""What became of the requests of one level: counts, latencies, phases. Its memory does not grow with their number."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field

import numpy as np

OK = "ok"
SHED = frozenset({"429", "RESOURCE_EXHAUSTED"})  # refused because the server is full
PERCENTILES = (50.0, 90.0, 95.0, 99.0, 99.9)
_GROWTH = math.log(1.01)  # each bucket is 1 % wider than the last, so a percentile is right to within 1 %
_LEAST = 1e-6  # seconds; the first bucket
_BUCKETS = 2_500  # the last one is over a day


class Histogram:
    """Latencies in seconds, in buckets."""

    def __init__(self) -> None:
        self._counts = [0] * _BUCKETS
        self.count = 0
        self.sum = self.most = 0.0

    def add(self, seconds: float) -> None:
        """Count one."""
        bucket = int(math.log(max(seconds, _LEAST) / _LEAST) / _GROWTH)
        self._counts[min(bucket, _BUCKETS - 1)] += 1
        self.count += 1
        self.sum += seconds
        self.most = max(self.most, seconds)

    def percentile(self, percent: float) -> float:
        """Seconds that `percent` of all did not exceed, to within 1 %; NaN if there are none."""
        if not self.count:
            return math.nan
        rank = max(1, math.ceil(self.count * percent / 100 - 1e-9))  # 99.9 % of 20,000 is no more than 19,980
        bucket = int(np.searchsorted(np.cumsum(self._counts), rank))
        return float(min(_LEAST * math.exp((bucket + 0.5) * _GROWTH), self.most))


@dataclass(slots=True)
class Recorder:
    """One level of load. A request that was answered counts with its latency, any other by its outcome."""

    latencies: Histogram = field(default_factory=Histogram)
    outcomes: Counter[str] = field(default_factory=Counter)
    under_way: int = 0
    _phases: dict[str, float] = field(default_factory=dict)
    _phased: int = 0

    def record(self, outcome: str, seconds: float, phases: dict[str, float]) -> None:
        """One request has ended."""
        self.outcomes[outcome] += 1
        if outcome == OK:
            self.latencies.add(seconds)
        if phases:
            self._phased += 1
            for name, spent in phases.items():
                self._phases[name] = self._phases.get(name, 0.0) + spent

    @property
    def shed(self) -> int:
        """Requests that were refused because the server was full."""
        return sum(self.outcomes[name] for name in SHED)

    @property
    def failed(self) -> dict[str, int]:
        """Requests that failed otherwise, by outcome."""
        return {name: count for name, count in self.outcomes.items() if name != OK and name not in SHED}

    @property
    def phases(self) -> dict[str, float]:
        """The mean seconds of each phase that answers tell of."""
        return {name: spent / self._phased for name, spent in self._phases.items()}
