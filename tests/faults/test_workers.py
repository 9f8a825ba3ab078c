"""--workers: several transformers behind one pair of ports look like one, to clients, to Prometheus and to signals."""

from __future__ import annotations

import os
import signal
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import grpc
import pytest
from contract.client import ask
from faults.test_handoff import nth
from faults.test_shutdown import GATED, grpc_infer, rest_infer
from gates import Gates
from harness import DIGITS, PATIENCE, Pair, Process, metric, start_predictor, start_transformer
from tandem import cpus

COUNT = 2
pytestmark = pytest.mark.skipif(cpus.available() < COUNT, reason="--workers is at most the CPUs, and there is one")


@pytest.fixture
def gates(tmp_path: Path) -> Gates:
    return Gates(tmp_path)


@pytest.fixture
def pair(gates: Gates) -> Iterator[Pair]:
    options = f"--transformer_options=started={gates.started},gate={gates.gate}"
    predictor = start_predictor("--model_name=digits", f"--model_dir={DIGITS}")
    flags = ("--model_name=digits", f"--transformer={GATED}:Gated", options, "--max_threads=2")
    transformer = start_transformer(predictor.grpc_port, *flags, f"--workers={COUNT}", wait=False)
    try:
        transformer.process.wait_for(nth(COUNT, "predictor: ready"))
        yield Pair(transformer, predictor, "digits")
    finally:
        transformer.process.stop()
        predictor.process.stop()


def workers(supervisor: Process) -> list[int]:
    """The processes that a supervisor has started."""
    children = Path(f"/proc/{supervisor.process.pid}/task/{supervisor.process.pid}/children")
    return [int(pid) for pid in children.read_text().split()]


def listening(port: int) -> int:
    """The sockets of this machine that take connections on `port`; 0A is Linux' state for that."""
    tables = [Path(f"/proc/net/{name}").read_text() for name in ("tcp", "tcp6")]
    rows = [line.split() for table in tables for line in table.splitlines()[1:]]
    return sum(row[1].endswith(f":{port:04X}") and row[3] == "0A" for row in rows)


def in_flight(pair: Pair) -> float:
    return metric(ask(f"{pair.transformer.url}/metrics").body.decode(), "tandem_in_flight_requests")


def folders() -> set[str]:
    return {name for name in os.listdir(tempfile.gettempdir()) if name.startswith("tandem-metrics-")}


def wait_until_counted(pair: Pair, requests: int, protocol: str) -> None:
    """An answer goes out before it is counted, and another worker than the one that counts may be asked."""
    labels = {"model_name": "digits", "protocol": protocol, "code": "OK"}
    end = time.monotonic() + PATIENCE
    while (
        found := metric(ask(f"{pair.transformer.url}/metrics").body.decode(), "tandem_requests_total", **labels)
    ) != requests:
        assert found < requests, "more are counted than there were"
        assert time.monotonic() < end, f"{found} requests are counted, expected {requests}"


def test_every_scrape_shows_the_sum_of_all(pair: Pair) -> None:
    for _ in range(20):
        assert rest_infer(pair, wait=False).status == 200
        with grpc.insecure_channel(pair.transformer.target) as channel:
            grpc_infer(channel, wait=False)
    for protocol in ("http", "grpc"):
        wait_until_counted(pair, 20, protocol)
    for _ in range(8):  # each on a connection of its own, which either worker may get
        exposition = ask(f"{pair.transformer.url}/metrics").body.decode()
        for protocol in ("http", "grpc"):
            labels = {"model_name": "digits", "protocol": protocol, "code": "OK"}
            assert metric(exposition, "tandem_requests_total", **labels) == 20
        assert metric(exposition, "request_preprocess_seconds_count", model_name="digits") == 40
        assert metric(exposition, "tandem_in_flight_requests") == 0
        assert metric(exposition, "tandem_ready") == 1
        assert metric(exposition, "tandem_predictor_channel_ready") == 1


def test_every_worker_listens_on_both_ports(pair: Pair) -> None:
    for port in (pair.transformer.http_port, pair.transformer.grpc_port):
        assert listening(port) == COUNT


def test_a_worker_that_dies_is_replaced_and_what_it_counted_is_kept(pair: Pair) -> None:
    process = pair.transformer.process
    for _ in range(10):
        rest_infer(pair, wait=False)
    wait_until_counted(pair, 10, "http")
    first, second = workers(process)
    os.kill(first, signal.SIGKILL)
    entry = process.entry("a worker ended; another is started")
    assert (entry["worker"], entry["status"]) == (first, -signal.SIGKILL)
    process.wait_for(nth(COUNT + 1, "predictor: ready"))
    assert second in workers(process)
    assert len(workers(process)) == COUNT
    for _ in range(10):
        assert rest_infer(pair, wait=False).status == 200
    wait_until_counted(pair, 20, "http")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_drains_every_worker(pair: Pair, gates: Gates, number: int) -> None:
    before = folders()
    process = pair.transformer.process
    pids = workers(process)
    with ThreadPoolExecutor(4) as pool, closing(gates):
        calls = [pool.submit(rest_infer, pair, wait=True) for _ in range(4)]
        gates.wait_until_started(2)  # more, unless one worker has got all connections
        assert any(in_flight(pair) == 4 for _ in range(1000))
        os.killpg(process.process.pid, number)  # as a terminal does it
        process.wait_for(nth(COUNT, "draining"))
        gates.let_through(4)
        assert [call.result().status for call in calls] == [200] * 4
    assert process.end() == 0
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)
    assert len(before - folders()) == 1


def test_workers_end_with_their_supervisor(pair: Pair) -> None:
    process = pair.transformer.process
    process.process.kill()
    process.wait_for(nth(COUNT, '"stopped"'))
    assert process.end() == -signal.SIGKILL


def test_more_than_there_are_cpus_are_not_started() -> None:
    predictor = start_predictor("--model_name=digits", f"--model_dir={DIGITS}", "--workers=3")
    try:
        predictor.process.wait_for(lambda line: "--workers=3 is taken as 1: one process serves" in line)
        transformer = start_transformer(
            predictor.grpc_port, "--model_name=digits", "--transformer=identity", "--workers=1000"
        )
        try:
            available = cpus.available()
            transformer.process.wait_for(lambda line: f"--workers=1000 is taken as {available}: there are" in line)
            assert transformer.process.entry("workers")["count"] == available
        finally:
            transformer.process.stop()
    finally:
        predictor.process.stop()


@pytest.mark.parametrize("flag", ["http_port", "grpc_port"])
def test_a_taken_port_is_told_once(pair: Pair, flag: str) -> None:
    taken = getattr(pair.transformer, flag)
    flags = {"http_port": 0, "grpc_port": 0} | {flag: taken}
    command = [f"--{name}={port}" for name, port in flags.items()]
    second = Process.python("tandem_transformer", "--host=127.0.0.1", f"--workers={COUNT}", *command)
    assert second.end() == 2
    (line,) = second.lines
    assert f"port {taken} (--{flag}): it is taken" in line


def test_what_keeps_the_workers_from_starting_is_told_once() -> None:
    command = ("--host=127.0.0.1", "--http_port=0", "--grpc_port=0", "--transformer=nix", f"--workers={COUNT}")
    process = Process.python("tandem_transformer", *command)
    assert process.end() == 2
    (line,) = process.lines
    assert "--transformer=nix: expected" in line
