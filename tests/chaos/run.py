"""make chaos: a crowd of clients on both doors of a real pair, while its predictor is killed and restarted at random.

Afterwards: every good request was answered rightly or refused with 429, 503 or 504 (or their gRPC twins), none wrongly;
nothing is in flight; threads, file descriptors, shared memory and memory are back where they began.

    python -m chaos.run --minutes 5 --seed 1
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import sys
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from contract.client import ask
from harness import DIGITS, Process, Service, metric, start_predictor, start_transformer
from tandem.memory.region import SHM

GRACE = "--grace=4"  # seconds: a predictor that is stopped alone is never idle, as its transformer keeps asking
MODEL = ("--model_name=digits", f"--model_dir={DIGITS}", "--enable_latency_logging=false", GRACE)
GROWTH = 64.0  # MB that the transformer may have gained
SETTLED = 20.0  # seconds within which all must be quiet again


@dataclass(frozen=True)
class Held:
    """What a process has of the system's resources."""

    threads: int
    files: int
    megabytes: float

    @classmethod
    def of(cls, pid: int) -> Held:
        folder = Path(f"/proc/{pid}")
        pages = int((folder / "statm").read_text().split()[1])
        threads, files = len(os.listdir(folder / "task")), len(os.listdir(folder / "fd"))
        return cls(threads, files, pages * os.sysconf("SC_PAGE_SIZE") / 1e6)


class Run:
    """One run. The crowd is a process of its own: gRPC does not survive the forks that start a predictor."""

    def __init__(self, minutes: float, seed: int) -> None:
        self.chance = random.Random(seed)
        self.seconds = minutes * 60
        self.deaths: Counter[str] = Counter()
        self.predictor = start_predictor(*MODEL)
        flags = ("--transformer=identity", "--model_name=digits", "--enable_latency_logging=false", GRACE)
        self.transformer = start_transformer(self.predictor.grpc_port, *flags)

    def go(self) -> tuple[dict[str, dict[str, int]], list[str]]:
        """The outcomes by client, and what is wrong with what is left afterwards."""
        self._crowd(5).end(60)  # a quiet start: what is needed in any case
        before = Held.of(self.transformer.process.process.pid)
        end = time.monotonic() + self.seconds
        crowd = self._crowd(self.seconds)
        try:
            self._kill(end - 8)
        except BaseException:
            crowd.kill()
            raise
        if crowd.end(self.seconds + 120):
            return {}, [f"the crowd failed: {crowd.log[-2000:]}"]
        return json.loads(crowd.lines[-1]), self._left(before)

    def _crowd(self, seconds: float) -> Process:
        ports = (str(self.transformer.http_port), str(self.transformer.grpc_port))
        return Process.python("chaos.clients", *ports, str(seconds), str(self.chance.random()))

    def _kill(self, end: float) -> None:
        """The predictor dies, by SIGKILL mostly, stays away for a while, and comes back to the same port."""
        while time.monotonic() < end:
            time.sleep(self.chance.uniform(2, 8))
            number = self.chance.choice((signal.SIGKILL, signal.SIGKILL, signal.SIGTERM))
            self.deaths[number.name] += 1
            self.predictor.process.stop(number)
            time.sleep(self.chance.uniform(0, 2))
            self.predictor = start_predictor(*MODEL, grpc_port=self.predictor.grpc_port)

    def _left(self, before: Held) -> list[str]:
        """What is not as it was, once all had time to settle."""
        problems: list[str] = []
        end = time.monotonic() + SETTLED
        while time.monotonic() < end and (problems := list(self._problems(before))):
            time.sleep(0.5)
        return problems

    def _problems(self, before: Held) -> list[str]:
        now = Held.of(self.transformer.process.process.pid)
        found = [
            f"{service.process.process.args}: {flying:g} requests in flight"
            for service in (self.transformer, self.predictor)
            if (flying := in_flight(service))
        ]
        if now.threads > before.threads + 2:
            found.append(f"{now.threads} threads, {before.threads} at first")
        if now.files > before.files + 5:
            found.append(f"{now.files} open files, {before.files} at first")
        if now.megabytes > before.megabytes + GROWTH:
            found.append(f"{now.megabytes:.0f} MB, {before.megabytes:.0f} at first")
        if names := [name for name in os.listdir(SHM) if name.startswith("tandem-")]:
            found.append(f"left in /dev/shm: {names}")
        if ask(f"{self.transformer.url}/v2/health/ready").status != 200:
            found.append("the transformer is not ready")
        return found

    def stop(self) -> list[str]:
        """End both; what was wrong with that."""
        statuses = {"transformer": self.transformer.process.stop(), "predictor": self.predictor.process.stop()}
        return [f"the {name} ended with {status}" for name, status in statuses.items() if status]


def in_flight(service: Service) -> float:
    return metric(ask(f"{service.url}/metrics").body.decode(), "tandem_in_flight_requests")


def main() -> int:
    """Run, print, and end with 1 if anything was not as promised."""
    parser = argparse.ArgumentParser(prog="python -m chaos.run", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--seed", type=int, default=1, help="of all that is left to chance here")
    chosen = parser.parse_args()
    run = Run(chosen.minutes, chosen.seed)
    try:
        clients, problems = run.go()
    finally:
        at_end = run.stop()
    problems += at_end
    for name, outcomes in clients.items():
        print(f"{name:12} " + ", ".join(f"{outcome} {count}" for outcome, count in outcomes.items()))
        problems += [f"{name}: {outcome} ({count})" for outcome, count in outcomes.items() if outcome[:1].isupper()]
    print(f"the predictor was ended {sum(run.deaths.values())} times: {dict(run.deaths)}")
    print(*(f"NOT AS PROMISED: {problem}" for problem in problems), sep="\n")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
