"""The predictor is killed under load and comes back: refusals meanwhile, answers afterwards, the same transformer."""

from __future__ import annotations

import threading
import time
from collections import Counter

import grpc
import numpy as np
from contract.client import ask
from harness import DIGITS, Service, start_predictor, start_transformer
from tandem.oip import inference_pb2 as pb
from tandem.oip import inference_pb2_grpc as pb_grpc


class Load:
    """Clients on both doors that ask until they are told to stop, and keep each outcome."""

    def __init__(self, transformer: Service) -> None:
        self._transformer = transformer
        self._stop = threading.Event()
        self.outcomes: list[tuple[float, str, str]] = []
        self._threads = [threading.Thread(target=ask) for ask in (self._http, self._grpc) for _ in range(4)]
        for thread in self._threads:
            thread.start()

    def wait_for(self, outcomes: set[tuple[str, str]], since: float, patience: float = 10) -> float:
        """The moment at which each of `outcomes` has been seen after `since`."""
        end = time.monotonic() + patience
        while time.monotonic() < end:
            seen = {(door, code) for moment, door, code in list(self.outcomes) if moment > since}
            if outcomes <= seen:
                return time.monotonic()
            self._stop.wait(0.02)
        raise AssertionError(f"never seen: {outcomes - seen}")

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _note(self, door: str, code: str) -> None:
        self.outcomes.append((time.monotonic(), door, code))

    def _http(self) -> None:
        image = np.ones((1, 8, 8), np.float32)
        tensor = {"name": "image", "shape": [1, 8, 8], "datatype": "FP32", "data": image.ravel().tolist()}
        while not self._stop.is_set():
            self._note(
                "http", str(ask(f"{self._transformer.url}/v2/models/digits/infer", "POST", {"inputs": [tensor]}).status)
            )

    def _grpc(self) -> None:
        request = pb.ModelInferRequest(
            model_name="digits", raw_input_contents=[np.ones((1, 8, 8), np.float32).tobytes()]
        )
        request.inputs.add(name="image", datatype="FP32", shape=[1, 8, 8])
        with grpc.insecure_channel(self._transformer.target) as channel:
            stub = pb_grpc.GRPCInferenceServiceStub(channel)
            while not self._stop.is_set():
                try:
                    stub.ModelInfer(request, timeout=10)
                    self._note("grpc", "OK")
                except grpc.RpcError as error:
                    self._note("grpc", error.code().name)


def test_a_killed_predictor_is_replaced_without_a_restart_of_the_transformer() -> None:
    predictor = start_predictor(f"--model_dir={DIGITS}", "--model_name=digits")
    transformer = start_transformer(predictor.grpc_port, "--model_name=digits", "--transformer=identity")
    load = Load(transformer)
    try:
        load.wait_for({("http", "200"), ("grpc", "OK")}, since=0)
        killed = time.monotonic()
        predictor.process.kill()
        load.wait_for({("http", "503"), ("grpc", "UNAVAILABLE")}, since=killed)
        transformer.process.entry("predictor: the predictor cannot be reached")
        assert ask(f"{transformer.url}/v2/health/ready").status == 503
        predictor = start_predictor(f"--model_dir={DIGITS}", "--model_name=digits", grpc_port=predictor.grpc_port)
        ready = time.monotonic()
        answered = load.wait_for({("http", "200"), ("grpc", "OK")}, since=ready)
        assert answered - ready < 2
    finally:
        load.stop()
        statuses = transformer.process.stop(), predictor.process.stop()
    assert statuses == (0, 0)
    codes = Counter((door, code) for _, door, code in load.outcomes)
    assert set(codes) == {("http", "200"), ("http", "503"), ("grpc", "OK"), ("grpc", "UNAVAILABLE")}
