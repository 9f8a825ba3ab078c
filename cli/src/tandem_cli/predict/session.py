"""Many requests at a time, their answers in order, and how far it is.

jobs -> workers -> answers, held until those before them are there -> writer
"""

from __future__ import annotations

import argparse
import asyncio
import math
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from tandem.client import AsyncClient, InferResult
from tandem.errors import TandemError

from tandem_cli import access
from tandem_cli.predict.jobs import Job, jobs
from tandem_cli.predict.progress import Progress
from tandem_cli.predict.writers import Writer, writer

_SHOWN = 10  # failures that are told at the end


@dataclass(frozen=True, slots=True)
class Model:
    """Whom to ask."""

    name: str
    version: str


async def predict(known: argparse.Namespace) -> int:
    """The command; raises BadUse, OSError and TandemError where nothing can be asked at all."""
    async with access.client(known) as client:
        metadata = await client.metadata(known.model_name, known.model_version)
    work = jobs(known, metadata)
    # what is full now is not so a second later; the deadline is what ends it
    limits = {"retries": 1_000_000, "retry_budget": math.inf, "max_connections": known.concurrency}
    with ExitStack() as opened:
        out = _output(known, opened)
        session = Session(Model(known.model_name, known.model_version), writer(known.format, out, metadata, work))
        async with access.client(known, **limits) as client:
            with Progress(len(work), out).shown() as told:
                await session.run(client, work, known.concurrency, told)
        return session.summary(len(work))


class Session:
    """One run: what is done, what failed, what waits for those before it."""

    def __init__(self, model: Model, to: Writer) -> None:
        self._model = model
        self._writer = to
        self._waiting: dict[int, tuple[str, InferResult | TandemError]] = {}
        self._next = 0
        self._failures: list[str] = []
        self._started = time.perf_counter()

    async def run(
        self, client: AsyncClient, work: Sequence[Job], concurrency: int, told: Callable[[int], None]
    ) -> None:
        """Answer all of `work`; `told` hears of each answer how many have failed so far."""
        self._started = time.perf_counter()
        left = iter(enumerate(work))
        try:
            async with asyncio.TaskGroup() as tasks:
                for _ in range(min(concurrency, len(work))):
                    tasks.create_task(self._work(client, left, told))
        except ExceptionGroup as group:  # the writer's: the disk is full, or the reader has left
            raise group.exceptions[0] from None

    def summary(self, count: int) -> int:
        """Tell how it went; the exit status."""
        failed, seconds = len(self._failures), time.perf_counter() - self._started
        if count > 1:
            rate = f"{count} requests in {seconds:.1f} s, {count / seconds:.0f}/s"
            print(f"tandem: {rate}" + (f"; {failed} failed:" if failed else ""), file=sys.stderr)
        for line in self._failures[:_SHOWN]:
            print(f"tandem: {line}", file=sys.stderr)
        if failed > _SHOWN:
            print(f"tandem: and {failed - _SHOWN} more", file=sys.stderr)
        return 1 if failed else 0

    async def _work(self, client: AsyncClient, left: Iterator[tuple[int, Job]], told: Callable[[int], None]) -> None:
        for index, job in left:
            answer: InferResult | TandemError
            try:
                inputs = await asyncio.to_thread(job.read)
                answer = await client.infer(self._model.name, inputs, version=self._model.version)
            except TandemError as error:
                answer = error
            except OSError as error:
                answer = TandemError(error.strerror or str(error))
            if isinstance(answer, TandemError):
                self._failures.append(f"{job.name}: {answer}")
            self._waiting[index] = (job.name, answer)
            while self._next in self._waiting:
                self._writer.write(*self._waiting.pop(self._next))
                self._next += 1
            told(len(self._failures))


def _output(known: argparse.Namespace, opened: ExitStack) -> TextIO:
    if known.output is None:
        return sys.stdout
    path: Path = known.output
    return opened.enter_context(path.open("w", encoding="utf-8", newline=""))
