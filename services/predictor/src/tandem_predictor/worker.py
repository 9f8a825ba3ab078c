"""One instance of a model: its runtime, its buffers, and the one thread that uses them, or the event loop."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

from tandem.errors import DeadlineExceeded, Internal, TandemError
from tandem.inference import Arrays

from tandem_predictor.runtime import Runtime
from tandem_predictor.stacking import Buffers, rows_of, split

log = logging.getLogger("tandem.model")


@dataclass(frozen=True, slots=True)
class Ran:
    """What became of a batch, or of the first of it: outputs, or the exception that failed one; times in seconds."""

    results: Sequence[Arrays | Exception]
    batch_seconds: float = 0.0
    inference_seconds: float = 0.0
    inference_started: float = 0.0  # as time.perf_counter() has it


Tell: TypeAlias = Callable[[Ran], object]
Work: TypeAlias = Callable[[], Coroutine[Any, Any, list[Ran]]]
Running: TypeAlias = "Future[list[Ran]] | asyncio.Task[list[Ran]]"


class Worker:
    """Runs batches one after another: in its thread, or on the event loop what only waits there.

    Both by the same coroutines. In the thread nothing in them waits, so that one step completes them.
    """

    def __init__(self, runtime: Runtime, name: str, max_rows: int) -> None:
        self._runtime = runtime
        self._task: asyncio.Task[list[Ran]] | None = None  # what runs on the event loop, which keeps no hold of it
        self._buffers = Buffers(max_rows, runtime.allocate)
        self.name = name
        self.started = 0.0  # of the latest run, as time.perf_counter() has it
        self.executor = ThreadPoolExecutor(1, thread_name_prefix=name)

    def start(self, work: Work, finish: Callable[[Running], object]) -> None:
        """Have `work` done where the runtime runs, and `finish` called with it on the event loop, which calls this."""
        loop = asyncio.get_running_loop()
        if self._runtime.on_loop:
            self._task = loop.create_task(work())
            self._task.add_done_callback(finish)
        else:  # what asyncio's run_in_executor does, without a second future for each batch
            running = self.executor.submit(at_once, work)
            running.add_done_callback(lambda ended: loop.call_soon_threadsafe(finish, ended))

    async def run_batch(
        self, requests: Sequence[Arrays], waits: Sequence[Callable[[], bool]] = (), tell: Tell = lambda ran: None
    ) -> list[Ran]:
        """Run `requests` as one batch: in one run, or one after another where that is cheaper, or where one run fails.

        `waits` says of each whether somebody still waits for it: nothing is run apart for nobody. `tell` hears how far
        a batch has come whose requests are run apart.
        """
        habit = self._runtime.habit
        if not habit or len(requests) == 1:
            return [await self._run(requests, waits, tell)]
        rows, apart, begun = sum(map(rows_of, requests)), habit.apart, time.thread_time()
        run = partial(self._run_apart, start=time.perf_counter()) if apart else self._run
        ran = await run(requests, waits, tell)
        habit.learn((time.thread_time() - begun) / rows, apart=apart)
        return [ran]

    async def run_each(self, requests: Sequence[Arrays]) -> list[Ran]:
        """Run `requests` of a model that does not batch, one after another."""
        return [await self.run_whole(request) for request in requests]

    async def _run(self, requests: Sequence[Arrays], waits: Sequence[Callable[[], bool]], tell: Tell) -> Ran:
        """Run `requests` in one run. If it fails, run each alone, so that only the culprit fails."""
        self.started = start = time.perf_counter()
        try:
            return await self._together(requests)
        except BaseException as error:  # a user's model may raise anything, SystemExit included
            self._let_pass(error)
            if len(requests) == 1:
                return Ran([self._failure(error)], 0.0, time.perf_counter() - start, start)
        return await self._run_apart(requests, waits, tell, start)

    async def _run_apart(
        self, requests: Sequence[Arrays], waits: Sequence[Callable[[], bool]], tell: Tell, start: float
    ) -> Ran:
        results: list[Arrays | Exception] = []
        for request, waiting in zip(requests, waits or [lambda: True] * len(requests), strict=True):
            if results:
                tell(Ran(results[:], 0.0, time.perf_counter() - start, start))
            if waiting():
                results += (await self._run([request], (), tell)).results
            else:  # either its caller is gone, and hears nothing, or this is why
                results.append(DeadlineExceeded("the request's deadline passed while its batch was running"))
        return Ran(results, 0.0, time.perf_counter() - start, start)

    async def run_whole(self, inputs: Arrays) -> Ran:
        """Run one request of a model that does not batch: its outputs have no rows to count."""
        self.started = start = time.perf_counter()
        try:
            outputs: Arrays | Exception = await self._outputs(self._buffers.stack([inputs]))
        except BaseException as error:  # as above
            self._let_pass(error)
            outputs = self._failure(error)
        return Ran([outputs], 0.0, time.perf_counter() - start, start)

    def close(self) -> None:
        """Let the running batch end; start no other."""
        self.executor.shutdown(wait=False, cancel_futures=True)

    async def _together(self, requests: Sequence[Arrays]) -> Ran:
        start = time.perf_counter()
        rows = [rows_of(request) for request in requests]
        inputs = self._buffers.stack(requests)
        stacked = time.perf_counter()
        outputs = await self._outputs(inputs)
        ran = time.perf_counter()
        results = split(outputs, rows, self._buffers)
        return Ran(results, stacked - start + time.perf_counter() - ran, ran - stacked, stacked)

    async def _outputs(self, inputs: Arrays) -> Arrays:
        outputs = self._runtime.run(inputs)
        return outputs if isinstance(outputs, dict) else await outputs

    def _let_pass(self, error: BaseException) -> None:
        """Raise `error` if it is the end of the event loop's, and not of the model's own making."""
        if self._runtime.on_loop and isinstance(error, asyncio.CancelledError):
            task = asyncio.current_task()
            if task and task.cancelling():
                raise error

    def _failure(self, error: BaseException) -> TandemError:
        """What the caller is told: a refusal as it is, anything else without its details, which go to the log."""
        if isinstance(error, TandemError):
            if isinstance(error, Internal):
                log.error("%s: %s", self.name, error.message)
            return error
        log.error("%s failed", self.name, exc_info=error)
        return Internal("the model failed on this request; the predictor's log says more")


def at_once(work: Work) -> list[Ran]:
    """What `work` gives, which waits for nothing."""
    try:
        work().send(None)
    except StopIteration as end:
        ran: list[Ran] = end.value
        return ran
    raise AssertionError("a runtime whose place is a thread has waited for the event loop")
