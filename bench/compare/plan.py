"""How long and how often: the full run, whose figures are kept, and the quick one of about five minutes."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Plan:
    """Seconds of a measurement, of the load before it, and how many rounds of them."""

    rounds: int
    seconds: float
    warm_up: float
    overload_seconds: float
    peer_concurrencies: tuple[int, ...]
    patience: float = 0  # seconds to wait before a system for other work on the machine to end
    payloads: tuple[str, ...] = ("16 B", "602 kB", "6.2 MB")
    http_concurrencies: tuple[int, ...] = (1, 32)  # of a no-op over HTTP, which a peer takes 240 ms for
    concurrencies: tuple[int, ...] = (1, 8, 32, 128)  # of Tandem
    only: frozenset[str] = frozenset("abcd")
    systems: frozenset[str] = frozenset()  # none: all

    def wants(self, system: str) -> bool:
        """Whether the system is in this run; the bare loop and the proxy count as systems."""
        return not self.systems or system in self.systems


FULL = Plan(rounds=3, seconds=8, warm_up=3, overload_seconds=20, peer_concurrencies=(1, 8, 32, 128))
QUICK = Plan(rounds=1, seconds=3, warm_up=2, overload_seconds=10, peer_concurrencies=(1, 32), http_concurrencies=(1,))
