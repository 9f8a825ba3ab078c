"""A deadline: a point in time made at the door and passed down; a timeout only where something waits."""

from __future__ import annotations

import asyncio
import math
import time
from dataclasses import dataclass
from types import TracebackType

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


class Alarm:
    """Cancels the body of a `with` when a deadline passes, whatever it waits for; it raises DeadlineExceeded then.

    As asyncio.timeout does it, but without a coroutine of its own: every call has one.
    """

    def __init__(self, deadline: Deadline) -> None:
        self._deadline = deadline
        self._rang = False
        self._handle: asyncio.TimerHandle | None = None

    def __enter__(self) -> Alarm:
        """Set for the deadline; in a task."""
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("an alarm needs a task to cancel")
        self._task, self._cancelling = task, task.cancelling()
        self._arm()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Raise DeadlineExceeded if it was the alarm that cancelled the body, and nobody else."""
        if self._handle:
            self._handle.cancel()
        if self._rang and self._task.uncancel() <= self._cancelling and kind is asyncio.CancelledError:
            raise DeadlineExceeded("the request's deadline passed while it was worked on") from None

    def set(self, deadline: Deadline) -> None:
        """From now on, for another deadline."""
        if deadline != self._deadline:
            self._deadline = deadline
            self._arm()

    def _arm(self) -> None:
        if self._handle:
            self._handle.cancel()
        left = self._deadline.remaining
        self._handle = asyncio.get_running_loop().call_later(left, self._ring) if left is not None else None

    def _ring(self) -> None:
        self._rang = True
        self._task.cancel()
