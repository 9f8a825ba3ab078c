"""The CPUs: how many this container may use, by its cgroup's quota and affinity, and who gives way to whom on them."""

from __future__ import annotations

import asyncio
import math
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")
_NICER = 5  # than the process, whose own may be anything; the kernel gives such a thread a third of the time


def available(cgroups: Path = Path("/sys/fs/cgroup"), membership: Path = Path("/proc/self/cgroup")) -> int:
    """Whole CPUs, at least 1: the smaller of the affinity mask and the cgroup's quota, rounded up."""
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min([affinity, *map(math.ceil, _quotas(cgroups, membership))]))


def let_others_finish() -> None:
    """Let this thread, and those that it starts, wait for the end of a running one's slice when they wake.

    A request wakes a dozen threads in turn, each of which would push aside who runs (docs/performance.md has what it
    gains). On idle CPUs nobody waits. Source: sched(7), SCHED_BATCH.
    """
    if sys.platform == "linux" and os.sched_getscheduler(0) == os.SCHED_OTHER:  # else somebody has chosen another
        with suppress(OSError):  # a sandbox may not have it
            os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))


def stand_back() -> None:
    """Let this thread take the CPU time that the others leave: its event loop, and the engine next door.

    Without it, preprocessing many requests at a time slows down the two that they all wait for (docs/performance.md).
    """
    if sys.platform == "linux":  # elsewhere the niceness is that of the whole process
        own = os.getpriority(os.PRIO_PROCESS, os.getpid())  # the main thread's
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), own + _NICER)


async def apart(work: Callable[[], T]) -> T:
    """What `work` gives, for what may take long: it is done in a thread, which lets the event loop in between."""
    return await asyncio.to_thread(work)


def _quotas(cgroups: Path, membership: Path) -> Iterator[float]:
    """Every quota that binds this process, in CPUs: its own cgroup's and those of the ones around it."""
    own = _read(membership).rpartition("0::/")[2].strip()  # version 2; empty inside a cgroup namespace
    folder = cgroups / own
    for place in [folder, *folder.parents]:
        if place.is_relative_to(cgroups):
            yield from _quota(*_read(place / "cpu.max").split()[:2])
    yield from _quota(_read(cgroups / "cpu" / "cpu.cfs_quota_us"), _read(cgroups / "cpu" / "cpu.cfs_period_us"))


def _quota(quota: str = "", period: str = "") -> Iterator[float]:
    try:
        if int(quota) > 0:  # version 1 writes -1 for none, version 2 "max"
            yield int(quota) / int(period)
    except ValueError:
        return


def _read(file: Path) -> str:
    try:
        return file.read_text()
    except OSError:
        return ""
