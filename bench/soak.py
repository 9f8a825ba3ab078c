"""Does memory stay flat? The pair under the seed's request at concurrency 32, for as long as is asked.

    make soak [MINUTES=10]        or        .venv/bin/python -m bench.soak --minutes 10 [--write]

Prints the memory of each process in the first and in the last minute after a minute of warm-up, and their difference.
With --write the plot goes to bench/plots/memory.svg.
"""

from __future__ import annotations

import argparse
import json
import sys
import threading
import time
from pathlib import Path
from statistics import median

from bench.clients import bodies, load
from bench.compare import report
from bench.compare.image import COST, check
from bench.compare.places import ROOT, WORK
from bench.compare.processes import Processes, running
from bench.compare.systems import IMAGE_SYSTEMS

INTERVAL = 2.0  # seconds between two looks
WARM_UP = 60.0  # seconds in which memory may still grow to what the load needs
Look = tuple[float, dict[str, float]]  # seconds since the start, MB by process


def options() -> argparse.Namespace:
    """What is to be run."""
    parser = argparse.ArgumentParser(prog="python -m bench.soak", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--minutes", type=float, default=10, help="of load, after a minute of warm-up (10)")
    parser.add_argument("--write", action="store_true", help="put the plot into bench/plots")
    return parser.parse_args()


def watched(processes: Processes, over: threading.Event) -> list[Look]:
    """The memory at each look, with a line of progress a minute."""
    looks: list[Look] = []
    start = time.monotonic()
    while not over.wait(INTERVAL):
        now = time.monotonic() - start
        looks.append((now, {name: size / 1e6 for name, size in processes.resident_by_name().items()}))
        if int(now / 60) > int((now - INTERVAL) / 60):
            sizes = ", ".join(f"{name} {size:.1f} MB" for name, size in looks[-1][1].items())
            print(f"soak: minute {int(now / 60)}: {sizes}", file=sys.stderr, flush=True)
    return looks


def lines(looks: list[Look]) -> list[str]:
    """For each process, the medians of the first and of the last minute after the warm-up."""
    end = looks[-1][0]
    first = [sizes for moment, sizes in looks if WARM_UP <= moment < WARM_UP + 60]
    last = [sizes for moment, sizes in looks if moment >= end - 60]
    found = []
    for name in looks[0][1]:
        before, after = median(sizes[name] for sizes in first), median(sizes[name] for sizes in last)
        found.append(
            f"{name}: {before:.1f} MB in the second minute, {after:.1f} MB in the last ({after - before:+.1f})"
        )
    return found


def main() -> int:
    """Run the load, print, and keep what was seen in .cache/bench/soak.json."""
    chosen = options()
    seconds = WARM_UP + 60 * chosen.minutes
    system, folder = IMAGE_SYSTEMS["tandem"](), bodies.photos()["seed"]
    first = (folder / "000.json").read_bytes()
    with running(system.commands, lambda: load.post(system.url, first)[0] == 200) as processes:
        check(system, folder)
        over, looks = threading.Event(), list[Look]()
        watcher = threading.Thread(target=lambda: looks.extend(watched(processes, over)))
        watcher.start()
        try:
            values = load.http(system.url, folder, COST, seconds)
        finally:
            over.set()
            watcher.join()
        check(system, folder)
    file = WORK / "soak.json"
    file.write_text(json.dumps({"memory": looks, "values": values}))
    counts = f"{values['ok']:.0f} right answers, {values['rps']:.0f} a second"
    print(f"{chosen.minutes:g} minutes at concurrency {COST}: {counts}")
    print(*lines(looks), sep="\n")
    if chosen.write:
        report.plots(file, Path(ROOT) / "bench" / "plots")
    return 0


if __name__ == "__main__":
    sys.exit(main())
