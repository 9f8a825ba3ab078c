"""A closed loop over gRPC: bytes that were made before are sent, answers are compared with the tensor that went out.

python -m bench.clients.grpc_load HOST:PORT --payload='602 kB' --concurrency=32 --seconds=5
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time

import grpc
import numpy as np
import uvloop
from tandem.oip import inference_pb2

from bench.clients import bodies

_METHOD = "/inference.GRPCInferenceService/ModelInfer"
_OPTIONS = [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)]
_LOOKED_AT = 16  # every so many answers are compared; a comparison of 6.2 MB takes a millisecond


class Load:
    """The calls and what became of them."""

    def __init__(self, target: str, model: str, payload: str) -> None:
        self._channel = grpc.aio.insecure_channel(target, _OPTIONS)
        self._call: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = self._channel.unary_unary(_METHOD)
        self._raw = [tensor.tobytes() for tensor in bodies.tensors(payload, bodies.TENSORS)]
        self._requests = [request(model, bodies.SHAPES[payload], raw) for raw in self._raw]
        self.times: list[float] = []
        self.wrong = 0

    async def check(self) -> None:
        """Raise ValueError unless the first answer is the tensor, whatever field it came in."""
        answer = inference_pb2.ModelInferResponse.FromString(await self._call(self._requests[0], timeout=60))
        fields = answer.raw_output_contents or [
            np.array(answer.outputs[0].contents.fp32_contents, np.float32).tobytes()
        ]
        if fields[0] != self._raw[0]:
            raise ValueError("the answer is not what was sent")

    async def client(self, first: int, end: float) -> None:
        """One request after another until `end`."""
        index = first
        while (begin := time.perf_counter()) < end:
            which = index % bodies.TENSORS
            answer = await self._call(self._requests[which], timeout=60)
            self.times.append(time.perf_counter() - begin)
            looked_at = index % _LOOKED_AT == 0
            self.wrong += len(answer) < len(self._raw[which]) or (looked_at and not answer.endswith(self._raw[which]))
            index += 1

    async def close(self) -> None:
        await self._channel.close()


def request(model: str, shape: tuple[int, ...], raw: bytes) -> bytes:
    """A ModelInferRequest with one raw FP32 tensor, serialised."""
    made = inference_pb2.ModelInferRequest(model_name=model, raw_input_contents=[raw])
    made.inputs.add(name="x", datatype="FP32", shape=shape)
    return made.SerializeToString()


async def run(arguments: argparse.Namespace) -> dict[str, float]:
    """Check, warm up, measure."""
    load = Load(arguments.target, arguments.model, arguments.payload)
    if not arguments.proxy:
        await load.check()
    await _clients(load, arguments, min(1.0, arguments.seconds / 3))
    load.times.clear()
    begin = time.perf_counter()
    await _clients(load, arguments, arguments.seconds)
    took = time.perf_counter() - begin
    await load.close()
    p50, p90, p99 = np.percentile(load.times, (50, 90, 99)) * 1e3
    ok = len(load.times) - load.wrong
    return {"rps": ok / took, "p50_ms": p50, "p90_ms": p90, "p99_ms": p99, "ok": ok, "wrong": load.wrong}


async def _clients(load: Load, arguments: argparse.Namespace, seconds: float) -> None:
    end = time.perf_counter() + seconds
    async with asyncio.TaskGroup() as group:
        for index in range(arguments.concurrency):
            group.create_task(load.client(index, end))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("target")
    parser.add_argument("--model", default="custom-model")
    parser.add_argument("--payload", choices=bodies.SHAPES, required=True)
    parser.add_argument("--concurrency", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--proxy", action="store_true", help="answers are the requests' bytes")
    print(json.dumps(uvloop.run(run(parser.parse_args()))))


if __name__ == "__main__":
    main()
