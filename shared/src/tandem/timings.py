"""Where one request's time went, phase by phase, in the W3C Server-Timing form."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tandem.tracing.spans import Trace

PHASES = ("decode", "preprocess", "hop", "queue", "batch", "inference", "postprocess", "encode")
_STEP = re.compile(r"[A-Za-z0-9_.-]{1,64}")  # each is a token, as Server-Timing wants it


class Timings:
    """Seconds by phase, in the order in which the phases were first seen. Owned by one call."""

    __slots__ = ("_seconds", "steps", "trace")

    def __init__(self) -> None:
        self._seconds: dict[str, float] = {}
        self.steps: set[str] = set()  # those phases that an author's timers measured
        self.trace: Trace | None = None  # the call's spans, where there are any

    def add(self, phase: str, seconds: float) -> None:
        """Add `seconds` to `phase`."""
        self._seconds[phase] = self._seconds.get(phase, 0.0) + seconds

    def get(self, phase: str) -> float:
        """The seconds spent in `phase` so far."""
        return self._seconds.get(phase, 0.0)

    def phase(self, name: str) -> AbstractContextManager[None]:
        """Add the time that the body takes, whether it returns or raises; a span, where there are any."""
        return _Phase(self, name) if self.trace is None else self._traced(name, self.trace)

    def step(self, name: str) -> AbstractContextManager[None]:
        """A phase of an author's own; raises ValueError for a name that cannot be one."""
        if name not in self.steps:
            if not _STEP.fullmatch(name):
                raise ValueError(f"timer({name[:80]!r}): expected 1 to 64 letters, digits, '_', '.' or '-'")
            if name in PHASES:
                raise ValueError(f"timer({name!r}): Tandem measures that phase itself; choose another name")
            self.steps.add(name)
        return self.phase(name)

    @contextmanager
    def _traced(self, name: str, trace: Trace) -> Iterator[None]:
        with trace.phase(name), _Phase(self, name):
            yield

    def items(self) -> Iterator[tuple[str, float]]:
        """Each phase and its seconds."""
        yield from self._seconds.items()

    def header(self) -> str:
        """The phases as `queue;dur=0.12, inference;dur=9.8`, in milliseconds."""
        return ", ".join([f"{name};dur={seconds * 1e3:.3f}" for name, seconds in self._seconds.items()])


class _Phase:
    """Times the body of a `with`; a generator would take three times as long, and every request has several."""

    __slots__ = ("_name", "_start", "_timings")

    def __init__(self, timings: Timings, name: str) -> None:
        self._timings = timings
        self._name = name

    def __enter__(self) -> None:
        self._start = time.perf_counter()

    def __exit__(self, *_: object) -> None:
        self._timings.add(self._name, time.perf_counter() - self._start)


def parse(header: str) -> dict[str, float]:
    """Seconds by phase from a Server-Timing header; entries without a `dur` are left out."""
    phases: dict[str, float] = {}
    for entry in header.split(","):
        name, *parameters = (part.strip() for part in entry.split(";"))
        for parameter in parameters:
            key, _, value = parameter.partition("=")
            if key.strip() == "dur" and (seconds := _seconds(value.strip())) is not None:
                phases[name] = seconds
    return phases


def is_duration(seconds: float) -> bool:
    """Whether a peer's number can be one; a NaN would spoil a histogram's sum for good."""
    return 0 <= seconds < math.inf


def _seconds(milliseconds: str) -> float | None:
    try:
        seconds = float(milliseconds.strip('"')) / 1e3
    except ValueError:
        return None
    return seconds if is_duration(seconds) else None
