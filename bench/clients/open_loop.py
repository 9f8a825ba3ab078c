"""Arrivals at a rate, whatever the answers, as a crowd does it; latency counts from when a request was due.

python -m bench.clients.open_loop URL --bodies=FOLDER --rate=120 --seconds=10; --rate=0: a closed loop of 32.
--afterwards=2: such a loop for two seconds more, to see how soon things are as before.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import time
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import numpy as np
import orjson
import uvloop

from bench.clients.bodies import EXPECTED_CLASS

CLIENTS = 32  # of the closed loop
_SEED, _LOOKED_AT = 13, 16  # every so many answers are looked at
_HEADERS = {"Content-Type": "application/json"}


class Crowd:
    """Requests and what became of them: seconds of the accepted, counts of the others."""

    def __init__(self, session: aiohttp.ClientSession, url: str, bodies: list[bytes], end: float) -> None:
        self._session, self._url, self._end = session, url, end
        self._bodies = itertools.cycle(bodies)
        self._numbers = itertools.count()
        self.accepted: list[float] = []
        self.moments: list[float] = []  # at which each was answered
        self.refused: list[float] = []  # seconds too
        self.in_time = self.failed = 0

    async def send(self, due: float) -> None:
        """One request, counted."""
        try:
            async with self._session.post(self._url, data=next(self._bodies), headers=_HEADERS) as answer:
                self._count(answer.status, await answer.read(), due)
        except (aiohttp.ClientError, TimeoutError):
            self.failed += 1

    async def client(self, end: float) -> None:
        """One request after another."""
        while (now := time.perf_counter()) < end:
            await self.send(now)

    def answered(self, start: float, end: float) -> int:
        """Right answers between two moments."""
        return sum(start <= moment < end for moment in self.moments)

    def _count(self, status: int, answer: bytes, due: float) -> None:
        now = time.perf_counter()
        if status == 429:
            self.refused.append(now - due)
        elif status != 200 or (next(self._numbers) % _LOOKED_AT == 0 and not _right(answer)):
            self.failed += 1
        else:
            self.moments.append(now)
            if due < self._end:
                self.accepted.append(now - due)
                self.in_time += now < self._end


def _right(answer: bytes) -> bool:
    outputs = {output["name"]: output["data"] for output in orjson.loads(answer)["outputs"]}
    return bool(outputs["classes"][0] == EXPECTED_CLASS)


def arrivals(rate: float, seconds: float) -> Iterator[float]:
    """Seconds after the start at which a Poisson process of `rate` has its events."""
    gaps, now = np.random.default_rng(_SEED), 0.0
    while (now := now + gaps.exponential(1 / rate)) < seconds:
        yield now


async def run(url: str, bodies: list[bytes], rate: float, seconds: float, afterwards: float = 0) -> dict[str, float]:
    """The crowd's figures; returns when its last request is answered."""
    timeout = aiohttp.ClientTimeout(total=60)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), timeout=timeout) as session:
        begin = time.perf_counter()
        end = begin + seconds
        crowd, sent = Crowd(session, url, bodies, end), 0
        async with asyncio.TaskGroup() as group:
            if not rate:
                for _ in range(CLIENTS):
                    group.create_task(crowd.client(end))
            for due in arrivals(rate, seconds) if rate else ():
                await asyncio.sleep(begin + due - time.perf_counter())
                group.create_task(crowd.send(begin + due))
                sent += 1
            for _ in range(CLIENTS if afterwards else 0):
                group.create_task(crowd.client(end + afterwards))
    return _figures(crowd, sent, seconds) | {"next_second": crowd.answered(end, end + 1)}


def _figures(crowd: Crowd, sent: int, seconds: float) -> dict[str, float]:
    p50, p90, p99 = np.percentile(crowd.accepted or [float("nan")], (50, 90, 99)) * 1e3
    latency = {"p50_ms": p50, "p90_ms": p90, "p99_ms": p99}
    if crowd.refused:
        latency["refused_p99_ms"] = float(np.percentile(crowd.refused, 99)) * 1e3
    counts = {"ok": len(crowd.accepted), "shed": len(crowd.refused), "failed": crowd.failed}
    return {"offered": sent / seconds, "goodput": crowd.in_time / seconds} | latency | counts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("--bodies", type=Path, required=True)
    parser.add_argument("--rate", type=float, default=0)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--afterwards", type=float, default=0)
    arguments = parser.parse_args()
    bodies = [file.read_bytes() for file in sorted(arguments.bodies.glob("*"))]
    chosen = (arguments.rate, arguments.seconds, arguments.afterwards)
    print(json.dumps(uvloop.run(run(arguments.url, bodies, *chosen))))


if __name__ == "__main__":
    main()
