"""The ONNX Runtime sessions of one model: one for runs beside one another, and one with every CPU for a lonely run.

Runs that share the CPUs are fastest with few threads each. A request that comes alone can have all of them, spinning
between operators: that takes less time where nobody else wants the CPUs, and more where somebody does, or where the
model is small (bench/lonely.py). So lonely runs are timed, and the next one takes the session that was faster.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence

import onnxruntime as ort
from tandem.tensors import Array

ALONE = 4  # runs in a row without another beside them, until the next is taken for a lonely one
AGAIN = 128  # lonely runs after which the slower session is tried again
LARGEST = 256 * 2**20  # bytes of a model that is held twice for it


class Sessions:
    """Chooses the session of each run. `run` may be called from several threads at the same time."""

    def __init__(self, narrow: ort.InferenceSession, wide: ort.InferenceSession | None = None) -> None:
        self.narrow = narrow
        self.wide = wide
        self._lock = threading.Lock()
        self._running = 0
        self._alone = 0  # runs in a row that had no other beside them
        self._seconds = {False: 0.0, True: 0.0}  # of lonely runs, a row, smoothed: narrow and wide ones

    def run(self, names: Sequence[str], inputs: Mapping[str, Array]) -> Sequence[Array]:
        """One run; the outputs in the order of `names`."""
        with self._lock:
            self._running += 1
            self._alone = self._alone + 1 if self._running == 1 else 0
            wide = self._takes_wide()
        start = time.perf_counter()
        try:
            outputs: Sequence[Array] = (self.wide if wide and self.wide else self.narrow).run(names, inputs)
        finally:
            with self._lock:
                self._running -= 1
        if self._alone:  # nothing has come beside it
            rows = max((array.shape[0] for array in inputs.values() if array.ndim), default=1)
            self._learn((time.perf_counter() - start) / max(1, rows), wide=wide)
        return outputs

    def _takes_wide(self) -> bool:
        if self.wide is None or self._alone <= ALONE:
            return False
        faster = self._seconds[True] <= self._seconds[False]  # so before the first wide run, too
        return faster if self._alone % AGAIN else not faster

    def _learn(self, seconds: float, *, wide: bool) -> None:
        known = self._seconds[wide]
        self._seconds[wide] = known + (seconds - known) / 4 if known else seconds
