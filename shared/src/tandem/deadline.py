"""A deadline: a point in time made at the door and passed down; a timeout only where something waits."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

from tandem.errors import DeadlineExceeded


@dataclass(frozen=True, slots=True)
class Deadline:
    """The `time.monotonic()` at which the caller stops waiting, in seconds; infinite when it never does."""

    at: float = math.inf

    @classmethod
    def after(cls, seconds: float | None) -> Deadline:
        """The deadline `seconds` from now; None means never."""
        return cls() if seconds is None else cls(time.monotonic() + seconds)

    @property
    def remaining(self) -> float | None:
        """Seconds left, never negative; None when there is no end."""
        return None if self.at == math.inf else max(0.0, self.at - time.monotonic())

    @property
    def expired(self) -> bool:
        """Whether the time is over."""
        return self.at != math.inf and time.monotonic() >= self.at

    def earlier(self, margin: float) -> Deadline:
        """The deadline to hand downstream, so that its answer is back `margin` seconds before this one."""
        return Deadline(self.at - margin)

    def check(self, doing: str) -> None:
        """Raise DeadlineExceeded, saying what would have been next, if the time is over."""
        if self.expired:
            raise DeadlineExceeded(f"the request's deadline passed before {doing}")
