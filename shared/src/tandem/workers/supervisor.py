"""Starts the workers, replaces those that die, passes signals on, and ends when they have ended.

The kernel spreads connections over the workers, which listen on the same ports (SO_REUSEPORT). Each is a process made
from the same command line: nothing is forked, as gRPC does not survive it.
"""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import signal
import socket
import sys
import tempfile
from contextlib import ExitStack, closing
from pathlib import Path

from prometheus_client import multiprocess

from tandem.doors.grpc_server import Listen, PortTaken, probe
from tandem.doors.settings import DoorSettings
from tandem.workers import worker

log = logging.getLogger("tandem.workers")

_PAUSE = 1.0  # seconds before a worker that died is replaced
_SHM = Path("/dev/shm")  # noqa: S108 - writable where the root file system is not


def supervise(settings: DoorSettings, count: int) -> int:
    """Serve with `count` workers until a signal; returns the exit status. Raises PortTaken."""
    with ExitStack() as held:
        ports = [
            held.enter_context(closing(_reserve(Listen(settings.host, port), f"{kind} on port {port} (--{flag})")))
            for kind, flag, port in (
                ("HTTP", "http_port", settings.http_port),
                ("gRPC", "grpc_port", settings.grpc_port),
            )
        ]
        http_port, grpc_port = (reserved.getsockname()[1] for reserved in ports)
        folder = _folder()
        held.callback(shutil.rmtree, folder, ignore_errors=True)
        flags = [f"--http_port={http_port}", f"--grpc_port={grpc_port}", f"--workers={count}"]
        return asyncio.run(Supervisor([sys.executable, *sys.orig_argv[1:], *flags], folder).run(count))


class Supervisor:
    """Keeps the workers running until a signal."""

    def __init__(self, command: list[str], folder: Path) -> None:
        self._command = command
        self._environ = {**os.environ, worker.VARIABLE: "1", "PROMETHEUS_MULTIPROC_DIR": str(folder)}
        self._folder = folder
        self._processes: set[asyncio.subprocess.Process] = set()
        self._listening: set[asyncio.subprocess.Process] = set()
        self._listeners: list[asyncio.Task[None]] = []
        self._stopping = asyncio.Event()

    async def run(self, count: int) -> int:
        """The first worker alone, as it may have to say why it cannot start; then the others."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._received)
        loop.add_signal_handler(signal.SIGUSR1, self._toggle_debug)
        first, listening = await self._start()
        if not await listening:
            return await first.wait()
        log.info("workers", extra={"count": count})
        keeping = [self._keep(first), *(self._keep(None) for _ in range(count - 1))]
        return max(await asyncio.gather(*keeping))

    async def _keep(self, process: asyncio.subprocess.Process | None) -> int:
        """Wait for a worker's end, and start another until we are to stop; the last one's exit status."""
        while True:
            if process is None:
                process, _ = await self._start()
            status = await process.wait()
            self._processes.discard(process)
            multiprocess.mark_process_dead(process.pid, str(self._folder))  # type: ignore[no-untyped-call]
            if self._stopping.is_set():
                return 1 if status else 0
            log.warning("a worker ended; another is started", extra={"worker": process.pid, "status": status})
            process = None
            try:
                await asyncio.wait_for(self._stopping.wait(), _PAUSE)
            except TimeoutError:
                continue
            return 0

    async def _start(self) -> tuple[asyncio.subprocess.Process, asyncio.Future[bool]]:
        """A worker, and whether it came to listen."""
        ours, its = socket.socketpair()
        ours.setblocking(False)
        with its:
            # a session of its own, so that Ctrl-C reaches it through us alone, and once
            process = await asyncio.create_subprocess_exec(
                *self._command, stdin=its.fileno(), env=self._environ, start_new_session=True
            )
        self._processes.add(process)
        if self._stopping.is_set():
            process.send_signal(signal.SIGTERM)
        listening = asyncio.get_running_loop().create_future()
        self._listeners.append(asyncio.ensure_future(self._listen(ours, listening, process)))
        return process, listening

    async def _listen(
        self, ours: socket.socket, listening: asyncio.Future[bool], process: asyncio.subprocess.Process
    ) -> None:
        """Hear whether a worker listens, and hold its socket for as long as it runs: the socket's end would stop it."""
        with ours:
            if heard := bool(await asyncio.get_running_loop().sock_recv(ours, 1)):
                self._listening.add(process)
                log.info("a worker listens", extra={"worker": process.pid})
            listening.set_result(heard)
            await process.wait()
            self._listening.discard(process)

    def _received(self) -> None:
        """Pass the signal on; a worker that gets a second one ends at once."""
        self._stopping.set()
        self._pass_on(signal.SIGTERM, self._processes)

    def _toggle_debug(self) -> None:
        """To those that listen: before, the signal would end them."""
        self._pass_on(signal.SIGUSR1, self._listening)

    def _pass_on(self, number: int, processes: set[asyncio.subprocess.Process]) -> None:
        for process in processes:
            if process.returncode is None:
                process.send_signal(number)


def _reserve(listen: Listen, what: str) -> socket.socket:
    """The port, kept from others but our workers; raises PortTaken."""
    probe(listen, what)
    family = socket.AF_INET6 if ":" in listen.host else socket.AF_INET
    reserved = socket.socket(family)
    reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    try:
        reserved.bind((listen.host, listen.port))
    except OSError as error:
        reserved.close()
        raise PortTaken(f"cannot listen for {what}: {error.strerror}") from error
    return reserved


def _folder() -> Path:
    """A folder for the workers' metrics, which each writes and each can add up."""
    try:
        return Path(tempfile.mkdtemp(prefix="tandem-metrics-"))
    except OSError:
        return Path(tempfile.mkdtemp(prefix="tandem-metrics-", dir=_SHM))
