"""What a process knows of being one of several. Its standard input is a socket to the supervisor.

A byte on it says that the doors are open; its end, that the supervisor has gone.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable

VARIABLE = "TANDEM_WORKER"  # set by the supervisor, for its workers alone
_SOCKET = 0


def is_worker() -> bool:
    """Whether this process shares its ports with others of its kind."""
    return VARIABLE in os.environ


def announce() -> None:
    """Tell the supervisor that the doors are open."""
    if is_worker():
        os.write(_SOCKET, b"1")


def on_orphaned(act: Callable[[], None]) -> None:
    """Call `act` on the event loop once the supervisor has gone."""
    if is_worker():
        asyncio.get_running_loop().add_reader(_SOCKET, _read, act)


def _read(act: Callable[[], None]) -> None:
    if not os.read(_SOCKET, 1):
        asyncio.get_running_loop().remove_reader(_SOCKET)
        act()
