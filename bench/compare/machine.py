"""Where and when a run was made, as its table says it."""

from __future__ import annotations

import os
import platform
import subprocess
from datetime import UTC, datetime

from bench.compare import environments
from bench.compare.places import ROOT


def about(peers: list[str], words: str) -> dict[str, object]:
    """Date, machine, commit, versions and how it was started."""
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "machine": f"{_cpu()}, {len(os.sched_getaffinity(0))} cores, {_memory():.0f} GB, Linux {platform.release()}",
        "load_before": os.getloadavg()[0],
        "commit": _commit(),
        "command": words,
        "versions": environments.versions(peers),
    }


def _cpu() -> str:
    with open("/proc/cpuinfo") as file:
        return next((line.partition(":")[2].strip() for line in file if line.startswith("model name")), "unknown CPU")


def _memory() -> float:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9


def _commit() -> str:
    command = ["git", "describe", "--always", "--abbrev=10", "--dirty"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "no git"
