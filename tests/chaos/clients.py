"""The crowd: clients that ask well, badly, slowly, in a hurry, that leave, and that mean harm. Each asks once and says
how it went; the run calls it again."""

from __future__ import annotations

import asyncio
import gzip
import json
import random
import socket
import struct
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field

import aiohttp
import grpc
import numpy as np
import onnxruntime
from harness import DIGITS
from tandem.oip import inference_pb2 as pb
from tandem.oip import inference_pb2_grpc as pb_grpc

REFUSED_HTTP = {429, 503, 504}
REFUSED_GRPC = {
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED,
}
SAMPLES = 40
_PATH = "/v2/models/digits/infer"


@dataclass
class Crowd:
    """What every client needs: where the doors are, questions with their right answers, one source of chance."""

    http_port: int
    target: str
    chance: random.Random
    session: aiohttp.ClientSession
    channel: grpc.aio.Channel
    questions: list[np.ndarray] = field(default_factory=list)
    answers: list[np.ndarray] = field(default_factory=list)
    asked: int = 0

    def __post_init__(self) -> None:
        engine = onnxruntime.InferenceSession(str(next(DIGITS.rglob("model.onnx"))))
        generator = np.random.default_rng(7)
        for _ in range(SAMPLES):
            image = generator.random((self.chance.randint(1, 6), 8, 8), np.float32)
            self.questions.append(image)
            self.answers.append(engine.run(None, {"image": image})[0])
        self.stub = pb_grpc.GRPCInferenceServiceStub(self.channel)

    def pick(self) -> tuple[str, int]:
        """A new id, and which question is asked."""
        self.asked += 1
        return f"chaos-{self.asked}", self.chance.randrange(SAMPLES)

    def right(self, index: int, found: np.ndarray) -> bool:
        expected = self.answers[index]
        return found.shape == expected.shape and bool(np.allclose(found, expected, atol=1e-5))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.http_port}{_PATH}"


Client = Callable[[Crowd], Awaitable[str]]


def document(crowd: Crowd, index: int, identity: str) -> dict[str, object]:
    image = crowd.questions[index]
    tensor = {"name": "image", "shape": image.shape, "datatype": "FP32", "data": image.ravel().tolist()}
    return {"id": identity, "inputs": [tensor]}


def message(crowd: Crowd, index: int, identity: str) -> pb.ModelInferRequest:
    image = crowd.questions[index]
    request = pb.ModelInferRequest(model_name="digits", id=identity, raw_input_contents=[image.tobytes()])
    request.inputs.add(name="image", datatype="FP32", shape=image.shape)
    return request


def judged(crowd: Crowd, index: int, identity: str, answer: pb.ModelInferResponse) -> str:
    found = np.frombuffer(answer.raw_output_contents[0], np.float32).reshape(tuple(answer.outputs[0].shape))
    return "right" if answer.id == identity and crowd.right(index, found) else "WRONG"


async def good_json(crowd: Crowd) -> str:
    identity, index = crowd.pick()
    async with crowd.session.post(crowd.url, json=document(crowd, index, identity)) as reply:
        if reply.status in REFUSED_HTTP:
            return f"refused {reply.status}"
        answer = await reply.json()
    if reply.status != 200:
        return f"UNEXPECTED {reply.status} {answer}"
    output = answer["outputs"][0]
    found = np.array(output["data"], np.float32).reshape(output["shape"])
    return "right" if answer["id"] == identity and crowd.right(index, found) else "WRONG"


async def good_binary(crowd: Crowd) -> str:
    identity, index = crowd.pick()
    image = crowd.questions[index]
    tensor = {"name": "image", "shape": image.shape, "datatype": "FP32"}
    tensor["parameters"] = {"binary_data_size": image.nbytes}
    head = json.dumps({"id": identity, "inputs": [tensor], "parameters": {"binary_data_output": True}}).encode()
    headers = {"Inference-Header-Content-Length": str(len(head))}
    async with crowd.session.post(crowd.url, data=head + image.tobytes(), headers=headers) as reply:
        if reply.status in REFUSED_HTTP:
            return f"refused {reply.status}"
        body = await reply.read()
    if reply.status != 200:
        return f"UNEXPECTED {reply.status} {body[:200]!r}"
    size = int(reply.headers["Inference-Header-Content-Length"])
    answer = json.loads(body[:size])
    found = np.frombuffer(body[size:], np.float32).reshape(answer["outputs"][0]["shape"])
    return "right" if answer["id"] == identity and crowd.right(index, found) else "WRONG"


async def good_grpc(crowd: Crowd) -> str:
    identity, index = crowd.pick()
    try:
        answer = await crowd.stub.ModelInfer(message(crowd, index, identity), timeout=20)
    except grpc.aio.AioRpcError as error:
        return _status(error)
    return judged(crowd, index, identity, answer)


async def good_stream(crowd: Crowd) -> str:
    """Ten questions on one stream, answered in order."""
    picked = [crowd.pick() for _ in range(10)]

    async def requests() -> AsyncIterator[pb.ModelInferRequest]:
        for identity, index in picked:
            yield message(crowd, index, identity)

    outcomes = set()
    try:
        number = 0
        async for reply in crowd.stub.ModelStreamInfer(requests(), timeout=20):
            identity, index = picked[number]
            number += 1
            if not reply.error_message:
                outcomes.add(judged(crowd, index, identity, reply.infer_response))
            elif reply.infer_response.id != identity:
                outcomes.add("WRONG")
    except grpc.aio.AioRpcError as error:
        return _status(error)
    return "WRONG" if "WRONG" in outcomes else "right"


async def hurried(crowd: Crowd) -> str:
    """A deadline that is often too short."""
    identity, index = crowd.pick()
    milliseconds = crowd.chance.randint(1, 30)
    if crowd.chance.random() < 0.5:
        try:
            answer = await crowd.stub.ModelInfer(message(crowd, index, identity), timeout=milliseconds / 1e3)
        except grpc.aio.AioRpcError as error:
            return _status(error)
        return judged(crowd, index, identity, answer)
    headers = {"x-request-timeout-ms": str(milliseconds)}
    async with crowd.session.post(crowd.url, json=document(crowd, index, identity), headers=headers) as reply:
        return "right" if reply.status == 200 else _known(reply.status, REFUSED_HTTP)


async def leaving(crowd: Crowd) -> str:
    """Asks, and does not wait for the answer."""
    asking = asyncio.ensure_future(crowd.chance.choice((good_json, good_grpc, good_stream))(crowd))
    await asyncio.sleep(crowd.chance.random() * 0.01)
    asking.cancel()
    with suppress(asyncio.CancelledError, aiohttp.ClientError):
        await asking
    return "left"


async def bad(crowd: Crowd) -> str:
    """Mistakes that people make; the answer is a 4xx unless there is no predictor to tell."""
    bodies: list[object] = [
        {"inputs": [{"name": "image", "shape": [1, 8, 8], "datatype": "FP32", "data": [1, 2]}]},
        {"inputs": [{"name": "nothing", "shape": [1], "datatype": "FP32", "data": [1]}]},
        {"inputs": []},
        {"inputs": [{"name": "image", "shape": [2**62, 8], "datatype": "FP32", "data": []}]},
        [],
    ]
    async with crowd.session.post(crowd.url, json=crowd.chance.choice(bodies)) as reply:
        return _known(reply.status, {400, *REFUSED_HTTP})


async def slow(crowd: Crowd) -> str:
    """A body that comes drop by drop; then it is a good one."""
    identity, index = crowd.pick()
    body = json.dumps({**document(crowd, index, identity), "inputs": _listed(crowd, index)}).encode()

    async def drops() -> AsyncIterator[bytes]:
        for start in range(0, len(body), 400):
            yield body[start : start + 400]
            await asyncio.sleep(0.02)

    async with crowd.session.post(crowd.url, data=drops()) as reply:
        await reply.read()
        return "right" if reply.status == 200 else _known(reply.status, REFUSED_HTTP)


async def hostile(crowd: Crowd) -> str:
    """Bodies and bytes that nobody sends by mistake."""
    bombs: list[tuple[bytes, dict[str, str]]] = [
        (b"[" * 200_000, {}),
        (gzip.compress(bytes(100 * 2**20), 1), {"Content-Encoding": "gzip"}),
        (b'{"inputs": ' + b'{"a":' * 2_000, {}),
        (b"{" + b'"k":1,' * 50_000 + b'"k":1}', {}),
        (b"x", {"Inference-Header-Content-Length": "9" * 18}),
    ]
    if crowd.chance.random() < 0.4:
        return await _garbage(crowd)
    body, headers = crowd.chance.choice(bombs)
    async with crowd.session.post(crowd.url, data=body, headers=headers) as reply:
        await reply.read()
        return _known(reply.status, {400, 413, *REFUSED_HTTP})


async def _garbage(crowd: Crowd) -> str:
    """Bytes that are no protocol at all, at either door, and a connection that is reset."""
    port = crowd.chance.choice((crowd.http_port, int(crowd.target.rpartition(":")[2])))
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(crowd.chance.randbytes(500))
    with suppress(OSError):
        await asyncio.wait_for(reader.read(1000), 0.2)
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.close()
    return "garbage"


def _listed(crowd: Crowd, index: int) -> list[dict[str, object]]:
    image = crowd.questions[index]
    return [{"name": "image", "shape": list(image.shape), "datatype": "FP32", "data": image.ravel().tolist()}]


def _known(status: int, expected: set[int]) -> str:
    return f"refused {status}" if status in expected else f"UNEXPECTED {status}"


def _status(error: grpc.aio.AioRpcError) -> str:
    name = error.code().name
    return f"refused {name}" if error.code() in REFUSED_GRPC else f"UNEXPECTED {name} {error.details()}"


CLIENTS: dict[Client, int] = {  # and how many of each
    good_json: 4,
    good_binary: 3,
    good_grpc: 4,
    good_stream: 2,
    hurried: 2,
    leaving: 3,
    bad: 2,
    slow: 2,
    hostile: 2,
}


async def crowd(http_port: int, grpc_port: int, seconds: float, seed: str) -> dict[str, Counter[str]]:
    """Everyone asks again and again; how often each outcome was seen."""
    end = time.monotonic() + seconds
    outcomes: dict[str, Counter[str]] = {client.__name__: Counter() for client in CLIENTS}
    connector, timeout = aiohttp.TCPConnector(limit=0), aiohttp.ClientTimeout(total=60)
    target = f"127.0.0.1:{grpc_port}"
    async with (
        aiohttp.ClientSession(connector=connector, timeout=timeout) as session,
        grpc.aio.insecure_channel(target) as channel,
        asyncio.TaskGroup() as group,
    ):
        made = Crowd(http_port, target, random.Random(seed), session, channel)
        for client, count in CLIENTS.items():
            for _ in range(count):
                group.create_task(_again(client, made, end, outcomes[client.__name__]))
    return outcomes


async def _again(client: Client, made: Crowd, end: float, outcomes: Counter[str]) -> None:
    while time.monotonic() < end:
        try:
            outcome = await client(made)
        except (aiohttp.ClientConnectionError, ConnectionError) as error:
            outcome = "cut off" if client is hostile else f"UNEXPECTED {error!r}"  # who sends nonsense may be cut off
        outcomes[outcome] += 1
        await asyncio.sleep(made.chance.random() * 0.01)


if __name__ == "__main__":
    ports, length, seed_text = [int(text) for text in sys.argv[1:3]], float(sys.argv[3]), sys.argv[4]
    print(json.dumps(asyncio.run(crowd(*ports, length, seed_text))))
