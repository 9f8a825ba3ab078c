"""What was measured: samples of a case and a system, a round each; medians and ratios over the rounds."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from subprocess import SubprocessError

from bench.compare.processes import Failed

Values = dict[str, float]


@dataclass(frozen=True, slots=True)
class Sample:
    """One measurement: `case` says what was asked ("image c=32"), `values` what came of it."""

    case: str
    system: str
    round: int
    values: Values


class Results:
    """All samples of a run. Values of the same case, system and round replace one another."""

    def __init__(self, about: dict[str, object]) -> None:
        self.about = about
        self.samples: list[Sample] = []
        self.failures: list[str] = []
        self.disturbance = 0.0  # the most cores that others used during a sample that was read; its reader resets it

    def add(self, case: str, system: str, number: int, values: Values) -> None:
        """Keep a sample and say so."""
        self.samples.append(Sample(case, system, number, values))
        shown = " ".join(f"{name}={value:,.6g}" for name, value in values.items() if name != "p90_ms")
        print(f"bench: round {number + 1} {case:<26} {system:<14} {shown}", flush=True)

    def rounds(self, case: str, system: str, metric: str) -> dict[int, float]:
        """A value a round."""
        chosen = (sample for sample in self.samples if (sample.case, sample.system) == (case, system))
        found = {sample.round: sample for sample in chosen if metric in sample.values}
        others = (sample.values.get("others", 0.0) for sample in found.values())
        self.disturbance = max(self.disturbance, *others, 0.0)
        return {number: sample.values[metric] for number, sample in found.items()}

    def median(self, case: str, system: str, metric: str) -> float | None:
        """Over the rounds; None if it was not measured."""
        values = self.rounds(case, system, metric)
        return median(values.values()) if values else None

    def ratio(self, case: str, metric: str, top: str, bottom: str, bottom_case: str = "") -> float | None:
        """The median of the ratios of each round, as only figures of one round are comparable."""
        over, under = self.rounds(case, top, metric), self.rounds(bottom_case or case, bottom, metric)
        ratios = [over[number] / under[number] for number in over.keys() & under.keys() if under[number]]
        return median(ratios) if ratios else None

    @contextmanager
    def surviving(self, what: str) -> Iterator[None]:
        """Let the others be measured when one system fails; say so now and in the end."""
        try:
            yield
        except (Failed, RuntimeError, OSError, SubprocessError) as problem:
            self.failures.append(f"{what}: {problem}")
            print(f"bench: FAILED {what}: {problem}", flush=True)

    def save(self, file: Path) -> None:
        """As JSON."""
        document = {
            "about": self.about,
            "failures": self.failures,
            "samples": [asdict(sample) for sample in self.samples],
        }
        file.write_text(json.dumps(document, indent=1) + "\n")

    @classmethod
    def load(cls, file: Path) -> Results:
        """What `save` wrote."""
        document = json.loads(file.read_text())
        results = cls(document["about"])
        results.samples = [Sample(**sample) for sample in document["samples"]]
        results.failures = document["failures"]
        return results
