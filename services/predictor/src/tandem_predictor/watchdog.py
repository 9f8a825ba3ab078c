"""Notices runs of a model that take longer than --inference_timeout: their callers are told, and readiness knows.

A thread cannot be stopped from outside. A worker whose run hangs is out of use until the run ends after all.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

from tandem.errors import DeadlineExceeded, TandemError

from tandem_predictor.worker import Worker

log = logging.getLogger("tandem.model")

HANGS = "every instance of the model hangs"


class Watchdog:
    """Watches the workers of one model. Lives on the batcher's event loop."""

    def __init__(self, count: int, timeout: float, changed: Callable[[str | None], None]) -> None:
        self._count = count  # workers
        self._timeout = timeout  # seconds; 0: none
        self._changed = changed  # told why the model cannot answer, or None that it can again
        self._timers: dict[Worker, asyncio.TimerHandle] = {}
        self._hanging: set[Worker] = set()

    @property
    def hangs(self) -> bool:
        """Whether every worker does, so that the model cannot answer."""
        return len(self._hanging) == self._count

    def begin(self, worker: Worker, fail: Callable[[TandemError], None]) -> None:
        """A batch has been given to `worker`; `fail` tells its callers."""
        if self._timeout:
            self._timers[worker] = asyncio.get_running_loop().call_later(self._timeout, self._look, worker, fail)

    def end(self, worker: Worker) -> None:
        """The batch has ended."""
        if timer := self._timers.pop(worker, None):
            timer.cancel()
        if worker in self._hanging:
            log.info("a run that hung has ended", extra={"worker": worker.name})
            self._hanging.discard(worker)
            self._changed(None)

    def _look(self, worker: Worker, fail: Callable[[TandemError], None]) -> None:
        """A batch whose runs are retried one by one may take as long for each."""
        left = worker.started + self._timeout - time.perf_counter()
        if left > 0:
            self._timers[worker] = asyncio.get_running_loop().call_later(left, self._look, worker, fail)
            return
        log.error("a run of the model hangs", extra={"worker": worker.name, "seconds": self._timeout})
        self._hanging.add(worker)
        fail(DeadlineExceeded(f"the model ran for longer than {self._timeout:g} s (--inference_timeout)"))
        if self.hangs:
            self._changed(HANGS)
