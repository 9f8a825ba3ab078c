"""Workload (b): a model that gives back what it gets, so that only serving is left; and the hop alone."""

from __future__ import annotations

import http.client
import re
import time
import urllib.parse
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import orjson

from bench.clients import bodies, load
from bench.compare.plan import Plan
from bench.compare.processes import Failed, Processes, running, undisturbed, wait_for_quiet
from bench.compare.results import Results
from bench.compare.systems import NOOP_SYSTEMS, System, hop

_NUMBER = b'{"inputs":[{"name":"number","shape":[1],"datatype":"FP32","data":[0.5]}]}'
_NO_JSON = {"6.2 MB"}  # 16 MB of JSON, which a peer takes seconds for
_SMALL = "16 B"  # measured over gRPC in turns
_LONG = 6  # seconds at least, as one such request may take three
_HOP_WARM_UP = 10  # calls


@dataclass(frozen=True, slots=True)
class Turn:
    """One system's turn in one round."""

    name: str
    system: System
    plan: Plan
    results: Results
    number: int

    def add(self, case: str, run: Callable[[], load.Values]) -> None:
        """Measure a case."""
        self.results.add(case, self.name, self.number, self.plan.measured(run))


def measure(plan: Plan, results: Results) -> None:
    """Every system once a round, then the hop with and without shared memory."""
    for number in range(plan.rounds):
        wait_for_quiet(plan.patience)
        with results.surviving(f"{_SMALL} in turns"):
            _small(plan, results, number)
        for name, choose in NOOP_SYSTEMS.items():
            if plan.wants(name):
                wait_for_quiet(plan.patience)
                with results.surviving(f"{name}, no-op"):
                    _serve(Turn(name, choose(), plan, results, number))
        for choice in ("auto", "off") if plan.wants("tandem") else ():
            wait_for_quiet(plan.patience)
            with results.surviving(f"hop {choice}"):
                _hop(choice, plan, results, number)


def _small(plan: Plan, results: Results, number: int) -> None:
    """The smallest tensor over gRPC: all systems run, and have the machine in short turns."""
    once: dict[tuple[str, str], Callable[[], load.Values]] = {}
    with ExitStack() as stack:
        for name in filter(plan.wants, NOOP_SYSTEMS):
            system = NOOP_SYSTEMS[name]()
            stack.enter_context(running(system.commands, _ready(system))).settle()
            for concurrency in (1, 32):
                case = f"no-op {_SMALL} gRPC raw c={concurrency}"
                once[case, name] = partial(_grpc, system, _SMALL, concurrency, plan.seconds / 2)
        for (case, name), values in plan.in_turns(dict(sorted(once.items()))).items():
            results.add(case, name, number, values)


def _serve(turn: Turn) -> None:
    system, plan = turn.system, turn.plan
    with running(system.commands, _ready(system)) as processes:
        for payload in plan.payloads:
            for concurrency in (1, 32) if payload != _SMALL else ():
                processes.settle()
                run = partial(_grpc, system, payload, concurrency, plan.seconds)
                turn.add(f"no-op {payload} gRPC raw c={concurrency}", run)
            for form in ("binary", "JSON") if system.url else ():
                if form == "binary" or payload not in _NO_JSON:
                    _over_http(turn, processes, payload, form)


def _grpc(system: System, payload: str, concurrency: int, seconds: float) -> load.Values:
    return load.grpc(system.target, payload, concurrency, seconds, proxy=not system.url)


def _over_http(turn: Turn, processes: Processes, payload: str, form: str) -> None:
    url = turn.system.url
    folder = bodies.tensor_files(payload)[form]
    sent = bodies.tensors(payload, 1)[0]
    length = bodies.binary_tensor(sent)[1] if form == "binary" else None
    status, answer, headers = load.post(url, (folder / "0").read_bytes(), length)
    if status != 200 or not np.array_equal(_tensor(answer, headers), sent.ravel()):
        raise Failed(f"{turn.name} answers {payload} of {form} wrongly: {status} {answer[:200]!r}")
    seconds = max(turn.plan.seconds, _LONG if payload in _NO_JSON else 0)
    for concurrency in (1,) if payload in _NO_JSON else turn.plan.http_concurrencies:
        processes.settle()
        run = partial(load.http, url, folder, concurrency, seconds, length)
        turn.add(f"no-op {payload} HTTP {form} c={concurrency}", run)


def _tensor(answer: bytes, headers: dict[str, str]) -> Any:
    """The numbers of an answer, from JSON or from behind it."""
    length = {key.lower(): value for key, value in headers.items()}.get("inference-header-content-length")
    if length is not None:
        return np.frombuffer(answer[int(length) :], np.float32)
    return np.array(orjson.loads(answer)["outputs"][0]["data"], np.float32).ravel()


def _ready(system: System) -> Callable[[], bool]:
    return partial(_answers_http if system.url else _answers_grpc, system)


def _answers_http(system: System) -> bool:
    return load.post(system.url, bodies.json_tensor(bodies.tensors("16 B", 1)[0]))[0] == 200


def _answers_grpc(system: System) -> bool:
    try:
        return load.grpc(system.target, "16 B", 1, 0.05, proxy=True)["ok"] > 0
    except RuntimeError:
        return False


def _hop(choice: str, plan: Plan, results: Results, number: int) -> None:
    system = hop(choice)
    with running(system.commands, lambda: load.post(system.url, _NUMBER)[0] == 200):
        results.add(f"hop {choice}", "tandem", number, plan.measured(partial(_hops, system.url, plan.seconds)))


def _hops(url: str, seconds: float) -> load.Values:
    """One request after another; the transformer itself says what the hop took."""
    address = urllib.parse.urlsplit(url)
    connection = http.client.HTTPConnection(address.netloc, timeout=30)
    for _ in range(_HOP_WARM_UP):
        _hop_milliseconds(connection, address.path)
    values: load.Values = {}
    begin, hops = time.perf_counter(), []
    with undisturbed(values):
        while time.perf_counter() - begin < seconds:
            hops.append(_hop_milliseconds(connection, address.path))
    p50, p99 = (float(value) for value in np.percentile(hops, (50, 99)))
    connection.close()
    return values | {"rps": len(hops) / (time.perf_counter() - begin), "hop_p50_ms": p50, "hop_p99_ms": p99}


def _hop_milliseconds(connection: http.client.HTTPConnection, path: str) -> float:
    connection.request("POST", path, _NUMBER, {"Content-Type": "application/json"})
    answer = connection.getresponse()
    body, header = answer.read(), answer.getheader("Server-Timing") or ""
    found = re.search(r"hop;dur=([\d.]+)", header)
    if answer.status != 200 or found is None:
        raise Failed(f"the hop alone: {answer.status} {body[:200]!r} {header}")
    return float(found[1])
