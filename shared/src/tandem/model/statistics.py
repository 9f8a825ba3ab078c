"""How often and how long a model has run since it was loaded: true counts, kept by the endpoint that serves it."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from tandem.timings import Timings

_INPUT = ("preprocess", "batch")  # decoding is over before a request is timed
_OUTPUT = ("postprocess",)
_COMPUTE = ("compute_input", "compute_infer", "compute_output")


@dataclass(slots=True)
class Tally:
    """How often, and how long in all, in nanoseconds."""

    count: int = 0
    ns: int = 0

    def add(self, seconds: float) -> None:
        """One more."""
        self.count += 1
        self.ns += round(seconds * 1e9)


@dataclass(slots=True)
class BatchTally:
    """The batches of one size."""

    compute_input: Tally = field(default_factory=Tally)
    compute_infer: Tally = field(default_factory=Tally)
    compute_output: Tally = field(default_factory=Tally)


class Statistics:
    """The counts of one model version. Touched on the event loop only."""

    def __init__(self) -> None:
        self.inference_count = 0  # rows, or requests where rows are not known
        self.execution_count = 0
        self.last_inference = 0  # milliseconds since the epoch
        self.batches: dict[int, BatchTally] = {}
        self._tallies = {name: Tally() for name in ("success", "fail", "queue", *_COMPUTE)}

    def request(self, seconds: float, timings: Timings, *, rows: int, success: bool) -> None:
        """A request has ended after `seconds`, which `timings` divides."""
        self.last_inference = time.time_ns() // 1_000_000
        self._tallies["success" if success else "fail"].add(seconds)
        if success:
            self.inference_count += rows
            self._tallies["queue"].add(timings.get("queue"))
            self._tallies["compute_input"].add(sum(map(timings.get, _INPUT)))
            self._tallies["compute_infer"].add(timings.get("inference"))
            self._tallies["compute_output"].add(sum(map(timings.get, _OUTPUT)))

    def batch(self, rows: int, input_seconds: float, infer_seconds: float) -> None:
        """A batch of `rows` has run."""
        self.execution_count += 1
        tally = self.batches.setdefault(rows, BatchTally())
        tally.compute_input.add(input_seconds)
        tally.compute_infer.add(infer_seconds)
        tally.compute_output.add(0.0)

    def tallies(self) -> Iterator[tuple[str, Tally]]:
        """Each of success, fail, queue, compute_input, compute_infer and compute_output."""
        yield from self._tallies.items()


@dataclass(frozen=True, slots=True)
class ModelStatistics:
    """Whose counts these are."""

    name: str
    version: str
    statistics: Statistics

    def document(self) -> Mapping[str, object]:
        """As Triton's JSON."""
        counts = self.statistics
        return {
            "name": self.name,
            "version": self.version,
            "last_inference": counts.last_inference,
            "inference_count": counts.inference_count,
            "execution_count": counts.execution_count,
            "inference_stats": {name: {"count": t.count, "ns": t.ns} for name, t in counts.tallies()},
            "batch_stats": [
                {"batch_size": rows}
                | {name: {"count": getattr(b, name).count, "ns": getattr(b, name).ns} for name in _COMPUTE}
                for rows, b in sorted(counts.batches.items())
            ],
        }
