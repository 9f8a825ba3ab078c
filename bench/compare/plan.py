"""How long and how often: the full run, whose figures are kept, and the quick one of about five minutes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import fmean

from bench.compare.processes import QUIET, wait_for_quiet

_Key = tuple[str, str]  # case and system


@dataclass(frozen=True, slots=True)
class Plan:
    """Seconds of a measurement, of the load before it, and how many rounds of them."""

    rounds: int
    seconds: float
    warm_up: float
    overload_seconds: float
    peer_concurrencies: tuple[int, ...]
    patience: float = 0  # seconds to wait for other work on the machine to pause; 0: measure whatever else goes on
    payloads: tuple[str, ...] = ("16 B", "602 kB", "6.2 MB")
    http_concurrencies: tuple[int, ...] = (1, 32)  # of a no-op over HTTP, which a peer takes 240 ms for
    concurrencies: tuple[int, ...] = (1, 8, 32, 128)  # of Tandem
    turns: int = 4  # within a round, of what is compared most closely
    only: frozenset[str] = frozenset("abcd")
    systems: frozenset[str] = frozenset()  # none: all

    def wants(self, system: str) -> bool:
        """Whether the system is in this run; the bare loop and the proxy count as systems."""
        return not self.systems or system in self.systems

    def measured(self, measure: Callable[[], dict[str, float]]) -> dict[str, float]:
        """What `measure` says; with patience again, up to three times, until the machine was quiet meanwhile."""
        tries = [measure()]
        while self.patience and tries[-1]["others"] > 2 * QUIET and len(tries) < _TRIES:
            wait_for_quiet(self.patience)
            tries.append(measure())
        return min(tries, key=lambda values: values["others"])

    def in_turns(self, once: Mapping[_Key, Callable[[], dict[str, float]]]) -> dict[_Key, dict[str, float]]:
        """What each says one after another, `turns` times, as means: within a minute the machine's speed drifts."""
        turns = [{key: self.measured(run) for key, run in once.items()} for _ in range(self.turns)]
        return {key: {name: fmean(turn[key][name] for turn in turns) for name in turns[0][key]} for key in once}


_TRIES = 3
FULL = Plan(rounds=3, seconds=8, warm_up=3, overload_seconds=20, peer_concurrencies=(1, 8, 32, 128))
QUICK = Plan(
    rounds=1, seconds=3, warm_up=2, overload_seconds=10, peer_concurrencies=(1, 32), http_concurrencies=(1,), turns=1
)
