"""One run of `tandem bench`: ask for the model, encode, load level after level, show."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from rich.console import Console
from rich.live import Live
from tandem.client.settings import settings

from tandem_cli import access
from tandem_cli.access import BadUse
from tandem_cli.bench import documents, tables
from tandem_cli.bench.bodies import Body, bodies
from tandem_cli.bench.load import Level, Measured, measure
from tandem_cli.bench.recorder import Recorder
from tandem_cli.bench.senders import GrpcSender, HttpSender, Sender


async def bench(known: argparse.Namespace) -> int:
    """0 if anything was answered, else 1. Raises BadUse, OSError, TandemError."""
    _check_files(known)
    async with access.client(known) as client:
        model = await client.metadata(known.model_name, known.model_version)
    prepared = bodies(known, model)
    measured = [one async for one in _levels(known, prepared, _stop())]
    if not measured:
        print("tandem: ended before anything was measured", file=sys.stderr)
        return 1
    Console().print(tables.summary(measured))
    if known.json:
        documents.write_json(known.json, measured)
    if known.plot:
        documents.write_plot(known.plot, measured)
    return 0 if any(one.recorder.latencies.count for one in measured) else 1


def _check_files(known: argparse.Namespace) -> None:
    """Raise BadUse if what is measured could not be written."""
    for flag, file in (("json", known.json), ("plot", known.plot)):
        if file and not file.parent.is_dir():
            raise BadUse(f"--{flag} {file}: there is no folder {file.parent}")
    if known.plot:
        documents.check_plot(known.plot)


def _stop() -> asyncio.Event:
    """Set by the first signal; the second ends the process."""
    stop, loop = asyncio.Event(), asyncio.get_running_loop()

    def end(number: signal.Signals) -> None:
        stop.set()
        loop.remove_signal_handler(number)

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, end, number)
    return stop


async def _levels(known: argparse.Namespace, prepared: list[Body], stop: asyncio.Event) -> AsyncIterator[Measured]:
    chosen = [Level(rate=rate, poisson=known.arrivals == "poisson") for rate in known.rate or ()]
    for level in chosen or [Level(concurrency=int(number)) for number in known.concurrency]:
        if stop.is_set():
            return
        sender = _sender(known, prepared)
        try:
            await measure(sender, level, known.warm_up, Recorder(), stop)
            if stop.is_set():
                return
            recorder = Recorder()
            async with _shown(level, recorder, known.duration):
                measured = await measure(sender, level, known.duration, recorder, stop)
            yield measured
        finally:
            await sender.close()


def _sender(known: argparse.Namespace, prepared: list[Body]) -> Sender:
    chosen = settings(known.url, None, access.token(known.token_file), access.tls(known))
    if chosen.scheme.startswith("grpc"):
        return GrpcSender(chosen, prepared, known.timeout)
    return HttpSender(chosen, known.model_name, known.model_version, prepared, known.timeout)


@asynccontextmanager
async def _shown(level: Level, recorder: Recorder, seconds: float) -> AsyncIterator[None]:
    """A line on standard error that tells how it goes; at a terminal only."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield
        return
    begin = time.perf_counter()

    async def refresh(live: Live) -> None:
        while True:
            past = time.perf_counter() - begin
            live.update(tables.running(level, recorder, past, max(0.0, seconds - past)), refresh=True)
            await asyncio.sleep(0.25)

    with Live(console=console, auto_refresh=False, transient=True) as live:
        refreshing = asyncio.create_task(refresh(live))
        try:
            yield
        finally:
            refreshing.cancel()
