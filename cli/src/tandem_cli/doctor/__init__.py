"""`tandem doctor`: examine a running pair from outside.

options -> two services -> checks, one after the other -> findings -> lines or JSON
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from functools import partial

from rich.console import Console

from tandem_cli.commands import Commands
from tandem_cli.doctor import condition, doors, options, report
from tandem_cli.doctor.model import Subject
from tandem_cli.doctor.options import BadUse, Options
from tandem_cli.doctor.report import Finding, NotChecked, Problem
from tandem_cli.doctor.service import Service

BAD_USE = 2
_TOTAL = 6  # times the timeout: what all checks may take together
_Check = tuple[str, Callable[[], Awaitable[str]]]  # which gives what is well, or raises Problem


def add_to(commands: Commands) -> None:
    """Declare the command."""
    command = commands.add_parser(
        "doctor",
        help="check a running pair",
        description=options.ABOUT,
        epilog=options.AFTER,
        allow_abbrev=False,
    )
    options.add_arguments(command)
    command.set_defaults(run=run)


def run(known: argparse.Namespace, rest: list[str]) -> int:
    """The command. 0 if nothing failed, 1 if something did, 2 for bad use."""
    try:
        if rest:
            raise BadUse(f"unknown argument {rest[0]}; see `tandem doctor --help`")
        chosen = options.read(known)
    except BadUse as error:
        print(f"tandem: {error}", file=sys.stderr)
        return BAD_USE
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # gRPC would write of failed handshakes between our lines
    findings = asyncio.run(examine(chosen))
    if chosen.json:
        print(report.document(findings))
    else:
        report.show(findings, Console())
    return 0 if report.healthy(findings) else 1


async def examine(chosen: Options) -> list[Finding]:
    """What every check finds."""
    end = time.monotonic() + _TOTAL * chosen.timeout
    async with (
        Service(chosen.transformer, chosen.timeout) as transformer,
        Service(chosen.predictor, chosen.timeout) as predictor,
    ):
        subject = Subject(transformer, predictor, chosen.model_name)
        return [await finding(name, check, end) for name, check in checks(subject)]


async def finding(name: str, check: Callable[[], Awaitable[str]], end: float) -> Finding:
    """What one check finds, before the time `end`."""
    try:
        async with asyncio.timeout(max(0.0, end - time.monotonic())):
            return Finding(name, report.OK, report.printable(await check()))
    except Problem as problem:
        return Finding.of(name, problem)
    except TimeoutError:
        return Finding.of(name, NotChecked("the time is up; give more with --timeout"))
    except Exception as error:  # whatever a stranger's answer has led to: that is a finding too, and no end
        return Finding.of(name, Problem(f"it answers what nothing was prepared for: {error!r}"))


def checks(subject: Subject) -> Iterator[_Check]:
    """The checks in their order. Each is made before the next is asked for: what it learns decides what follows."""
    front, back = subject.transformer, subject.predictor
    yield from _service(front)
    yield "model name", subject.name
    yield from _service(back)
    yield "transformer: model", partial(subject.description, front)
    if not back.away:
        yield "predictor: model", partial(subject.description, back)
    yield "inference: HTTP", subject.infer_http
    yield "inference: gRPC", subject.infer_grpc
    if not back.away:
        yield "pair: same model", subject.same_model
        yield "pair: requests arrive", subject.behind
        yield "pair: versions", partial(condition.versions, front, back)
        yield "pair: size limits", partial(condition.sizes, front, back, subject.model or "none")
    yield "pair: hop", partial(condition.hop, front)
    for service in [front] if back.away else [front, back]:
        role = service.target.role
        yield f"{role}: gRPC size limit", partial(condition.grpc_size, service, subject.model or "none")


def _service(service: Service) -> Iterator[_Check]:
    """The checks of one service by itself."""
    role = service.target.role
    yield f"{role}: HTTP door", partial(doors.http_door, service)
    if service.away:
        return
    yield f"{role}: gRPC door", partial(doors.grpc_door, service)
    yield f"{role}: ready", partial(doors.ready, service)
    yield f"{role}: health", partial(doors.health, service)
    yield f"{role}: reflection", partial(doors.reflection, service)
    yield f"{role}: clock", partial(condition.clock, service)
    yield f"{role}: metrics", partial(condition.metrics, service)
    yield f"{role}: traffic", partial(condition.traffic, service)
