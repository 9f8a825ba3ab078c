"""An example as its README has it: the command that runs it, and the requests with what they answer."""

from __future__ import annotations

import re
import shlex
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from contract import client
from harness import ROOT, Pair, Process, Service
from pages import Example, agree, examples, on_its_ports, run

INSTALLING = 600.0  # seconds; what an example needs is installed when it is run for the first time
TOLERANCE = 0.02  # of a probability: models that are trained here are not quite the same on every machine


class Refused(Exception):
    """The status and the error of an answer that is none."""


def names() -> list[str]:
    """Every example."""
    return sorted(readme.parent.name for readme in (ROOT / "examples").glob("*/README.md"))


def command(name: str) -> list[str]:
    """What the README says that runs it."""
    readme = (ROOT / "examples" / name / "README.md").read_text()
    (found,) = re.findall(r"^## Run it\n+<!-- .* -->\n```sh\n(.*)\n```$", readme, re.MULTILINE)
    return shlex.split(found)


def requests(name: str) -> list[Example]:
    """The README's requests."""
    return examples(f"../examples/{name}/README.md")


def compare(name: str, pair: Pair) -> None:
    """Send each of the README's requests, and hold what comes back against what the README says."""
    for request in requests(name):
        agree(request, run(on_its_ports(request.command, pair)), TOLERANCE)


@contextmanager
def running(name: str, *flags: str) -> Iterator[Pair]:
    """The README's command with free ports, from its start until Ctrl-C."""
    ports = [free_port() for _ in range(4)]
    door = ("--http_port", "--grpc_port", "--predictor.http_port", "--predictor.grpc_port")
    process = Process(*command(name), *(f"{flag}={port}" for flag, port in zip(door, ports, strict=True)), *flags)
    try:
        process.wait_for(lambda line: "tandem: ready at http://127.0.0.1:" in line, INSTALLING)
        yield Pair(Service(process, *ports[:2]), Service(process, *ports[2:]), name)
    finally:
        status = process.stop(signal.SIGINT)
    assert status == 0, process.log


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def ask(pair: Pair, model: str, name: str, datatype: str, shape: list[int], data: list[Any]) -> dict[str, Any]:
    """The data of each output, by name."""
    body = {"inputs": [{"name": name, "datatype": datatype, "shape": shape, "data": data}]}
    reply = client.ask(f"{pair.transformer.url}/v2/models/{model}/infer", "POST", body)
    if reply.status != 200:
        raise Refused(reply.status, reply.json["error"])
    return {output["name"]: output["data"] for output in reply.json["outputs"]}
