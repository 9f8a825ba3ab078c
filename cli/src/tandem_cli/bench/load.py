"""The two kinds of load: callers that wait for their answers, and arrivals that wait for nobody."""

from __future__ import annotations

import asyncio
import random
import resource
import time
from collections.abc import Iterator
from dataclasses import dataclass

from tandem_cli.bench.recorder import OK, Recorder
from tandem_cli.bench.senders import Sender

MOST_UNDER_WAY = 4096  # of an open loop; what is due beyond that is counted, and not sent
NOT_SENT = "not sent in time"
UNANSWERED = "no answer within 5 s of the end"
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
    over, under_way = asyncio.Event(), set[asyncio.Task[None]]()
    if level.rate:
        driving = [asyncio.create_task(_arrive(sender, level, recorder, under_way, begin))]
    else:
        driving = [asyncio.create_task(_call(sender, recorder, over)) for _ in range(level.concurrency)]
        under_way.update(driving)
    stopped = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait([stopped], timeout=seconds)
        took, spent = time.perf_counter() - begin, _cpu() - cpu
        rps = recorder.outcomes[OK] / took
    finally:
        over.set()
        stopped.cancel()
        if level.rate:
            driving[0].cancel()
            await asyncio.wait(driving)
        await _settle(under_way)
    return Measured(level, recorder, took, rps, spent / took)


async def _call(sender: Sender, recorder: Recorder, over: asyncio.Event) -> None:
    """One caller, until it is over."""
    while not over.is_set():
        await _one(sender, recorder, time.perf_counter())


async def _arrive(
    sender: Sender, level: Level, recorder: Recorder, under_way: set[asyncio.Task[None]], begin: float
) -> None:
    """Send what is due since `begin`, until cancelled; what was due by then and not sent is counted."""
    dues = _dues(level)
    due = next(dues)
    try:
        while True:
            # when it is late too, answers come in between
            await asyncio.sleep(max(0.0, begin + due - time.perf_counter()))
            if len(under_way) < MOST_UNDER_WAY:
                task = asyncio.create_task(_one(sender, recorder, begin + due))
                under_way.add(task)
                task.add_done_callback(under_way.discard)
            else:
                recorder.record(NOT_SENT, 0.0, {})
            due = next(dues)
    finally:
        now = time.perf_counter() - begin
        while due <= now:
            recorder.record(NOT_SENT, 0.0, {})
            due = next(dues)


def _dues(level: Level) -> Iterator[float]:
    """Seconds after the start at which requests are due."""
    generator, now = random.Random(13), 0.0  # noqa: S311 - no secret
    while True:
        now += generator.expovariate(level.rate) if level.poisson else 1 / level.rate
        yield now


async def _one(sender: Sender, recorder: Recorder, due: float) -> None:
    """Send one request and count it, whatever becomes of it."""
    outcome, phases = UNANSWERED, dict[str, float]()
    recorder.under_way += 1
    try:
        outcome, phases = await sender.send()
    except Exception as error:  # that of a library, which is no reason to count nothing
        outcome = type(error).__name__
    finally:
        recorder.under_way -= 1
        recorder.record(outcome, time.perf_counter() - due, phases)


async def _settle(under_way: set[asyncio.Task[None]]) -> None:
    """Wait a while for the last answers, then for none."""
    if under_way:
        _, late = await asyncio.wait(under_way, timeout=_PATIENCE)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)


def _cpu() -> float:
    own = resource.getrusage(resource.RUSAGE_SELF)
    return own.ru_utime + own.ru_stime
