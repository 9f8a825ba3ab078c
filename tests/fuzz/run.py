"""make fuzz: every target for some minutes, as many side by side as there are CPUs.

What reaches new branches is kept in .cache/fuzz and is where the next run begins. An input that breaks a promise is
kept there too, ends its target's run, and is tried first the next time; once mended, it belongs into FOUND.

    python -m fuzz.run --minutes 30 --jobs 2 json_request wire_frames
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tandem.cpus import available

from fuzz import targets

FOLDER = Path(".cache/fuzz")
_STATUS = re.compile(r"^#(\d+)\s.*?\bcov: (\d+)", re.MULTILINE)  # libFuzzer's lines of progress
_TOLD = 60.0  # seconds between two lines about a target


@dataclass(frozen=True)
class Result:
    """What a target's run came to."""

    name: str
    minutes: float
    executions: int
    coverage: int  # edges of our own code, that of the target among them
    status: int  # libFuzzer's; 0: nothing found

    def __str__(self) -> str:
        words = "nothing found" if not self.status else f"FOUND SOMETHING (status {self.status})"
        return (
            f"{self.name:14} {self.minutes:5.1f} min {self.executions:10,} executions {self.coverage:6} edges  {words}"
        )


def fuzz(name: str, seconds: int) -> Result:
    """Run one target, and tell each minute how far it is."""
    folder = FOLDER / name
    folder.mkdir(parents=True, exist_ok=True)
    log, start = folder / "log", time.monotonic()
    with log.open("wb") as output:
        command = [sys.executable, "-m", "fuzz.one", name, f"--seconds={seconds}", f"--folder={folder}"]
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
        try:
            while (status := _waited(process)) is None:
                print(_result(name, log, start, 0), flush=True)
        finally:
            process.terminate()
    result = _result(name, log, start, status)
    print(result, *([_tail(log)] if status else []), sep="\n", flush=True)
    return result


def _waited(process: subprocess.Popen[bytes]) -> int | None:
    try:
        return process.wait(_TOLD)
    except subprocess.TimeoutExpired:
        return None


def _result(name: str, log: Path, start: float, status: int) -> Result:
    lines = _STATUS.findall(log.read_text(errors="replace"))
    executions, coverage = map(int, lines[-1]) if lines else (0, 0)
    return Result(name, (time.monotonic() - start) / 60, executions, coverage, status)


def _tail(log: Path) -> str:
    """The end of the log: the traceback, and where the input is."""
    return "\n".join(log.read_text(errors="replace").splitlines()[-40:])


def main() -> int:
    """Run, print, and end with 1 if anything was found."""
    parser = argparse.ArgumentParser(prog="python -m fuzz.run", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--minutes", type=float, default=30, help="for each target")
    parser.add_argument("--jobs", type=int, default=available(), help="targets side by side")
    parser.add_argument("names", nargs="*", default=targets.names(), metavar="TARGET", help=", ".join(targets.names()))
    chosen = parser.parse_args()
    if unknown := set(chosen.names) - set(targets.names()):
        parser.error(f"there is no target {', '.join(sorted(unknown))}; there are {', '.join(targets.names())}")
    with ThreadPoolExecutor(chosen.jobs) as pool:
        results = list(pool.map(lambda name: fuzz(name, round(chosen.minutes * 60)), chosen.names))
    print("", *results, sep="\n")
    return int(any(result.status for result in results))


if __name__ == "__main__":
    sys.exit(main())
