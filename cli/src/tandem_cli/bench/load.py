"""The two kinds of load: callers that wait for their answers, and arrivals that wait for nobody."""

from __future__ import annotations

import asyncio
import random
import resource
import time
from collections.abc import Iterator
from dataclasses import dataclass

from tandem_cli.bench.recorder import Recorder
from tandem_cli.bench.senders import Sender

MOST_UNDER_WAY = 4096  # of an open loop; what is due beyond that is counted, and not sent
NOT_SENT = "not sent: 4096 are under way"
_PATIENCE = 5.0  # seconds that the last answers may take after the end


@dataclass(frozen=True, slots=True)
class Level:
    """So many callers, or so many arrivals a second."""

    concurrency: int = 0
    rate: float = 0.0
    poisson: bool = True

    def __str__(self) -> str:
        return f"{self.rate:g}/s" if self.rate else str(self.concurrency)


@dataclass(frozen=True, slots=True)
class Measured:
    """What a level gave. Answers that came after the end have their latency counted, and are not in `rps`."""

    level: Level
    recorder: Recorder
    seconds: float
    rps: float  # requests answered within the time, a second
    cpu: float  # seconds of CPU of this process, a second


async def measure(sender: Sender, level: Level, seconds: float, recorder: Recorder, stop: asyncio.Event) -> Measured:
    """Keep the load up for `seconds`, or until `stop`, and wait a while for what is under way."""
    begin, cpu = time.perf_counter(), _cpu()
    work = _arrivals if level.rate else _callers
    async with asyncio.TaskGroup() as group:
        loading = group.create_task(work(sender, level, recorder))
        stopped = group.create_task(stop.wait())
        await asyncio.wait([loading, stopped], timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        took = time.perf_counter() - begin
        rps, spent = recorder.outcomes["ok"] / took, _cpu() - cpu
        loading.cancel()
        stopped.cancel()
    return Measured(level, recorder, took, rps, spent / took)


async def _callers(sender: Sender, level: Level, recorder: Recorder) -> None:
    async def call() -> None:
        while over.is_set() is False:
            await _one(sender, recorder, time.perf_counter())

    over = asyncio.Event()
    await _until_cancelled([asyncio.create_task(call()) for _ in range(level.concurrency)], over)


async def _arrivals(sender: Sender, level: Level, recorder: Recorder) -> None:
    under_way: set[asyncio.Task[None]] = set()
    begin = time.perf_counter()
    try:
        for due in _dues(level):
            if (wait := begin + due - time.perf_counter()) > 0:
                await asyncio.sleep(wait)
            if len(under_way) >= MOST_UNDER_WAY:
                recorder.record(NOT_SENT, 0.0, {})
                await asyncio.sleep(0)
                continue
            task = asyncio.create_task(_one(sender, recorder, begin + due))
            under_way.add(task)
            task.add_done_callback(under_way.discard)
    finally:
        await _settle(list(under_way))


def _dues(level: Level) -> Iterator[float]:
    """Seconds after the start at which requests are due."""
    generator, now = random.Random(13), 0.0  # noqa: S311 - no secret
    while True:
        now += generator.expovariate(level.rate) if level.poisson else 1 / level.rate
        yield now


async def _one(sender: Sender, recorder: Recorder, due: float) -> None:
    recorder.under_way += 1
    try:
        outcome, phases = await sender.send()
    finally:
        recorder.under_way -= 1
    recorder.record(outcome, time.perf_counter() - due, phases)


async def _until_cancelled(tasks: list[asyncio.Task[None]], over: asyncio.Event) -> None:
    try:
        await asyncio.gather(*tasks)
    finally:
        over.set()
        await _settle(tasks)


async def _settle(tasks: list[asyncio.Task[None]]) -> None:
    """Wait a while for `tasks`, then cancel them."""
    if tasks:
        _, late = await asyncio.wait(tasks, timeout=_PATIENCE)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)


def _cpu() -> float:
    own = resource.getrusage(resource.RUSAGE_SELF)
    return own.ru_utime + own.ru_stime
