"""What a hostile input may do to a pair: be refused, soon. `unharmed` holds it to that.

A bystander asks right questions all the while and gets right answers; neither service takes memory; nothing stays
in flight.
"""

from __future__ import annotations

import http.client
import json
import re
import select
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import onnxruntime
from contract.client import ask
from harness import DIGITS, PHOTOS, Pair, Service, metric
from tandem.oip import inference_pb2 as pb
from tandem.oip import inference_pb2_grpc as pb_grpc

GROWTH = 64 * 2**20  # bytes that either service may take more at its peak
SECONDS = 10.0  # for one case
PATIENCE = 10.0  # of an attacker for an answer, of a bystander for his
MOST = 8 * 2**20  # --max_message_bytes of the guarded pair; a message is held a few times over at its peak
CLOSED = 0  # stands for the status where the connection was closed without a word
INFER = "/v2/models/digits/infer"
IMAGE = np.random.default_rng(3).random((1, 8, 8), np.float32)
PROBABILITIES = onnxruntime.InferenceSession(str(next(DIGITS.rglob("model.onnx")))).run(None, {"image": IMAGE})[0]
WEIGHED: list[tuple[float, int, float]] = []  # of each case: its seconds, bytes, and a bystander's longest wait

Ask = Callable[[], bool]


class Bystander:
    """Asks one thing after another in a thread; `wrong` tells what was not answered rightly."""

    def __init__(self, asks: list[Ask]) -> None:
        self.wrong: list[str] = []
        self.rounds = 0
        self.longest = 0.0  # seconds of a round
        self._asks = asks
        self._stop, self._hurry = threading.Event(), threading.Event()
        self._round = threading.Condition()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Bystander:
        self._thread.start()
        self.until(1)
        return self

    def __exit__(self, *_: object) -> None:
        self._hurry.set()
        try:
            self.until(self.rounds + 2)  # the next may have begun before now
        finally:
            self._stop.set()
            self._thread.join()

    def until(self, rounds: int) -> None:
        """Wait for the end of that round."""
        with self._round:
            came = self._round.wait_for(lambda: self.rounds >= rounds, 3 * PATIENCE)
        assert came, "nobody answers the bystander"

    def _run(self) -> None:
        while not self._stop.is_set():
            begun = time.monotonic()
            for question in self._asks:
                try:
                    if not question():
                        self.wrong.append("a wrong answer")
                except Exception as error:
                    self.wrong.append(repr(error))
            with self._round:
                self.longest = max(self.longest, time.monotonic() - begun)
                self.rounds += 1
                self._round.notify_all()
            self._hurry.wait(0.02)  # leaves the machine to the attackers and the attacked


@dataclass
class Peak:
    """The memory of a service from now on. Writing 5 to clear_refs makes its peak what it has now (man 5 proc)."""

    service: Service

    def __post_init__(self) -> None:
        self._folder = Path(f"/proc/{self.service.process.process.pid}")
        (self._folder / "clear_refs").write_text("5")
        self._before = self._bytes("VmRSS")

    @property
    def growth(self) -> int:
        return self._bytes("VmHWM") - self._before

    def _bytes(self, name: str) -> int:
        line = next(line for line in (self._folder / "status").read_text().splitlines() if line.startswith(name))
        return int(line.split()[1]) * 1024


@contextmanager
def unharmed(pair: Pair, asks: list[Ask], seconds: float = SECONDS) -> Iterator[None]:
    """Everything that must hold while the body attacks `pair`, and afterwards."""
    peaks = [Peak(pair.transformer), Peak(pair.predictor)]
    with Bystander(asks) as bystander:
        begun = time.monotonic()
        yield
        took = time.monotonic() - begun
    for service in (pair.transformer, pair.predictor):
        wait_until_idle(service)
    grown = [peak.growth for peak in peaks]
    WEIGHED.append((took, max(grown), bystander.longest))
    assert took < seconds
    assert not bystander.wrong, bystander.wrong[:3]
    assert max(grown) < GROWTH, f"transformer and predictor grew by {grown} bytes"


def wait_until_idle(service: Service) -> None:
    """Until nothing is in flight there."""
    end = time.monotonic() + PATIENCE
    while metric(ask(f"{service.url}/metrics").body.decode(), "tandem_in_flight_requests"):
        assert time.monotonic() < end, "requests are still in flight"


@contextmanager
def digits_asks(pair: Pair) -> Iterator[list[Ask]]:
    """A small right question over each door, on connections that are kept."""
    tensor = {"name": "image", "shape": [1, 8, 8], "datatype": "FP32", "data": IMAGE.ravel().tolist()}
    body = json.dumps({"inputs": [tensor]})
    message = pb.ModelInferRequest(model_name="digits", raw_input_contents=[IMAGE.tobytes()])
    message.inputs.add(name="image", datatype="FP32", shape=IMAGE.shape)
    address = f"127.0.0.1:{pair.transformer.http_port}"
    with (
        closing(http.client.HTTPConnection(address, timeout=PATIENCE)) as connection,
        grpc.insecure_channel(pair.transformer.target) as channel,
    ):
        stub = pb_grpc.GRPCInferenceServiceStub(channel)

        def over_http() -> bool:
            connection.request("POST", INFER, body)
            answer = connection.getresponse()
            text = answer.read()
            assert answer.status == 200, text
            return _right(json.loads(text)["outputs"][0]["data"])

        def over_grpc() -> bool:
            answer = stub.ModelInfer(message, timeout=PATIENCE)
            return _right(np.frombuffer(answer.raw_output_contents[0], np.float32))

        yield [over_http, over_grpc]


@contextmanager
def photo_asks(pair: Pair) -> Iterator[list[Ask]]:
    """A cat over gRPC."""
    photo = (PHOTOS / "cat_chelsea.jpg").read_bytes()
    message = pb.ModelInferRequest(model_name="custom-model")
    message.inputs.add(name="input-0", datatype="BYTES", shape=[1]).contents.bytes_contents.append(photo)
    with grpc.insecure_channel(pair.transformer.target) as channel:
        stub = pb_grpc.GRPCInferenceServiceStub(channel)
        yield [lambda: stub.ModelInfer(message, timeout=PATIENCE).outputs[1].contents.bytes_contents[0] == b"tiger cat"]


def _right(found: Any) -> bool:
    return bool(np.allclose(found, PROBABILITIES.ravel(), atol=1e-5))


def statuses(port: int, pieces: Iterable[bytes], patience: float = PATIENCE) -> list[int]:
    """The statuses of all answers to the bytes in `pieces`, until the server closes; CLOSED if it does so unasked.

    What is not sent when the first answer comes is not sent any more. Raises TimeoutError if the server stays silent.
    """
    with socket.create_connection(("127.0.0.1", port), timeout=patience) as connection:
        with suppress(BrokenPipeError, ConnectionResetError):
            for piece in pieces:
                if select.select([connection], [], [], 0)[0]:
                    break
                connection.sendall(piece)
        return found_in(read_all(connection))


def everywhere(pair: Pair, make: Callable[[], Iterable[bytes]]) -> list[list[int]]:
    """The statuses that both services answer, which are asked at the same time."""
    ports = [service.http_port for service in (pair.transformer, pair.predictor)]
    with ThreadPoolExecutor(len(ports)) as pool:
        return list(pool.map(lambda port: statuses(port, make()), ports))


def read_all(connection: socket.socket) -> bytes:
    """What comes until the other end closes; raises TimeoutError where it does not."""
    read = b""
    with suppress(ConnectionResetError):
        while chunk := connection.recv(65536):
            read += chunk
    return read


def found_in(answer: bytes) -> list[int]:
    return [int(status) for status in re.findall(rb"HTTP/1\.[01] (\d{3}) ", answer)] or [CLOSED]


def post(path: str, body: bytes, *headers: bytes) -> list[bytes]:
    """A whole request in one piece, after which the connection is to be closed."""
    length = b"Content-Length: %d" % len(body)
    return [head(f"POST {path} HTTP/1.1", length, *headers) + body]


def head(line: str, *headers: bytes) -> bytes:
    return b"\r\n".join([line.encode(), b"Host: localhost", b"Connection: close", *headers, b"", b""])
