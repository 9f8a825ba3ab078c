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
        self._left = 0  # batches until the next trial
        self._seconds: tuple[list[float], list[float]] = [], []  # of a trial: together, apart
        self._apart = False

    @property
    def apart(self) -> bool:
        """Whether the requests of the next batch are run one after another."""
        return self._apart if self._left else len(self._seconds[False]) >= TRIAL

    def learn(self, seconds: float, *, apart: bool) -> None:
        """A batch that was run so took so much CPU time for each row; may be called from any thread."""
        with self._lock:
            if self._left:
                self._left -= 1
                return
            self._seconds[apart].append(seconds)
            if min(map(len, self._seconds)) >= TRIAL:  # many instances may have begun before the first has learnt
                together, apart_each = map(median, self._seconds)
                self._apart = together > CLEARLY * apart_each
                self._left, self._seconds = KEPT, ([], [])
