"""The ONNX Runtime sessions of one model: one for runs beside one another, and one with every CPU for a lonely run.

Runs that share the CPUs are fastest with few threads each. A request that comes alone can have all of them, spinning
between operators: that takes less time where nobody else wants the CPUs, and more where somebody does, or where the
model is small (bench/lonely.py). So lonely runs are timed, and the next one takes the session that was faster; the
other is tried again soon, and more and more seldom for as long as it loses.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence

import onnxruntime as ort
from tandem.tensors import Array

ALONE = 4  # runs in a row without another beside them, until the next is taken for a lonely one
FIRST, MOST = 8, 1024  # lonely runs until the session that lost is tried again; doubled each time that it loses
CLEARLY = 0.95  # of the other's time, to take its place
LARGEST = 256 * 2**20  # bytes of a model that is held twice for it


class Sessions:
    """Chooses the session of each run. `run` may be called from several threads at the same time."""

    def __init__(self, narrow: ort.InferenceSession, wide: ort.InferenceSession | None = None) -> None:
        self.narrow = narrow
        self.wide = wide
        self._lock = threading.Lock()
        self._running = 0
        self._alone = 0  # runs in a row that had no other beside them
        self._choice = Choice()

    def run(self, names: Sequence[str], inputs: Mapping[str, Array]) -> Sequence[Array]:
        """One run; the outputs in the order of `names`."""
        with self._lock:
            self._running += 1
            self._alone = self._alone + 1 if self._running == 1 else 0
            wide = self.wide is not None and self._alone > ALONE and self._choice.wide()
        start = time.perf_counter()
        try:
            outputs: Sequence[Array] = (self.wide if wide and self.wide else self.narrow).run(names, inputs)
        finally:
            with self._lock:
                self._running -= 1
        if self._alone > ALONE:  # nothing has come beside it
            rows = max((array.shape[0] for array in inputs.values() if array.ndim), default=1)
            self._choice.learn((time.perf_counter() - start) / max(1, rows), wide=wide)
        return outputs


class Choice:
    """Which session a lonely run takes: the one that is known to be faster, or at times the other, to see."""

    def __init__(self) -> None:
        self._wide = True  # the faster one, until something else is known
        self._seconds = 0.0  # that it takes for a row, smoothed
        self._interval = self._left = FIRST

    def wide(self) -> bool:
        """Whether the next run is a wide one."""
        self._left -= 1
        return self._wide if self._left > 0 else not self._wide

    def learn(self, seconds: float, *, wide: bool) -> None:
        """A run took that long for each row."""
        if wide == self._wide:
            self._seconds += (seconds - self._seconds) / 4 if self._seconds else seconds
        elif seconds < CLEARLY * self._seconds:
            self._wide, self._seconds = wide, seconds
            self._interval = self._left = FIRST
        else:
            self._interval = self._left = min(2 * self._interval, MOST)
