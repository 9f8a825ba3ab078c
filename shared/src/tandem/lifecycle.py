"""When a service is ready, and how it is run until it is asked to stop."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from typing import Protocol, TypeVar

import uvloop

from tandem import cpus, logs, settings
from tandem.memory import allocator
from tandem.workers import worker

log = logging.getLogger("tandem.lifecycle")


class Fatal(Exception):
    """What keeps a service from starting and only its user can mend; the text says what and how."""


class Service(Protocol):
    """The predictor or the transformer."""

    async def start(self) -> None:
        """Open the doors and become ready; raises Fatal."""
        ...

    async def shutdown(self) -> None:
        """Drain and close, in the service's own order."""
        ...


class ServiceSettings(Protocol):
    """The settings that `main` looks at."""

    @property
    def log_level(self) -> str: ...  # noqa: D102 - see the flags' own help
    @property
    def log_format(self) -> str: ...  # noqa: D102 - the same
    @property
    def print_config(self) -> bool: ...  # noqa: D102 - the same
    @property
    def workers(self) -> int: ...  # noqa: D102 - the same
    @property
    def version(self) -> bool: ...  # noqa: D102 - the same


S = TypeVar("S", bound=ServiceSettings)


class Part:
    """One condition of readiness. It has exactly one owner, the only one to call `set`."""

    def __init__(self, readiness: Readiness, name: str, reason: str | None) -> None:
        self._readiness = readiness
        self.name = name
        self.reason = reason  # why not; None when the condition holds

    def set(self, reason: str | None) -> None:
        """Say why the condition does not hold, or None that it does."""
        if reason != self.reason:
            self.reason = reason
            self._readiness.changed()


class Readiness:
    """Ready when every part is. Probes, gRPC health and the gauge all ask here."""

    def __init__(self) -> None:
        self._parts: list[Part] = []
        self._waiters: set[asyncio.Future[None]] = set()
        self._watcher: Callable[[bool], None] = lambda ready: None
        self.stopping = False  # set once, by `stop`

    def part(self, name: str, reason: str | None) -> Part:
        """A new condition, handed to its owner."""
        self._parts.append(Part(self, name, reason))
        self.changed()
        return self._parts[-1]

    @property
    def reason(self) -> str | None:
        """The first thing that stands in the way; None when ready."""
        if self.stopping:
            return "the server is shutting down"
        return next((part.reason for part in self._parts if part.reason), None)

    @property
    def ready(self) -> bool:
        """Whether every part is ready."""
        return self.reason is None

    @property
    def parts(self) -> dict[str, str | None]:
        """What stands in the way by the name of each part; None where nothing does."""
        return {part.name: part.reason for part in self._parts}

    def stop(self) -> None:
        """Not ready from now on."""
        self.stopping = True
        self.changed()

    def watch(self, watcher: Callable[[bool], None]) -> None:
        """Tell `watcher` whether this is ready, now and at each change."""
        self._watcher = watcher
        watcher(self.ready)

    def changed(self) -> None:
        """Wake everyone who waits for a change."""
        self._watcher(self.ready)
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)

    async def change(self) -> None:
        """Wait until something has changed."""
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.add(waiter)
        try:
            await waiter
        finally:
            self._waiters.discard(waiter)

    async def until_ready(self) -> None:
        """Wait until every part is ready."""
        while not self.ready:
            await self.change()


class StopSignal:
    """SIGTERM or SIGINT: the first asks for a clean stop, the second ends the process at once."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def install(self) -> None:
        """Take over both signals. Explicitly: a process started in the background may inherit SIGINT ignored."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._received, number)

    async def wait(self) -> None:
        """Wait for the first signal."""
        await self._event.wait()

    def request(self) -> None:
        """Ask for a clean stop, as a first signal does."""
        self._event.set()

    def _received(self, number: int) -> None:
        name = signal.Signals(number).name
        if self._event.is_set():
            log.warning("%s again: exiting now", name)
            os._exit(1)
        log.info("%s: draining; send it again to exit at once", name)
        self.request()


class Heartbeat:
    """Says where the event loop is stuck, from a thread of its own: then no probe is answered, and nobody knows why."""

    def __init__(self, loop: asyncio.AbstractEventLoop, patience: float = 3.0) -> None:
        self._loop = loop
        self._patience = patience  # seconds without a sign of life
        self._ended = threading.Event()
        self._owner = threading.get_ident()

    def __enter__(self) -> None:
        threading.Thread(target=self._listen, name="heartbeat", daemon=True).start()

    def __exit__(self, *_: object) -> None:
        self._ended.set()

    def _listen(self) -> None:
        while not self._ended.wait(1.0):
            alive = threading.Event()
            try:
                self._loop.call_soon_threadsafe(alive.set)
            except RuntimeError:  # it is closed
                return
            if not alive.wait(self._patience):
                self._tell()
                while not alive.wait(1.0) and not self._ended.is_set():
                    pass
                log.warning("the event loop goes on")

    def _tell(self) -> None:
        stack = "".join(traceback.format_stack(sys._current_frames().get(self._owner)))
        log.error("the event loop is stuck: nothing is answered", extra={"seconds": self._patience, "stack": stack})


def main(
    cls: type[S],
    program: str,
    summary: str,
    version: str,
    make: Callable[[S], Service],
    *,
    supervise: Callable[[S, int], int] | None = None,
) -> int:
    """The command of a service: read the settings, serve until a signal, with several workers if `supervise` is given.

    Returns 0 after a clean stop; ends the process with status 2 after one line for what only the user can mend.
    """
    read, parsed = settings.load(cls, program, summary, sys.argv[1:], os.environ)
    if read.version or read.print_config:
        sys.stdout.write(f"{version if read.version else settings.describe(read, parsed)}\n")
        return 0
    logs.setup(read.log_level, read.log_format)
    if not worker.is_worker():
        for warning in parsed.warnings:
            log.warning(warning)
        if (workers := _clamped(read.workers, supervise)) > 1 and supervise:
            try:
                return supervise(read, workers)
            except Fatal as error:
                settings.die(f"{program}: {error}")
    if reason := _run(lambda: make(read), read.log_level):
        settings.die(f"{program}: {reason}")
    if _still_running():  # the user's code that outlasted the grace: Python would wait for it for ever
        log.warning("exiting although code is still running that outlasted --grace")
        logging.shutdown()
        os._exit(0)
    return 0


def _clamped(wanted: int, supervise: object) -> int:
    most = cpus.available() if supervise else 1
    if wanted > most:
        why = f"there are {most} CPUs" if supervise else "one process serves, with --instances of the model"
        log.warning("--workers=%d is taken as %d: %s", wanted, most, why)
    return min(wanted, most)


def _still_running(patience: float = 1.0) -> bool:
    """Whether a thread is left that Python would wait for; pools that were shut down get a moment to end theirs."""
    end = time.monotonic() + patience
    threads = [t for t in threading.enumerate() if t is not threading.main_thread() and not t.daemon]
    for thread in threads:
        thread.join(max(0.0, end - time.monotonic()))
    return any(thread.is_alive() for thread in threads)


def _run(make: Callable[[], Service], level: str) -> str | None:
    """Run a service until a signal. Returns None after a clean stop, else the reason why it could not start.

    `make` is called on the event loop, which gRPC's objects belong to from their construction on.
    """
    reason = None
    allocator.keep_freed_blocks()
    cpus.let_others_finish()
    try:
        uvloop.run(_serve(make, level))
    except* Fatal as failed:
        reason = str(_first(failed))
    return reason


def _first(group: BaseExceptionGroup[Fatal]) -> BaseException:
    """The first exception of a group, in whatever groups it may lie."""
    found: BaseException = group
    while isinstance(found, BaseExceptionGroup):
        found = found.exceptions[0]
    return found


async def _serve(make: Callable[[], Service], level: str) -> None:
    stop = StopSignal()
    stop.install()
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, logs.toggle_debug, level)
    worker.on_orphaned(stop.request)
    service = make()
    with Heartbeat(asyncio.get_running_loop()):
        async with asyncio.TaskGroup() as group:
            starting = group.create_task(service.start())
            await stop.wait()
            await service.shutdown()
            starting.cancel()
