"""What waits in the batcher's queue, and what becomes of it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tandem.deadline import Deadline
from tandem.errors import DeadlineExceeded, TandemError
from tandem.inference import Arrays

from tandem_predictor.worker import Ran


@dataclass(frozen=True, slots=True)
class Outcome:
    """A request's outputs, and where its time went, in seconds."""

    outputs: Arrays
    queue: float
    batch: float
    inference: float
    batch_rows: int
    started: float = 0.0  # when it left the queue, as time.perf_counter() has it
    inference_started: float = 0.0

    @property
    def seconds(self) -> float:
        """The whole time from submission to result."""
        return self.queue + self.batch + self.inference


@dataclass(slots=True, eq=False)
class Item:
    """A request, or a slice of one, on its way through the queue."""

    inputs: Arrays
    rows: int
    weight: int  # of the queue's bound: the rows, and 1 for a request without any
    key: object  # only items of equal keys share a batch
    deadline: Deadline
    priority: int
    future: asyncio.Future[Outcome]
    queued_at: float
    waiting: bool = True  # in the queue still
    released: bool = False  # its group's delay window has closed

    @property
    def rank(self) -> tuple[int, float]:
        """The least goes first."""
        return self.priority, self.deadline.at

    def waits(self) -> bool:
        """Whether somebody still waits for this; may be asked from any thread."""
        return not (self.future.done() or self.deadline.expired)

    def expire(self) -> bool:
        """Whether nobody waits for this any more; fails it if its time is over: expired work is never run."""
        if not self.future.done() and self.deadline.expired:
            self.future.set_exception(DeadlineExceeded("the request's deadline passed while it was queued"))
        return self.future.done()


def total_rows(items: Iterable[Item]) -> int:
    """The rows of all of them."""
    return sum(item.rows for item in items)


def answer(batch: Sequence[Item], ran: Ran, started: float) -> None:
    """Tell those of `batch` that have run, and still wait, what became of them; `started` when they left the queue."""
    rows = total_rows(batch)
    for item, result in zip(batch, ran.results, strict=False):
        if item.future.done():
            continue
        if isinstance(result, Exception):
            item.future.set_exception(result)
        else:
            times = started - item.queued_at, ran.batch_seconds, ran.inference_seconds
            item.future.set_result(Outcome(result, *times, rows, started, ran.inference_started))


def fail(items: Iterable[Item], error: TandemError) -> None:
    """Tell those who still wait for one of `items`."""
    for item in items:
        if not item.future.done():
            item.future.set_exception(error)


def expire(items: Iterable[Item]) -> None:
    """Tell them that their deadline has passed."""
    fail(items, DeadlineExceeded("the request's deadline passed while it was queued or running"))
