"""The dynamic batcher: requests from many callers -> batches -> idle workers -> each caller's rows.

    submit -> queue -> collect (compatible, <= max_batch_size rows) -> worker thread -> future -> caller

Work-conserving: an idle worker takes what is queued at once. There is no dispatching task: the arrival of a request
and the end of a batch are the only moments at which a batch can start, and each of them looks.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from tandem.deadline import Deadline
from tandem.errors import DeadlineExceeded, InvalidInput, Overloaded
from tandem.inference import Arrays
from tandem.metrics import ModelMetrics

from tandem_predictor.stacking import join, rows_of, signature, slices
from tandem_predictor.worker import Ran, Worker


@dataclass(frozen=True, slots=True)
class Limits:
    """Rows a batch, rows waiting, and the seconds that a batch with room left waits for company."""

    max_batch_rows: int
    max_queue_rows: int
    max_queue_delay: float = 0.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """A request's outputs, and where its time went, in seconds."""

    outputs: Arrays
    queue: float
    batch: float
    inference: float
    batch_rows: int

    @property
    def seconds(self) -> float:
        """The whole time from submission to result."""
        return self.queue + self.batch + self.inference


@dataclass(slots=True, eq=False)
class _Item:
    inputs: Arrays
    rows: int
    key: object  # only items of equal keys share a batch
    deadline: Deadline
    future: asyncio.Future[Outcome]
    queued_at: float
    waiting: bool = True  # in the queue still


class Batcher:
    """The queue of one model and the workers that drain it. Lives on one event loop."""

    def __init__(self, workers: Sequence[Worker], *, batchable: bool, limits: Limits, metrics: ModelMetrics) -> None:
        self._workers = workers
        self._idle = list(workers)
        self.batchable = batchable
        self._limits = limits
        self._metrics = metrics
        self._queue: deque[_Item] = deque()
        self._queued_rows = 0
        self._timer: asyncio.TimerHandle | None = None

    async def submit(self, inputs: Arrays, deadline: Deadline) -> Outcome:
        """Run a validated request. One over the batch size runs in slices, all or nothing.

        Raises InvalidInput if it can never fit the queue, Overloaded if it does not fit now, DeadlineExceeded, or
        what the model raised.
        """
        rows = rows_of(inputs) if self.batchable else 1
        self._admit(rows)
        deadline.check("it was queued")
        pieces = slices(inputs, self._limits.max_batch_rows) if rows > self._limits.max_batch_rows else [inputs]
        items = [self._item(piece, deadline) for piece in pieces]
        self._queue.extend(items)
        self._count(rows)
        self._dispatch()
        try:
            async with asyncio.timeout(deadline.remaining):
                outcomes = await asyncio.gather(*[item.future for item in items])
        except TimeoutError:
            raise DeadlineExceeded("the request's deadline passed while it was queued or running") from None
        finally:
            self._withdraw(items)
        slowest = max(outcomes, key=lambda outcome: outcome.seconds)
        outputs = join([outcome.outputs for outcome in outcomes])
        return Outcome(outputs, slowest.queue, slowest.batch, slowest.inference, slowest.batch_rows)

    def close(self) -> None:
        """Stop the workers after their running batches."""
        for worker in self._workers:
            worker.close()

    def _admit(self, rows: int) -> None:
        limit = self._limits.max_queue_rows
        if rows > limit:
            raise InvalidInput(
                f"the request has {rows} rows, more than the queue ever holds: {limit} (--max_queue_size)"
            )
        if self._queued_rows + rows > limit:
            self._metrics.queue_full.inc()
            raise Overloaded(f"{self._queued_rows} rows are queued, the limit is {limit} (--max_queue_size)")

    def _item(self, inputs: Arrays, deadline: Deadline) -> _Item:
        rows = rows_of(inputs) if self.batchable else 1
        key = signature(inputs) if self.batchable and rows else object()  # an object is equal to nothing but itself
        future = asyncio.get_running_loop().create_future()
        return _Item(inputs, rows, key, deadline, future, time.perf_counter())

    def _dispatch(self) -> None:
        """Start a batch on every idle worker that there is work for."""
        if self._timer:
            self._timer.cancel()
            self._timer = None
        while self._idle and (batch := self._collect()):
            self._start(self._idle.pop(), batch)

    def _collect(self) -> list[_Item]:
        """Take the next batch out of the queue: the oldest item and what is compatible with it, in order.

        Idle workers share what is queued. Nothing is taken while the delay window is open, which a timer ends.
        """
        self._drop_expired()
        if not self._queue:
            return []
        first, limit = self._queue[0], self._limits.max_batch_rows
        mates = [item for item in self._queue if item.key == first.key]
        if self._wait_for_company(first, sum(item.rows for item in mates)):
            return []
        share = min(limit, -(-sum(item.rows for item in mates) // len(self._idle)))
        batch, rows = [first], first.rows
        for item in mates[1:]:
            if rows + item.rows > share:
                break
            batch.append(item)
            rows += item.rows
        self._take(batch)
        return batch

    def _wait_for_company(self, first: _Item, rows: int) -> bool:
        left = self._limits.max_queue_delay - (time.perf_counter() - first.queued_at)
        if left <= 0 or rows >= self._limits.max_batch_rows or not self.batchable:
            return False
        self._timer = asyncio.get_running_loop().call_later(left, self._dispatch)
        return True

    def _drop_expired(self) -> None:
        """Fail every queued item whose time is over: expired work is never run."""
        if expired := [item for item in self._queue if item.deadline.expired]:
            self._take(expired)
            for item in expired:
                if not item.future.done():
                    item.future.set_exception(DeadlineExceeded("the request's deadline passed while it was queued"))

    def _take(self, items: Sequence[_Item]) -> None:
        for item in items:
            item.waiting = False
        self._queue = deque(item for item in self._queue if item.waiting)
        self._count(-sum(item.rows for item in items))

    def _withdraw(self, items: Sequence[_Item]) -> None:
        """Take back what has not started, when its caller is gone."""
        if left := [item for item in items if item.waiting]:
            self._take(left)

    def _start(self, worker: Worker, batch: list[_Item]) -> None:
        requests = [item.inputs for item in batch]
        work = partial(worker.run, requests) if self.batchable else partial(worker.run_whole, requests[0])
        running = asyncio.get_running_loop().run_in_executor(worker.executor, work)
        running.add_done_callback(partial(self._finish, worker, batch, time.perf_counter()))

    def _finish(self, worker: Worker, batch: list[_Item], started: float, running: asyncio.Future[Ran]) -> None:
        """Hand each caller its outcome, if it is still there, and give the worker its next batch."""
        self._idle.append(worker)
        if running.cancelled():  # the worker was closed
            return
        ran, rows = running.result(), sum(item.rows for item in batch)
        self._metrics.batch_rows.observe(rows)
        self._metrics.inference_seconds.observe(ran.inference_seconds)
        for item, result in zip(batch, ran.results, strict=True):
            queue = started - item.queued_at
            self._metrics.queue_seconds.observe(queue)
            if item.future.done():
                continue
            if isinstance(result, Exception):
                item.future.set_exception(result)
            else:
                item.future.set_result(Outcome(result, queue, ran.batch_seconds, ran.inference_seconds, rows))
        self._dispatch()

    def _count(self, rows: int) -> None:
        self._queued_rows += rows
        self._metrics.queue_rows.set(self._queued_rows)
