"""Two FIFOs between a test and code in another process: a byte in one says that somebody waits, one in the other lets
somebody through. The test holds both ends of both, so that nobody waits for a partner and no byte is lost.
"""

from __future__ import annotations

import fcntl
import os
import select
import struct
import termios
from pathlib import Path

PATIENCE = 30.0  # seconds


class Gates:
    """The test's side. The other writes a byte to `started` and then reads one, unbuffered, from `gate`."""

    def __init__(self, folder: Path) -> None:
        self.started, self.gate = folder / "started", folder / "gate"
        for fifo in (self.started, self.gate):
            os.mkfifo(fifo)
        self._started, self._gate = (os.open(fifo, os.O_RDWR) for fifo in (self.started, self.gate))

    def wait_until_started(self, count: int) -> None:
        """Until `count` more have come to the gate."""
        while count:
            came, _, _ = select.select([self._started], [], [], PATIENCE)
            assert came, f"{count} never came to the gate {self.gate}"
            count -= len(os.read(self._started, count))

    def let_through(self, count: int = 1) -> None:
        """Let `count` of those who wait, or are to come, through."""
        os.write(self._gate, b"x" * count)

    @property
    def quiet(self) -> bool:
        """Whether all who were let through have gone, and nobody has come of whom the test does not know."""
        return not any(_unread(fifo) for fifo in (self._started, self._gate))

    def clear(self) -> None:
        """Forget who has come, and let nobody else through; when nobody waits."""
        for fifo in (self._started, self._gate):
            if size := _unread(fifo):
                os.read(fifo, size)

    def close(self) -> None:
        """Let everyone through, so that a failing test ends."""
        self.let_through(100)


def _unread(fifo: int) -> int:
    (size,) = struct.unpack("i", fcntl.ioctl(fifo, termios.FIONREAD, bytes(4)))
    return size
