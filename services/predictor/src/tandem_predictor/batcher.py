"""The dynamic batcher: requests from many callers -> batches -> idle workers -> each caller's rows.

    submit -> queue -> collect (compatible, <= max_batch_size rows) -> worker -> future -> caller

Work-conserving: an idle worker takes what is queued at once. There is no dispatching task: the arrival of a request
and the end of a batch are the only moments at which a batch can start, and each of them looks.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

from tandem.deadline import Deadline
from tandem.errors import InvalidInput, Overloaded, TandemError, Unavailable
from tandem.inference import Arrays
from tandem.metrics import ModelMetrics, afterwards
from tandem.model.statistics import Statistics

from tandem_predictor.item import Item, Outcome, answer, expire, fail, total_rows
from tandem_predictor.stacking import join, rows_of, signature, slices
from tandem_predictor.watchdog import HANGS, Watchdog
from tandem_predictor.worker import Ran, Running, Work, Worker

_ALONE = object()  # the key of what never shares a batch: requests of a model that does not batch, or without rows
_QUICK = 1e-3  # seconds; below it, waking a thread takes longer than the run
LOWEST = 2**32  # the priority of a request that asks for none


@dataclass(frozen=True, slots=True)
class Limits:
    """Rows a batch, rows waiting, and the seconds that a batch with room left waits for company."""

    max_batch_rows: int
    max_queue_rows: int
    max_queue_delay: float = 0.0
    inference_timeout: float = 0.0  # seconds that a run may take; 0: as long as it takes


class Batcher:
    """The queue of one model and the workers that drain it. Lives on one event loop."""

    def __init__(
        self,
        workers: Sequence[Worker],
        *,
        batchable: bool,
        limits: Limits,
        metrics: ModelMetrics,
        statistics: Statistics,
        changed: Callable[[str | None], None] = lambda reason: None,
    ) -> None:
        self.batchable = batchable
        self._workers = workers
        self._idle = list(workers)
        self._limits = limits
        self._metrics = metrics
        self._statistics = statistics
        self._groups: dict[object, deque[Item]] = {}  # what waits, by key; each by rank, equals in order of arrival
        self._queued = 0  # the weight of all of it
        self._timer: asyncio.TimerHandle | None = None
        self._retired = False
        self._row_seconds = 0.0  # that a worker takes for a row, smoothed; 0 until it is known
        self.watchdog = Watchdog(len(workers), limits.inference_timeout, changed)

    async def submit(self, inputs: Arrays, deadline: Deadline, priority: int = 0) -> Outcome:
        """Run a validated request. One over the batch size runs in slices, all or nothing.

        Priority 1 is the highest and 0 the lowest: it goes before what waits with a lower one. Among equals the
        earliest deadline goes first.

        Raises InvalidInput if it can never fit the queue, Overloaded if it does not fit now, DeadlineExceeded, or
        what the model raised.
        """
        rows = rows_of(inputs) if self.batchable else 1
        self._admit(rows)
        deadline.check("it was queued")
        self._require_time(deadline, priority or LOWEST)
        pieces = slices(inputs, self._limits.max_batch_rows) if rows > self._limits.max_batch_rows else [inputs]
        items = [self._enqueue(piece, deadline, priority or LOWEST) for piece in pieces]
        self._dispatch()
        left = deadline.remaining
        timer = asyncio.get_running_loop().call_later(left, expire, items) if left is not None else None
        try:
            if len(items) == 1:
                return await items[0].future
            outcomes = await asyncio.gather(*[item.future for item in items])
        finally:
            if timer:
                timer.cancel()
            self._withdraw(items)
        slowest = max(outcomes, key=lambda outcome: outcome.seconds)
        return replace(slowest, outputs=join([outcome.outputs for outcome in outcomes]))

    def retire(self) -> None:
        """Take nothing more; close once what is queued and running has been answered."""
        self._retired = True
        if len(self._idle) == len(self._workers) and not self._groups:
            self.close()

    def close(self) -> None:
        """Fail what is queued and stop the workers after their running batches."""
        self._fail_queued(Unavailable("the predictor is shutting down"))
        for worker in self._workers:
            worker.close()

    def _fail_queued(self, error: TandemError) -> None:
        for group in self._groups.values():
            fail(group, error)

    def _hangs(self, batch: list[Item], error: TandemError) -> None:
        fail(batch, error)
        if self.watchdog.hangs:
            self._fail_queued(Unavailable(f"not ready: {HANGS}", retry_after=1))

    def _admit(self, rows: int) -> None:
        if self.watchdog.hangs:
            raise Unavailable(f"not ready: {HANGS}", retry_after=1)
        limit = self._limits.max_queue_rows
        if rows > limit:
            raise InvalidInput(f"the request has {rows} rows, more than the queue holds: {limit} (--max_queue_size)")
        if self._queued + max(rows, 1) > limit:
            self._metrics.queue_full.inc()
            raise Overloaded(f"{self._queued} rows are queued, the limit is {limit} (--max_queue_size)")

    def _require_time(self, deadline: Deadline, priority: int) -> None:
        """Refuse what could not be begun before its deadline: nobody would hear its answer."""
        left, capacity = deadline.remaining, len(self._workers)
        if left is None or self._queued * self._row_seconds <= left * capacity:
            return
        rank = (priority, deadline.at)
        ahead = sum(item.weight for group in self._groups.values() for item in group if item.rank <= rank)
        wait = ahead * self._row_seconds / capacity
        if wait > left:
            self._metrics.too_late.inc()
            raise Overloaded(f"the queue would take about {wait:.2g} s, and the request's deadline is in {left:.2g} s")

    def _enqueue(self, inputs: Arrays, deadline: Deadline, priority: int) -> Item:
        rows = rows_of(inputs) if self.batchable else 1
        key = signature(inputs) if self.batchable and rows else _ALONE
        future = asyncio.get_running_loop().create_future()
        item = Item(inputs, rows, max(rows, 1), key, deadline, priority, future, time.perf_counter())
        group = self._groups.setdefault(key, deque())
        behind = 0
        while behind < len(group) and group[-1 - behind].rank > item.rank:
            behind += 1
        group.insert(len(group) - behind, item)
        self._count(item.weight)
        return item

    def _dispatch(self) -> None:
        """Start a batch on every idle worker that there is work for."""
        if self._timer:
            self._timer.cancel()
            self._timer = None
        while self._idle and self._groups and (batch := self._collect()):
            self._start(self._idle.pop(), batch)

    def _collect(self) -> list[Item]:
        """Take the next batch out of the queue: the first item and what is compatible with it, in order.

        Nothing is taken from a group whose delay window is open; a timer looks again when the first of them closes.
        """
        open_windows = []
        for group in sorted(self._groups.values(), key=lambda group: (group[0].rank, group[0].queued_at)):
            rows = self._live_rows(group)
            if (wait := self._window(group, rows)) > 0:
                open_windows.append(wait)
            elif batch := self._take(group, self._share(rows)):
                self._release(group, min(rows, self._limits.max_batch_rows) - total_rows(batch))
                return batch
        if open_windows:
            self._timer = asyncio.get_running_loop().call_later(min(open_windows), self._dispatch)
        return []

    def _live_rows(self, group: deque[Item]) -> int:
        """The rows that wait in `group`, counted no further than the idle workers could take."""
        rows, enough = 0, self._limits.max_batch_rows * len(self._idle)
        for item in group:
            rows += 0 if item.expire() else item.rows
            if rows >= enough:
                break
        return rows

    def _window(self, group: deque[Item], rows: int) -> float:
        """Seconds for which `group`, with `rows` rows, still waits for company: counted from its first arrival."""
        if not self._limits.max_queue_delay or not self.batchable or any(item.released for item in group):
            return 0.0
        if not 0 < rows < self._limits.max_batch_rows:
            return 0.0
        return self._limits.max_queue_delay - (time.perf_counter() - min(item.queued_at for item in group))

    def _share(self, rows: int) -> int:
        """How many of `rows` one worker takes: the idle ones divide them."""
        return min(self._limits.max_batch_rows, -(-rows // len(self._idle)))

    def _take(self, group: deque[Item], most: int) -> list[Item]:
        """Remove up to `most` rows from the head of `group`, one item at least; nobody's items are dropped."""
        batch: list[Item] = []
        rows = 0
        if group[0].key is _ALONE:
            most = -1 if self.batchable else self._quick_runs(len(group))
        while group and (group[0].future.done() or not batch or rows + group[0].rows <= most):
            item = group.popleft()
            item.waiting = False
            self._count(-item.weight)
            if not item.future.done():
                batch.append(item)
                rows += item.rows
        if not group:
            del self._groups[item.key]
        return batch

    def _quick_runs(self, waiting: int) -> int:
        """How many requests of a model that does not batch one worker takes on its way: a millisecond's worth."""
        share = -(-waiting // len(self._idle))
        return min(share, int(_QUICK / self._row_seconds)) if self._row_seconds else 1

    def _release(self, group: deque[Item], rows: int) -> None:
        """What was gathered together does not wait again: the next `rows` rows of `group` go to the next workers."""
        for item in group if self._limits.max_queue_delay else ():
            rows -= item.rows
            if rows < 0:
                break
            item.released = True

    def _withdraw(self, items: Sequence[Item]) -> None:
        """Take back what has not started, when its caller is gone."""
        for item in items:
            if item.waiting:
                item.waiting = False
                group = self._groups[item.key]
                group.remove(item)
                self._count(-item.weight)
                if not group:
                    del self._groups[item.key]
        if self._retired:
            self.retire()

    def _start(self, worker: Worker, batch: list[Item]) -> None:
        requests, started = [item.inputs for item in batch], time.perf_counter()
        work: Work
        if self.batchable:
            tell = partial(self._tell, asyncio.get_running_loop(), batch, started)
            batches, work = [batch], partial(worker.run_batch, requests, [item.waits for item in batch], tell)
        else:
            batches, work = [[item] for item in batch], partial(worker.run_each, requests)
        finish = partial(self._finish, worker, batches, started)
        self.watchdog.begin(worker, partial(self._hangs, batch))
        worker.start(work, finish)

    def _tell(self, loop: asyncio.AbstractEventLoop, batch: list[Item], started: float, ran: Ran) -> None:
        """Have the first of `batch` answered before its last, in whatever thread this is called.

        Not while a full batch waits: for its callers, answers that go out together cost the event loops less.
        """
        if self._queued < self._limits.max_batch_rows:
            loop.call_soon_threadsafe(answer, batch, ran, started)

    def _finish(self, worker: Worker, batches: list[list[Item]], started: float, running: Running) -> None:
        """Hand each caller its outcome, if it is still there, and give the worker its next batch."""
        self._idle.append(worker)
        self.watchdog.end(worker)
        if running.cancelled():  # the worker was closed
            return
        for batch, ran in zip(batches, running.result(), strict=True):
            self._hand_out(batch, ran, started)
        self._dispatch()
        if self._retired:
            self.retire()

    def _hand_out(self, batch: list[Item], ran: Ran, started: float) -> None:
        self._learn(ran.batch_seconds + ran.inference_seconds, sum(item.weight for item in batch))
        answer(batch, ran, started)
        afterwards(self._observe, batch, ran, started)

    def _observe(self, batch: list[Item], ran: Ran, started: float) -> None:
        rows = total_rows(batch)
        self._statistics.batch(rows, ran.batch_seconds, ran.inference_seconds)
        self._metrics.batch_rows.observe(rows)
        self._metrics.inference_seconds.observe(ran.inference_seconds)
        for item in batch:
            self._metrics.queue_seconds.observe(started - item.queued_at)

    def _learn(self, seconds: float, weight: int) -> None:
        latest = seconds / weight
        self._row_seconds += (latest - self._row_seconds) / 8 if self._row_seconds else latest

    def _count(self, weight: int) -> None:
        self._queued += weight
        self._metrics.queue_rows.inc(weight)  # shared by the versions of a model, so never set
