"""What must be reached, as data: each bar reads one figure from the results and compares it with a floor and a goal."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from bench.compare.image import GROWTH
from bench.compare.results import Results

Measure = Callable[[Results], float | None]


@dataclass(frozen=True, slots=True)
class Bar:
    """A figure that must be at least, or with `most` at most, the floor and had better reach the goal."""

    workload: str
    figure: str
    measure: Measure
    floor: float | None
    goal: float | None = None
    most: bool = False

    def verdict(self, value: float | None) -> str:
        """In the table's words."""
        if value is None:
            return "not measured"
        if self.goal is not None and self._holds(value, self.goal):
            return "goal held"
        if self.floor is None:
            return "goal missed"
        return "floor held" if self._holds(value, self.floor) else "**miss**"

    def limit(self, value: float | None) -> str:
        """The floor or the goal, in words."""
        return "" if value is None else f"{'<=' if self.most else '>='} {value:.3g}"

    def _holds(self, value: float, limit: float) -> bool:
        return value <= limit if self.most else value >= limit


def _ratio(case: str, metric: str, bottom: str, top: str = "tandem", bottom_case: str = "") -> Measure:
    return lambda results: results.ratio(case, metric, top, bottom, bottom_case)


def _single_difference(results: Results) -> float | None:
    ours, bare = results.median("image c=1", "tandem", "p50_ms"), results.median("image c=1", "bare-single", "p50_ms")
    return None if ours is None or bare is None else ours - bare


def _flatness(results: Results) -> float | None:
    found = [results.median(f"turns c={c}", "tandem", "rps") for c in GROWTH]
    rates = [rate for rate in found if rate is not None]
    return min(rates) / max(rates) if len(rates) == len(found) else None


def _value(case: str, metric: str) -> Measure:
    return lambda results: results.median(case, "tandem", metric)


_A32, _INT8, _A1 = "(a) c=32 fp32", "(a) c=32 int8", "(a) c=1 fp32"
_SMALL, _LARGE = "(b) 16 B gRPC raw", "(b) 602 kB gRPC raw"
_NOOP_1, _NOOP_32 = "no-op {} gRPC raw c=1", "no-op {} gRPC raw c=32"
_OVER = "(c) 110 % of capacity"

BARS = (
    Bar(_A32, "rps, of the bare loop", _ratio("turns c=32", "rps", "bare"), 0.86, 0.92),
    Bar(_A32, "rps, of KServe's pair", _ratio("turns c=32", "rps", "kserve"), 1.9),
    Bar(_A32, "rps, of Triton's ensemble", _ratio("image c=32", "rps", "triton"), 1.25),
    Bar(_A32, "rps, of mosec", _ratio("image c=32", "rps", "mosec"), 1.08),
    Bar(_INT8, "rps, of the bare loop", _ratio("image c=32", "rps", "bare-int8", "tandem-int8"), 0.80, 0.85),
    Bar(_A1, "p50, of Triton's", _ratio("image c=1", "p50_ms", "triton"), 1, most=True),
    Bar(_A1, "p50, of mosec's", _ratio("image c=1", "p50_ms", "mosec"), 1, most=True),
    Bar(_A1, "p50 less a bare request's, ms", _single_difference, None, 1.5, most=True),
    Bar(_SMALL, "rps at c=32, of KServe's", _ratio(_NOOP_32.format("16 B"), "rps", "kserve"), 1.5),
    Bar(_SMALL, "p50 at c=1, of KServe's", _ratio(_NOOP_1.format("16 B"), "p50_ms", "kserve"), 0.7, most=True),
    Bar(_SMALL, "rps at c=32, of the bare proxy", _ratio(_NOOP_32.format("16 B"), "rps", "proxy"), None, 0.8),
    Bar(_LARGE, "rps at c=32, of KServe's", _ratio(_NOOP_32.format("602 kB"), "rps", "kserve"), 1.75),
    Bar(_LARGE, "p50 at c=1, of KServe's", _ratio(_NOOP_1.format("602 kB"), "p50_ms", "kserve"), 0.45, most=True),
    Bar(_LARGE, "rps at c=32, of the bare proxy", _ratio(_NOOP_32.format("602 kB"), "rps", "proxy"), None, 1.0),
    Bar(
        "(b) 602 kB HTTP binary",
        "KServe's p50 at c=1, of ours",
        _ratio("no-op 602 kB HTTP binary c=1", "p50_ms", "tandem", "kserve"),
        30,
        40,
    ),
    Bar(
        "(b) 602 kB HTTP JSON",
        "KServe's p50 at c=1, of ours",
        _ratio("no-op 602 kB HTTP JSON c=1", "p50_ms", "tandem", "kserve"),
        8,
        10,
    ),
    Bar(
        "(b) the hop alone, 6.2 MB",
        "p50 without shared memory, of with",
        _ratio("hop off", "hop_p50_ms", "tandem", bottom_case="hop auto"),
        2.5,
        4,
    ),
    Bar(_OVER, "goodput, of the peak", _ratio("arrivals 110 %", "goodput", "tandem", bottom_case="arrivals peak"), 0.9),
    Bar(_OVER, "p99 of accepted, of its bound", _value("arrivals 110 %", "p99_of_bound"), 1, most=True),
    Bar(_OVER, "refused otherwise than by 429", _value("arrivals 110 %", "failed"), 0, most=True),
    Bar(
        "(d) CPU a seed request",
        "both processes, of the bare loop's",
        _ratio("turns c=32", "cpu_ms", "bare"),
        1.18,
        1.10,
        most=True,
    ),
    Bar("growth", "least of the most rps, c=8 to c=128", _flatness, 0.95),
)
