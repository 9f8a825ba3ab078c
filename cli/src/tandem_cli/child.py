"""One service as a process of its own: its log with a prefix, and an end that is waited for."""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
import sys
from collections.abc import Sequence

_PR_SET_PDEATHSIG = 1  # linux/prctl.h


class Child:
    """A running service. It leads a session of its own, so that a Ctrl-C in the terminal reaches only `tandem up`."""

    def __init__(self, name: str, process: asyncio.subprocess.Process) -> None:
        self.name = name
        self._process = process

    @classmethod
    async def start(cls, name: str, module: str, arguments: Sequence[str]) -> Child:
        """Run `python -m module`; it gets SIGTERM if this process dies."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", module, *arguments),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=die_with_parent if sys.platform == "linux" else None,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
            limit=2**20,
        )
        return cls(name, process)

    async def relay(self) -> int:
        """Print each line of its log until it ends; returns its exit status, negative for a signal."""
        assert self._process.stdout  # noqa: S101 - a pipe was asked for
        async for line in self._process.stdout:
            print(f"{self.name:<11} | {line.decode(errors='replace').rstrip()}", flush=True)
        return await self._process.wait()

    async def stop(self) -> None:
        """Ask it to end, if it is still there, and wait until it has."""
        if self._process.returncode is None:
            self._process.terminate()
            await self._process.wait()

    def kill(self) -> None:
        """End it at once."""
        if self._process.returncode is None:
            self._process.kill()


def die_with_parent() -> None:
    """In a new process: ask the kernel for a SIGTERM when the parent ends, however it ends."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
