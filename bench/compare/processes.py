"""The processes of one system: started in sessions of their own, watched in /proc, ended whatever happens."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from tandem_cli.child import die_with_parent

from bench.compare.places import ROOT, WORK

_FIRST_PORT = 18_000  # above everything that a service takes by default, below what the kernel hands out
_PATIENCE, _GRACE = 90.0, 8.0  # seconds until a system must answer, and that it may take to end
QUIET = 0.1  # cores that others may use on a machine that is called quiet
_IDLE = 0.2  # cores that a system may use when nobody asks it anything
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Command:
    """A program of a system, and what its environment has besides ours."""

    name: str
    arguments: tuple[str | Path, ...]
    environment: dict[str, str] = field(default_factory=dict)


class Failed(Exception):
    """A system did not start, or answered wrongly; the text says which and why."""


class Processes:
    """Running commands. Only groups that were started here are ever signalled."""

    def __init__(self) -> None:
        self._running: list[tuple[Command, subprocess.Popen[bytes], Path]] = []
        self.seconds_to_ready = 0.0

    def start(self, command: Command) -> None:
        """Its output goes to a file below .cache/bench/logs."""
        log = WORK / "logs" / f"{command.name}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("wb") as file:
            process = subprocess.Popen(
                [str(argument) for argument in command.arguments],
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                cwd=ROOT,
                env={**os.environ, "PYTHONUNBUFFERED": "1", **command.environment},
                start_new_session=True,
                preexec_fn=die_with_parent,  # noqa: PLW1509 - a bench that is killed leaves nothing behind
            )
        self._running.append((command, process, log))

    def wait_until(self, ready: Callable[[], bool]) -> None:
        """Poll; raises Failed when a process has ended or patience has."""
        end = time.monotonic() + _PATIENCE
        while not ready():
            for command, process, log in self._running:
                if process.poll() is not None or time.monotonic() > end:
                    tail = "\n".join(log.read_text(errors="replace").splitlines()[-15:])
                    raise Failed(
                        f"{command.name} is not ready (exit status {process.returncode}); its log ends:\n{tail}"
                    )
            time.sleep(0.02)

    def cpu_seconds(self) -> float:
        """User and system time so far, of all its processes and threads."""
        return sum(int(fields[11]) + int(fields[12]) for fields in self._stat()) / _TICKS

    def resident_bytes(self) -> int:
        """Memory resident now; pages that several processes share count in each, as `ps` has it."""
        page = os.sysconf("SC_PAGE_SIZE")
        return sum(int(fields[21]) * page for fields in self._stat())

    def resident_by_name(self) -> dict[str, int]:
        """The same for each command, by its name."""
        page = os.sysconf("SC_PAGE_SIZE")
        names = {str(process.pid): command.name for command, process, _ in self._running}
        sizes = dict.fromkeys(names.values(), 0)
        for fields in self._stat():
            sizes[names[fields[2]]] += int(fields[21]) * page
        return sizes

    def settle(self) -> None:
        """Wait until it works no more on what a load left behind when it hung up."""
        end, before = time.monotonic() + _PATIENCE, self.cpu_seconds()
        while time.monotonic() < end:
            time.sleep(0.3)
            if (now := self.cpu_seconds()) - before < _IDLE * 0.3:
                return
            before = now

    def stop(self) -> None:
        """Ask, wait, kill: the last started first, as a transformer goes before its predictor."""
        for _, process, _ in reversed(self._running):
            _signal(process.pid, signal.SIGTERM)
        end = time.monotonic() + _GRACE
        for _, process, _ in self._running:
            with suppress(subprocess.TimeoutExpired):
                process.wait(max(0.1, end - time.monotonic()))
            _signal(process.pid, signal.SIGKILL)
            process.wait()

    def _stat(self) -> Iterator[list[str]]:
        """The fields of /proc/PID/stat after the name, of each process in our groups."""
        groups = {str(process.pid) for _, process, _ in self._running}
        for file in Path("/proc").glob("[0-9]*/stat"):
            with suppress(OSError):
                fields = file.read_text().rpartition(") ")[2].split()
                if fields[2] in groups:
                    yield fields


@contextmanager
def running(commands: tuple[Command, ...], ready: Callable[[], bool]) -> Iterator[Processes]:
    """The commands, once `ready` says so; ended on the way out."""
    processes, begin = Processes(), time.monotonic()
    try:
        for command in commands:
            processes.start(command)
        processes.wait_until(ready)
        processes.seconds_to_ready = time.monotonic() - begin
        yield processes
    finally:
        processes.stop()


def free_ports(count: int) -> list[int]:
    """Ports on 127.0.0.1 that nobody listens on."""
    found: list[int] = []
    port = _FIRST_PORT
    while len(found) < count:
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            found.append(port)
        port += 1
    return found


@contextmanager
def undisturbed(values: dict[str, float]) -> Iterator[None]:
    """Note in `values` how many cores the rest of the machine kept busy meanwhile: it spoils every figure."""
    begin, busy, own = time.monotonic(), _busy_seconds(), _own_seconds()
    yield
    rest = _busy_seconds() - busy - (_own_seconds() - own)
    values["others"] = round(max(0.0, rest / (time.monotonic() - begin)), 2)


def wait_for_quiet(patience: float) -> None:
    """Wait until the rest of the machine does next to nothing, or for `patience` seconds."""
    end, values = time.monotonic() + patience, {"others": 1.0}
    while values["others"] > QUIET and time.monotonic() < end:
        with undisturbed(values):
            time.sleep(1)


def _busy_seconds() -> float:
    """CPU time of everything on the machine: all but idle and waiting for disks."""
    fields = [int(field) for field in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:8]]
    return (sum(fields) - fields[3] - fields[4]) / _TICKS


def _own_seconds() -> float:
    """CPU time of this process, of what it has waited for, and of its living descendants."""
    parents, ticks = {}, {}
    for file in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            fields = file.read_text().rpartition(") ")[2].split()
            parents[file.parent.name] = fields[1]
            ticks[file.parent.name] = sum(int(field) for field in fields[11:15])
    family, fresh = set[str](), {str(os.getpid())}
    while fresh:
        family |= fresh
        fresh = {child for child, parent in parents.items() if parent in fresh}
    return sum(ticks[member] for member in family) / _TICKS


def _signal(group: int, number: int) -> None:
    with suppress(ProcessLookupError):
        os.killpg(group, number)
