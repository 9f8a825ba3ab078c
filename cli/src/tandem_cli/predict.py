"""`tandem predict`: photos to a running pair over HTTP, labels and timings back as tables."""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from tandem.timings import parse

from tandem_cli.commands import Commands

INPUTS = Path(".cache") / "try"  # where `tandem up --try` leaves request bodies to play with
SHOWN = ("preprocess", "hop", "queue", "inference", "postprocess")


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back for one photo; times in seconds."""

    labels: list[str]
    probabilities: list[float]
    phases: dict[str, float]


class Refused(Exception):
    """The pair's own words for why it did not answer."""


def add_to(commands: Commands) -> None:
    """Declare the command."""
    command = commands.add_parser("predict", help="classify photos with a running pair", allow_abbrev=False)
    command.add_argument("photos", nargs="+", type=Path, metavar="PHOTO", help="JPEG, PNG or WebP files")
    command.add_argument("--url", default="http://localhost:8000", help="the transformer's HTTP door [%(default)s]")
    command.add_argument("--model_name", "--model-name", default="custom-model", help="[%(default)s]")
    command.set_defaults(run=run)


def run(known: argparse.Namespace, rest: list[str]) -> int:
    """The command."""
    if rest:
        print(f"tandem: ignored {' '.join(rest)}", file=sys.stderr)
    console = Console()
    try:
        for photo in known.photos:
            console.print(table(photo, asyncio.run(classify(photo, known.url, known.model_name))))
    except (Refused, OSError, aiohttp.ClientError) as error:
        print(f"tandem: {error}", file=sys.stderr)
        return 1
    return 0


async def classify(photo: Path, url: str, model_name: str) -> Answer:
    """The pair's labels for one photo; raises Refused with its error text."""
    address = f"{url}/v2/models/{model_name}/infer"
    async with aiohttp.ClientSession() as session, session.post(address, json=rest_body(photo)) as reply:
        body: dict[str, Any] = await reply.json()
        if reply.status != 200:
            raise Refused(f"{photo}: {reply.status}: {body.get('error')}")
        outputs = {output["name"]: output["data"] for output in body["outputs"]}
        return Answer(outputs["labels"], outputs["output-0"], parse(reply.headers.get("Server-Timing", "")))


def table(photo: Path, answer: Answer) -> Table:
    """The labels of one photo, with the time of each phase below."""
    shown = Table(title=escape(str(photo)), caption=_timing(answer), caption_justify="left", min_width=80)
    shown.add_column("label")
    shown.add_column("probability", justify="right")
    for label, probability in zip(answer.labels, answer.probabilities, strict=True):
        shown.add_row(escape(label), f"{probability:.3f}")
    return shown


def rest_body(photo: Path) -> dict[str, Any]:
    """The JSON body that asks for one photo."""
    text = base64.b64encode(photo.read_bytes()).decode()
    return {"inputs": [{"name": "input-0", "shape": [1], "datatype": "BYTES", "data": [text]}]}


def grpc_body(photo: Path, model_name: str) -> dict[str, Any]:
    """The same for grpcurl, which wants bytes as base64."""
    text = base64.b64encode(photo.read_bytes()).decode()
    tensor = {"name": "input-0", "shape": [1], "datatype": "BYTES", "contents": {"bytes_contents": [text]}}
    return {"model_name": model_name, "inputs": [tensor]}


async def demonstrate(photo: Path, url: str, model_name: str, grpc_address: str) -> None:
    """Classify one photo, print the table, and print commands to try next, with bodies ready to send."""
    try:
        Console().print(table(photo, await classify(photo, url, model_name)))
    except Refused as error:
        print(f"tandem: {error}", file=sys.stderr)
        return
    INPUTS.mkdir(parents=True, exist_ok=True)
    (INPUTS / "input.json").write_text(json.dumps(rest_body(photo)))
    (INPUTS / "grpc.json").write_text(json.dumps(grpc_body(photo, model_name)))
    print(
        f"""Try it yourself:
  curl -H "Content-Type: application/json" -d @{INPUTS}/input.json {url}/v2/models/{model_name}/infer
  grpcurl -plaintext -d @ {grpc_address} inference.GRPCInferenceService/ModelInfer < {INPUTS}/grpc.json""",
        flush=True,
    )


def _timing(answer: Answer) -> str:
    phases = [f"{name} {answer.phases[name] * 1e3:.1f} ms" for name in SHOWN if name in answer.phases]
    return " · ".join(phases)
