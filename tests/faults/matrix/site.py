"""A predictor and two transformers before it: one beside it, one that reaches it over gRPC alone, through a proxy."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from weakref import WeakSet

from contract.client import ask
from faults.matrix.calls import MODEL, Asked, Call, GrpcCall, HttpCall
from faults.matrix.proxy import Proxy
from gates import PATIENCE, Gates
from harness import Service, launch_transformer, met, metric, start_predictor

HERE = Path(__file__).parent
PROTOCOLS = ("http", "grpc")
STEPS = ("preprocess", "predict", "postprocess")
THREADS = 3  # of each transformer: one for each door's request, one for a bystander
GRPC_ALONE = ("--local_socket=off", "--shared_memory=off")
_COUNTED = re.compile(r'tandem_requests_total\{code="(\w+)",model_name="\w+",protocol="(\w+)"\} (\S+)')


class Site:
    """The processes of one or many cases, and the gates in them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._calls: WeakSet[Call] = WeakSet()
        for step in STEPS:
            (folder / step).mkdir()
            (folder / step / "ran").touch()
        shutil.copy(HERE / "model.py", folder / "predict")
        self.gates = {step: Gates(folder / step) for step in STEPS}
        self.predictor = self._start_predictor(0)
        self.hop = Proxy(self.predictor.grpc_port)
        options = (f"--transformer_options=folder={folder}", f"--max_threads={THREADS}", f"--model_name={MODEL}")
        flags = (f"--transformer={HERE / 'stations.py'}:Stations", *options)
        launched = [
            launch_transformer(self.predictor.grpc_port, *flags),
            launch_transformer(self.hop.port, *flags, *GRPC_ALONE),
        ]
        self.near, self.far = self.transformers = tuple(met(process) for process in launched)
        until(lambda: self._near_connected() > 0, "a local socket")
        self.ways = [(service, protocol) for service in self.transformers for protocol in PROTOCOLS]
        self.doors = {service.http_port: Proxy(service.grpc_port) for service in self.transformers}

    def call(self, service: Service, protocol: str, asked: Asked, *, complete: bool = True) -> Call:
        """One call to a transformer."""
        if protocol == "http":
            call: Call = HttpCall(service.http_port, asked, complete=complete)
        else:
            call = GrpcCall(self.doors[service.http_port], asked)
        self._calls.add(call)
        return call

    def ran(self, step: str) -> set[int]:
        """The numbers that a step has begun with."""
        return {int(line) for line in (self._folder / step / "ran").read_text().split()}

    def stop_predictor(self) -> None:
        self.predictor.process.send(signal.SIGSTOP)

    def resume_predictor(self) -> None:
        self.predictor.process.send(signal.SIGCONT)

    def reset_hop(self) -> None:
        """Reset the gRPC connections to the predictor, and wait until the transformer has read it.

        A call that is sent before that fails with the connection, since nobody knows what the predictor has read.
        """
        before = opened(self.far, self.hop.port)
        assert before
        self.hop.reset()
        until(lambda: not before & files(self.far), "the transformer knows")

    def replace_predictor(self) -> None:
        """Another one behind the same port, which both transformers find by themselves."""
        before = self._near_connected()
        self.predictor = self._start_predictor(self.predictor.grpc_port)
        for service in self.transformers:
            until(lambda service=service: self.call(service, "http", Asked()).outcome == "OK", "answers again")
        until(lambda: self._near_connected() > before, "a new local socket")

    def close(self) -> None:
        for call in self._calls:
            call.leave()
        self.resume_predictor()
        for gates in self.gates.values():
            gates.close()
        for service in (*self.transformers, self.predictor):
            service.process.stop()
        for proxy in (self.hop, *self.doors.values()):
            proxy.close()

    def _start_predictor(self, port: int) -> Service:
        flags = (f"--model_name={MODEL}", f"--model_dir={self._folder / 'predict'}", "--allow_python_models")
        return start_predictor(*flags, "--max_batch_size=8", grpc_port=port)

    def _near_connected(self) -> int:
        """How often the transformer beside the predictor has found its local socket."""
        words = "small calls go over a local socket"
        return sum(words in line for line in list(self.near.process.lines))


def until(check: Callable[[], bool], what: str) -> None:
    """Ask until it is so."""
    end = time.monotonic() + PATIENCE
    while not check():
        assert time.monotonic() < end, f"never: {what}"


def value(service: Service, name: str) -> float:
    return metric(ask(f"{service.url}/metrics").body.decode(), name)


def counts(service: Service) -> Counter[tuple[str, str]]:
    """How many requests have ended, by protocol and code."""
    found = _COUNTED.findall(ask(f"{service.url}/metrics").body.decode())
    return Counter({(protocol, code): int(float(number)) for code, protocol, number in found})


def connections(port: int) -> int:
    """The connections of this machine's clients to `port` that its server has not closed: established, or left."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return sum(row[1].endswith(f":{port:04X}") and row[3] in ("01", "08") for row in rows)


def files(service: Service) -> set[str]:
    """What a service has open, as /proc names it."""
    found = set()
    for file in Path(f"/proc/{service.process.process.pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # closed meanwhile
            found.add(os.readlink(file))
    return found


def opened(service: Service, port: int) -> set[str]:
    """Its connections to `port`, as `files` names them; gRPC's are IPv6 that speaks IPv4, where there is IPv6."""
    tables = [Path("/proc/net", name) for name in ("tcp", "tcp6")]
    rows = [line.split() for table in tables if table.exists() for line in table.read_text().splitlines()[1:]]
    return {f"socket:[{row[9]}]" for row in rows if row[2].endswith(f":{port:04X}")} & files(service)
