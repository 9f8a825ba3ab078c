"""How often a call may be made again."""

from __future__ import annotations

FIRST, LONGEST = 0.1, 1.0  # seconds


def pause(attempt: int) -> float:
    """Seconds before the call is made again, after `attempt` attempts beyond the first."""
    return min(FIRST * 2.0**attempt, LONGEST)


class RetryBudget:
    """Retries allowed in all: `most`, and one more for every ten calls that succeed, so that an outage is no storm."""

    def __init__(self, most: float = 10.0) -> None:
        self._most = most
        self._tokens = most

    def take(self) -> bool:
        """Whether one more retry may be made."""
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True

    def refill(self) -> None:
        """A call has succeeded."""
        self._tokens = min(self._most, self._tokens + 0.1)
