"""One instance of a model: its runtime, its buffers and the one thread that uses them."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from tandem.errors import Cancelled, Internal, TandemError
from tandem.inference import Arrays

from tandem_predictor.runtime import Runtime
from tandem_predictor.stacking import Buffers, rows_of, split

log = logging.getLogger("tandem.model")


@dataclass(frozen=True, slots=True)
class Ran:
    """What became of a batch: each request's outputs or the exception that failed it; times in seconds."""

    results: Sequence[Arrays | Exception]
    batch_seconds: float = 0.0
    inference_seconds: float = 0.0
    inference_started: float = 0.0  # as time.perf_counter() has it


_LEFT = Ran([Cancelled("nobody waits for this request any more")])


class Worker:
    """Runs batches one after another, off the event loop."""

    def __init__(self, runtime: Runtime, name: str, max_rows: int) -> None:
        self._runtime = runtime
        self._buffers = Buffers(max_rows, runtime.allocate)
        self.name = name
        self.started = 0.0  # of the latest run, as time.perf_counter() has it
        self.executor = ThreadPoolExecutor(1, thread_name_prefix=name)

    def run_batch(self, requests: Sequence[Arrays], waits: Sequence[Callable[[], bool]]) -> list[Ran]:
        """Run `requests` as one batch, which is one run."""
        return [self.run(requests, waits)]

    def run_each(self, requests: Sequence[Arrays]) -> list[Ran]:
        """Run `requests` of a model that does not batch, one after another."""
        return [self.run_whole(request) for request in requests]

    def run(self, requests: Sequence[Arrays], waits: Sequence[Callable[[], bool]] = ()) -> Ran:
        """Run `requests` as one batch. If it fails, run each alone, so that only the culprit fails.

        `waits` tells of each whether somebody still waits for it: nothing is run again for nobody.
        """
        self.started = start = time.perf_counter()
        try:
            return self._together(requests)
        except BaseException as error:  # a user's model may raise anything, SystemExit and StopIteration included
            if len(requests) == 1:
                return Ran([self._failure(error)], 0.0, time.perf_counter() - start, start)
        asked = waits or [lambda: True] * len(requests)
        alone = [self.run([request]) if waiting() else _LEFT for request, waiting in zip(requests, asked, strict=True)]
        return Ran([ran.results[0] for ran in alone], 0.0, time.perf_counter() - start, start)

    def run_whole(self, inputs: Arrays) -> Ran:
        """Run one request of a model that does not batch: its outputs have no rows to count."""
        self.started = start = time.perf_counter()
        try:
            outputs: Arrays | Exception = self._runtime.run(self._buffers.stack([inputs]))
        except BaseException as error:  # as above
            outputs = self._failure(error)
        return Ran([outputs], 0.0, time.perf_counter() - start, start)

    def close(self) -> None:
        """Let the running batch end; start no other."""
        self.executor.shutdown(wait=False, cancel_futures=True)

    def _together(self, requests: Sequence[Arrays]) -> Ran:
        start = time.perf_counter()
        rows = [rows_of(request) for request in requests]
        inputs = self._buffers.stack(requests)
        stacked = time.perf_counter()
        outputs = self._runtime.run(inputs)
        ran = time.perf_counter()
        results = split(outputs, rows, self._buffers)
        return Ran(results, stacked - start + time.perf_counter() - ran, ran - stacked, stacked)

    def _failure(self, error: BaseException) -> TandemError:
        """What the caller is told: a refusal as it is, anything else without its details, which go to the log."""
        if isinstance(error, TandemError):
            if isinstance(error, Internal):
                log.error("%s: %s", self.name, error.message)
            return error
        log.error("%s failed", self.name, exc_info=error)
        return Internal("the model failed on this request; the predictor's log says more")
