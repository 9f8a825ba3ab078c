"""A minute at five times what the pair can do: what it still answers, how late, and how soon it is itself again.

    .venv/bin/python -m bench.overload [--times 5] [--seconds 60]

The peak is measured while the same generator sends the rest of the rate to a sink that refuses everything, since on
few cores the generator takes its share. Goodput is right answers a second within the time; the bound of p99 is
(48 rows + a batch) / goodput + 50 ms; recovery counts the right answers of the first second afterwards.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import threading
from pathlib import Path
from typing import cast

from bench.clients import bodies, load
from bench.compare import image
from bench.compare.overload import BATCH, ROWS, SLACK
from bench.compare.places import PYTHON
from bench.compare.processes import Command, free_ports, running
from bench.compare.systems import overloaded

_AFTERWARDS = 2.0  # seconds of a closed loop after the crowd has gone
_REFUSAL = b"HTTP/1.1 429 Too Many Requests\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}"


class _Sink(asyncio.Protocol):
    """Refuses each request once its headers are there."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        if b"\r\n\r\n" in data:
            self._transport.write(_REFUSAL)
            self._transport.close()


async def _sink(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(_Sink, "127.0.0.1", port, backlog=1024)
    await server.serve_forever()


def _peak(url: str, folder: Path, rate: float, seconds: float) -> load.Values:
    """A closed loop on the pair, beside arrivals at `rate` that go to the sink."""
    (port,) = free_ports(1)
    command = Command("sink", (PYTHON, "-m", "bench.overload", f"--sink={port}"))
    with running((command,), lambda: load.post(f"http://127.0.0.1:{port}/", b"{}")[0] == 429):
        beside = threading.Thread(target=load.arrivals, args=(f"http://127.0.0.1:{port}/", folder, rate, seconds))
        beside.start()
        peak = load.arrivals(url, folder, 0, seconds)
        beside.join()
    return peak


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.overload", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--times", type=float, default=5, help="of what the pair can do (5)")
    parser.add_argument("--seconds", type=float, default=60, help="of it (60)")
    parser.add_argument("--sink", type=int, help=argparse.SUPPRESS)
    return parser.parse_args()


def _show(peak: load.Values, alone: load.Values, crowd: load.Values) -> None:
    bound = (ROWS + BATCH) / max(crowd["goodput"], 1) + SLACK
    print(f"peak: {peak['goodput']:.1f} a second beside the generator, {alone['goodput']:.1f} without it")
    print(
        f"offered: {crowd['offered']:.0f} a second; {crowd['shed']:.0f} refused with 429, {crowd['failed']:.0f} not so"
    )
    print(f"goodput: {crowd['goodput']:.1f}, {crowd['goodput'] / peak['goodput']:.2f} of the peak (floor 0.9)")
    print(f"p99: {crowd['p99_ms']:.0f} ms, {crowd['p99_ms'] / 1e3 / bound:.2f} of its bound")
    print(f"p99 of the refused: {crowd['refused_p99_ms']:.0f} ms, which is the generator's and the door's")
    print(f"the first second afterwards: {crowd['next_second'] / alone['goodput']:.2f} of the peak (floor 0.9)")


def main() -> int:
    """Measure and print."""
    chosen = _options()
    if chosen.sink:
        asyncio.run(_sink(chosen.sink))
    system, folder = overloaded(ROWS), bodies.photos()["seed"]
    first = (folder / "000.json").read_bytes()
    with running(system.commands, lambda: load.post(system.url, first)[0] == 200):
        image.check(system, folder)
        load.arrivals(system.url, folder, 0, 3)
        alone = load.arrivals(system.url, folder, 0, 10)
        rate = chosen.times * alone["goodput"]
        peak = _peak(system.url, folder, rate - alone["goodput"], 15)
        crowd = load.arrivals(system.url, folder, rate, chosen.seconds, _AFTERWARDS)
        image.check(system, folder)
    _show(peak, alone, crowd)
    return 0


if __name__ == "__main__":
    sys.exit(main())
