"""Stand-ins for what surrounds the transformer: predictors, a peer for the link, and image files made by hand."""

from __future__ import annotations

import asyncio
import struct
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import cv2
import grpc
import numpy as np
from tandem.deadline import Deadline
from tandem.inference import Call, InferRequest, InferResponse
from tandem.metadata import ModelMetadata, TensorSpec
from tandem.oip import inference_pb2 as pb
from tandem.oip import inference_pb2_grpc as pb_grpc
from tandem_transformer.hop.channel import Address
from tandem_transformer.hop.forwarding import Forwarding
from tandem_transformer.predictor import GrpcPredictor

ROOT = Path(__file__).resolve().parents[2]
PHOTOS = sorted((ROOT / "examples" / "image-classification" / "photos").glob("*.jpg"))
SEED = ROOT.parent / "shared" / "seed" / "input.json"  # lies beside the checkout on some machines only

Behaviour = Callable[[pb.ModelInferRequest, Any], Awaitable[pb.ModelInferResponse]]


def model(*inputs: TensorSpec, outputs: tuple[TensorSpec, ...] = (), versions: tuple[str, ...] = ("1",)):
    return ModelMetadata("m", versions, "onnx", inputs, outputs)


def call(request_id: str = "id-1", seconds: float | None = None, headers: Mapping[str, str] | None = None) -> Call:
    return Call("http", "m", Deadline.after(seconds), headers or {}, id=request_id)


class FakePredictor:
    """Answers the pipeline with `outputs`, or raises `error`, and remembers what it was asked."""

    def __init__(self, outputs: dict[str, np.ndarray] | None = None, error: Exception | None = None) -> None:
        self.outputs = outputs
        self.error = error
        self.asked: list[InferRequest] = []

    async def infer(self, request: InferRequest, made: Call) -> InferResponse:
        self.asked.append(request)
        if self.error:
            raise self.error
        made.timings.add("hop", 0.25)  # as the real one does: only of an answer
        outputs = request.inputs if self.outputs is None else self.outputs
        return InferResponse("theirs", "7", outputs, "their id", {"from": "predictor"})


class FakePeer:
    """A predictor as the link sees it: every look waits until the test says what it finds."""

    def __init__(self, shown: ModelMetadata) -> None:
        self.connected = True
        self.shown: ModelMetadata | Exception = shown
        self.looks: list[tuple[str, bool]] = []
        self._answers: asyncio.Queue[bool | Exception] = asyncio.Queue()
        self._waiting = asyncio.Event()

    async def ready(self, name: str, *, pending: bool) -> bool:
        self.looks.append((name, pending))
        self._waiting.set()
        answer = await self._answers.get()
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def metadata(self, name: str) -> ModelMetadata:
        if isinstance(self.shown, Exception):
            raise self.shown
        return self.shown

    async def says(self, answer: bool | Exception) -> None:
        """Let one look find `answer`, and wait until the link has drawn its conclusions and looks again."""
        await self._waiting.wait()
        self._waiting.clear()
        self._answers.put_nowait(answer)
        await self._waiting.wait()


async def echo(request: pb.ModelInferRequest, context: Any) -> pb.ModelInferResponse:
    """The inputs as outputs."""
    answer = pb.ModelInferResponse(model_name=request.model_name, model_version="7", id=request.id)
    for tensor in request.inputs:
        answer.outputs.add(name=tensor.name, datatype=tensor.datatype, shape=tensor.shape)
    answer.raw_output_contents.extend(request.raw_input_contents)
    return answer


class Servicer(pb_grpc.GRPCInferenceServiceServicer):
    """A predictor behind a real server. It answers as `behaviour` does and remembers each call."""

    def __init__(self, behaviour: Behaviour = echo) -> None:
        self.behaviour = behaviour
        self.requests: list[pb.ModelInferRequest] = []
        self.headers: list[dict[str, str]] = []
        self.remaining: list[float | None] = []
        self.peers: set[str] = set()
        self.called = asyncio.Event()
        self.ready: bool | grpc.StatusCode = True

    async def ModelInfer(self, request: pb.ModelInferRequest, context: Any) -> pb.ModelInferResponse:  # noqa: N802 - gRPC's name
        self._note(context)
        self.requests.append(request)
        return await self.behaviour(request, context)

    async def ModelReady(self, request: pb.ModelReadyRequest, context: Any) -> pb.ModelReadyResponse:  # noqa: N802 - gRPC's name
        self._note(context)
        if isinstance(self.ready, grpc.StatusCode):
            await context.abort(self.ready, "no such thing")
        return pb.ModelReadyResponse(ready=self.ready is True)

    async def ModelMetadata(self, request: pb.ModelMetadataRequest, context: Any) -> pb.ModelMetadataResponse:  # noqa: N802 - gRPC's name
        if request.name != "m":
            await context.abort(grpc.StatusCode.NOT_FOUND, "model 'x' is not found")
        x = pb.ModelMetadataResponse.TensorMetadata(name="x", datatype="FP32", shape=[-1, 3])
        return pb.ModelMetadataResponse(name="m", versions=["1"], platform="onnx", inputs=[x], properties={"a": "b"})

    def _note(self, context: Any) -> None:
        self.headers.append(dict(context.invocation_metadata()))
        self.remaining.append(context.time_remaining())
        self.peers.add(context.peer())
        self.called.set()


async def start(servicer: Servicer, port: int | str = 0) -> tuple[grpc.aio.Server, int]:
    """A running server and its port, on this machine or at a target of its own."""
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    pb_grpc.add_GRPCInferenceServiceServicer_to_server(servicer, server)
    bound = server.add_insecure_port(f"127.0.0.1:{port}" if isinstance(port, int) else port)
    await server.start()
    return server, bound


@asynccontextmanager
async def serving(servicer: Servicer, port: int | str = 0) -> AsyncIterator[int]:
    """The port of a server that ends with the block, whatever it is doing."""
    server, bound = await start(servicer, port)
    try:
        yield bound
    finally:
        await server.stop(None)


@asynccontextmanager
async def client(target: int | str, *, retries: int = 0, most: int = 2**20) -> AsyncIterator[GrpcPredictor]:
    """The client under test, of a port of this machine or any other target."""
    target = f"127.0.0.1:{target}" if isinstance(target, int) else target
    address = Address(target, max_receive=most, max_send=most, retries=retries)
    made = GrpcPredictor(address, ThreadPoolExecutor(1), Forwarding())
    try:
        yield made
    finally:
        await made.close()


def aborting(code: grpc.StatusCode, text: str, *trailing: tuple[str, str]) -> Behaviour:
    """A behaviour that refuses every request."""

    async def behaviour(_request: pb.ModelInferRequest, context: Any) -> pb.ModelInferResponse:
        await context.abort(code, text, trailing)

    return behaviour


async def hang(_request: pb.ModelInferRequest, _context: Any) -> pb.ModelInferResponse:
    """A behaviour that never answers."""
    return await asyncio.get_running_loop().create_future()


def encoded(extension: str, pixels: np.ndarray, *options: int) -> bytes:
    """A file of RGB, RGBA or grey `pixels`, written by OpenCV."""
    if pixels.ndim == 3:
        pixels = pixels[..., [2, 1, 0, 3][: pixels.shape[2]]]
    done, data = cv2.imencode(extension, pixels, options)
    assert done
    return data.tobytes()


def png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, depth: int, colour: int, rows: list[bytes], *before_pixels: bytes) -> bytes:
    """A PNG of any depth and colour type; each row holds its packed samples."""
    header = struct.pack(">IIBBBBB", width, len(rows), depth, colour, 0, 0, 0)
    pixels = png_chunk(b"IDAT", zlib.compress(b"".join(b"\0" + row for row in rows)))
    chunks = [png_chunk(b"IHDR", header), *before_pixels, pixels, png_chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def orientation(turn: int, order: str = "<") -> bytes:
    """A TIFF block, the body of EXIF, that says no more than the orientation, in either byte order."""
    head = (b"II" if order == "<" else b"MM") + struct.pack(order + "HI", 42, 8)
    return head + struct.pack(order + "HHHIHHI", 1, 0x0112, 3, 1, turn, 0, 0)


def turned_jpeg(jpeg: bytes, turn: int, order: str = "<") -> bytes:
    """`jpeg` with an APP1 segment that gives its orientation."""
    body = b"Exif\0\0" + orientation(turn, order)
    return jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body + jpeg[2:]


def turned_webp(webp: bytes, turn: int, size: tuple[int, int], *, alpha: bool) -> bytes:
    """A simple WebP file of (height, width) as an extended one with an EXIF chunk."""
    flags = bytes([0x08 | 0x10 * alpha, 0, 0, 0])
    header = flags + (size[1] - 1).to_bytes(3, "little") + (size[0] - 1).to_bytes(3, "little")
    body = b"WEBP" + _riff(b"VP8X", header) + webp[12:] + _riff(b"EXIF", orientation(turn))
    return b"RIFF" + struct.pack("<I", len(body)) + body


def _riff(kind: bytes, data: bytes) -> bytes:
    return kind + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2)
