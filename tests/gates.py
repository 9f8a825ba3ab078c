"""Two FIFOs between a test and code in another process: a byte in one says that somebody waits, one in the other lets
somebody through. The test holds both ends of both, so that nobody waits for a partner and no byte is lost.
"""

from __future__ import annotations

import os
from pathlib import Path


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
            count -= len(os.read(self._started, count))

    def let_through(self, count: int = 1) -> None:
        """Let `count` of those who wait, or are to come, through."""
        os.write(self._gate, b"x" * count)

    def close(self) -> None:
        """Let everyone through, so that a failing test ends."""
        self.let_through(100)
