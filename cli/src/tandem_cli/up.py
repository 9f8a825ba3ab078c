"""`tandem up`: predictor and transformer as two processes, one log, one Ctrl-C.

start both -> wait until ready -> perhaps try a photo -> serve -> stop the transformer, then the predictor
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import ssl
import sys
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tandem import settings
from tandem.doors import grpc_server
from tandem.doors.grpc_server import Listen, PortTaken
from tandem_predictor.settings import Settings as PredictorSettings
from tandem_transformer.settings import Settings as TransformerSettings

from tandem_cli.child import Child
from tandem_cli.commands import Commands
from tandem_cli.flags import Shared, share
from tandem_cli.predict import demonstrate

BAD_USE = 2  # the exit status of a service that only its user can mend
ABOUT = """Start predictor and transformer as two processes and stop both on Ctrl-C. Any flag of either service may be
given: it goes to each that knows it. --predictor.X and --transformer.X go to one of them; --http_port and --grpc_port
without a prefix are the transformer's. See `tandem-predictor --help` and `tandem-transformer --help`."""
AFTER = """examples:
  tandem up --model_dir=models --model_name=digits --transformer=identity
  tandem up --model_dir=m --transformer=my.py:Mine --predictor.log_level=debug"""


def add_to(commands: Commands) -> None:
    """Declare the command."""
    command = commands.add_parser(
        "up",
        help="start a pair",
        description=ABOUT,
        epilog=AFTER,
        allow_abbrev=False,
    )
    command.add_argument(
        "--try", dest="try_photo", type=Path, metavar="PHOTO", help="classify it once the pair is ready"
    )
    command.set_defaults(run=run)


def run(known: argparse.Namespace, rest: list[str]) -> int:
    """The command. 0 after a clean stop; 2 for what only the user can mend; 1 if a service died."""
    shared = share(rest)
    for warning in shared.warnings:
        print(f"tandem: {warning}", file=sys.stderr)
    return asyncio.run(_Pair(shared, known.try_photo).run())


class _Pair:
    def __init__(self, shared: Shared, photo: Path | None) -> None:
        self._predictor_settings = _read(PredictorSettings, "tandem-predictor", shared.predictor)
        self._transformer_settings = _read(TransformerSettings, "tandem-transformer", shared.transformer)
        theirs = self._predictor_settings
        host = theirs.host or "localhost"
        hop = f"--predictor_host={host}:{theirs.grpc_port}"
        scheme = "https" if theirs.ssl_certfile else "http"
        metrics = f"--predictor_metrics_url={scheme}://{host}:{theirs.http_port}/metrics"
        self._arguments = {
            "predictor": ["--log_format=console", *shared.predictor],
            "transformer": ["--log_format=console", hop, metrics, *shared.transformer],
        }
        self._probe_ports()
        self._photo = photo
        self._stopping = asyncio.Event()
        self._status = 0
        self._children: list[Child] = []

    def _probe_ports(self) -> None:
        """End with status 2 if a port is taken: another pair behind it would look like ours."""
        for name, read in (("predictor", self._predictor_settings), ("transformer", self._transformer_settings)):
            for flag, port in (("http_port", read.http_port), ("grpc_port", read.grpc_port)):
                try:
                    grpc_server.probe(Listen(read.host, port), f"the {name} on port {port} (--{name}.{flag})")
                except PortTaken as error:
                    settings.die(f"tandem: {error}")

    async def run(self) -> int:
        """Start, watch, stop."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._signalled)
        async with asyncio.TaskGroup() as group:
            for name in ("predictor", "transformer"):
                child = await Child.start(name, f"tandem_{name}", self._arguments[name])
                self._children.insert(0, child)  # the transformer first: it is stopped first
                group.create_task(self._relay(child))
            welcome = group.create_task(self._welcome())
            await self._stopping.wait()
            welcome.cancel()
            for child in self._children:
                await child.stop()
        return self._status

    async def _relay(self, child: Child) -> None:
        status = await child.relay()
        if not self._stopping.is_set():
            print(f"tandem: the {child.name} ended with status {status}; stopping the pair", file=sys.stderr)
            self._status = BAD_USE if status == BAD_USE else 1
            self._stopping.set()
        elif status and not self._status:
            self._status = 1

    async def _welcome(self) -> None:
        """Wait until the pair is ready, then show what it does."""
        chosen = self._transformer_settings
        scheme = "https" if chosen.ssl_certfile else "http"
        url = f"{scheme}://{chosen.host or 'localhost'}:{chosen.http_port}"
        if chosen.ssl_ca_certs:
            print(f"tandem: started at {url}; whether it is ready is told to those with a certificate", flush=True)
            return
        while not await asyncio.to_thread(_is_ready, url):  # noqa: ASYNC110 - another process tells no event
            await asyncio.sleep(0.1)
        print(f"tandem: ready at {url}; Ctrl-C stops the pair", flush=True)
        if chosen.enable_ui:
            print(f"tandem: try the model and watch the pair in a browser: {url}/", flush=True)
        if self._photo and not (chosen.ssl_certfile or chosen.auth_token_file):
            await demonstrate(self._photo, url, self._transformer_settings.model_name, self._grpc_address())

    def _grpc_address(self) -> str:
        return f"{self._transformer_settings.host or 'localhost'}:{self._transformer_settings.grpc_port}"

    def _signalled(self) -> None:
        if self._stopping.is_set():  # the second time: no more waiting
            for child in self._children:
                child.kill()
        print("tandem: stopping; Ctrl-C again ends it at once", file=sys.stderr)
        self._stopping.set()


def _read(cls: type[Any], program: str, arguments: Sequence[str]) -> Any:
    """The settings that a service will read; ends with status 2 if it could not."""
    parsed, problems = settings.parse(cls, program, "", arguments, os.environ)
    if problems:
        settings.die(*(f"tandem: {problem}" for problem in problems))
    return cls(**parsed.values)


def _is_ready(url: str) -> bool:
    try:
        anyone = ssl._create_unverified_context()  # noqa: S323 - our own child, asked for a status and told nothing
        ours = urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=anyone)  # whatever http_proxy says
        with urllib.request.build_opener(*ours).open(f"{url}/v2/health/ready", timeout=1) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False
