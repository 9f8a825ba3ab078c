"""`tandem bench`: load on a running pair, and what became of it.

arguments -> bodies, encoded once -> levels of load, one after another -> tables, a plot, JSON
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import Callable
from pathlib import Path

from tandem.errors import TandemError

from tandem_cli import access
from tandem_cli.access import BadUse, flag
from tandem_cli.commands import Commands

BAD_USE, INTERRUPTED = 2, 130
ABOUT = """Measure a running pair, or any server of the Open Inference Protocol: a closed loop (--concurrency: so many
callers, each waiting for its answer) or an open one (--rate: requests come when they come, and latency counts from when
each was due). Several values, with commas between, are measured one after another. Ctrl-C ends it with what was
measured."""
AFTER = """examples:
  tandem bench photos/ --concurrency 1,8,32       files, in turn
  tandem bench photos/ --rate 50,100,150 --duration 30
  tandem bench --url grpc://localhost:8081        made-up numbers, by the
    --model_name sums --batch 4                     model's metadata
  tandem bench --model_name m --shape x:1,3,224,224 --plot m.png

exit status: 0 if anything was answered, 1 if nothing was, 2 for bad use"""


def add_to(commands: Commands) -> None:
    """Declare the command."""
    command = commands.add_parser(
        "bench",
        help="measure a running pair",
        description=ABOUT,
        epilog=AFTER,
        allow_abbrev=False,
    )
    command.add_argument("sources", nargs="*", metavar="FILE", help="what to send: files, folders, patterns")
    flag(command, "model_name", "NAME", "the model to ask [custom-model]", default="custom-model")
    flag(command, "model_version", "VERSION", "its version [the newest]", default="")
    load = command.add_mutually_exclusive_group()
    flag(load, "concurrency", "N,N", "requests under way at a time [1,8,32]", type=_list(_count), default=[1, 8, 32])
    flag(load, "rate", "R,R", "requests a second, whatever the answers", type=_list(_rate))
    command.add_argument("--arrivals", choices=("poisson", "constant"), default="poisson", help="of --rate [poisson]")
    flag(command, "duration", "SECONDS", "of each measurement [10]", type=_seconds, default=10.0)
    flag(command, "warm_up", "SECONDS", "of the same load before it [2]", type=_seconds, default=2.0)
    flag(command, "batch", "ROWS", "of a made-up request [1]", type=_count, default=1)
    flag(command, "shape", "NAME:N,N", "of a made-up input; again for others", action="append", default=[])
    flag(command, "json", "FILE", "write the figures there", type=Path)
    flag(command, "plot", "FILE", "draw them there, .png or .svg (needs matplotlib)", type=Path)
    access.add_arguments(command, "http://localhost:8000", "the transformer")
    command.set_defaults(run=run)


def run(known: argparse.Namespace, rest: list[str]) -> int:
    """The command. 0 if anything was answered, 1 if nothing was, 2 for bad use."""
    from tandem_cli.bench.session import bench  # noqa: PLC0415 - other commands do not wait for what it imports

    os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # gRPC would write between our lines
    try:
        if rest:
            raise BadUse(f"unknown argument {rest[0]}; see `tandem bench --help`")
        return asyncio.run(bench(known))
    except BadUse as error:
        print(f"tandem: {error}", file=sys.stderr)
        return BAD_USE
    except (TandemError, OSError) as error:
        print(f"tandem: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return INTERRUPTED


def _list(one: Callable[[str], float]) -> Callable[[str], list[float]]:
    def parse(text: str) -> list[float]:
        return [one(part) for part in text.split(",")]

    parse.__name__ = "list of numbers"  # as argparse calls it where it does not fit
    return parse


def _count(text: str) -> int:
    if not text.isdecimal() or len(text) > 4 or not 1 <= int(text) <= 4096:
        raise argparse.ArgumentTypeError(f"{text[:20]} is no number from 1 to 4096")
    return int(text)


def _rate(text: str) -> float:
    return _within(float(text), 0.01, 1e6)


def _seconds(text: str) -> float:
    return _within(float(text), 0.1, 86_400)


def _within(value: float, low: float, high: float) -> float:
    if not low <= value <= high:
        raise argparse.ArgumentTypeError(f"{value:g} is not from {low:g} to {high:g}")
    return value
