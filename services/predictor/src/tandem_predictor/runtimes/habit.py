"""Whether the requests of a batch are run together or one after another: together where that spares CPU time.

For dense layers on a CPU a batch costs little more than a row. For convolutions each further row falls out of the
caches: with every core at work, four rows together can cost more than four single ones (docs/performance.md). What a
model is like only running it tells.
"""

from __future__ import annotations

import threading
from statistics import median

TRIAL = 16  # batches each way; a dense model pays for each that is run apart
CLEARLY = 0.95  # of the other's time: for less, requests are not gathered in one piece of memory
KEPT = 4096  # batches until the next trial


class Habit:
    """Of one model, whose instances share it: what one runs is in the other's caches too.

    CPU time counts, as in the time that passes there is also what others took of the core.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._batches = 0  # since the beginning of the latest trial
        self._seconds: tuple[list[float], list[float]] = [], []  # of this trial: together, apart
        self._apart = False

    @property
    def apart(self) -> bool:
        """Whether the requests of the next batch are run one after another."""
        return self._batches >= TRIAL if self._batches < 2 * TRIAL else self._apart

    def learn(self, seconds: float, *, apart: bool) -> None:
        """A batch that was run so took so much CPU time for each row; may be called from any thread."""
        with self._lock:
            self._batches += 1
            if self._batches <= 2 * TRIAL:
                self._seconds[apart].append(seconds)
            if self._batches == 2 * TRIAL:
                together, apart_each = map(median, self._seconds)
                self._apart = together > CLEARLY * apart_each
            elif self._batches == 2 * TRIAL + KEPT:
                self._batches, self._seconds = 0, ([], [])
