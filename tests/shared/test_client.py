"""tandem.client: what it sends again and what not, how long it waits, and how it ends."""

from __future__ import annotations

import asyncio
import gc
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import grpc
import numpy as np
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from tandem.client import AsyncClient, Client, Tls
from tandem.client.inputs import arrays
from tandem.codec import json as codec
from tandem.codec import message
from tandem.errors import (
    Cancelled,
    DeadlineExceeded,
    Internal,
    InvalidInput,
    Overloaded,
    PayloadTooLarge,
    Unauthenticated,
    Unavailable,
)
from tandem.inference import InferResponse
from tandem.oip import inference_pb2 as pb

X = {"x": np.zeros(1, np.float32)}
STATUSES = {200: None, 429: grpc.StatusCode.RESOURCE_EXHAUSTED, 503: grpc.StatusCode.UNAVAILABLE}
STATUSES |= {400: grpc.StatusCode.INVALID_ARGUMENT, 500: grpc.StatusCode.INTERNAL}
Planned = tuple[int, int | None]  # an HTTP status or its twin, and Retry-After


class Scripted:
    """A server over HTTP and gRPC that answers as planned, the last plan again and again; status 0 never answers."""

    def __init__(self, *planned: Planned) -> None:
        self._planned = list(planned)
        self.headers: list[dict[str, str]] = []
        self.asked = asyncio.Event()

    def _next(self, headers: dict[str, str]) -> Planned:
        self.headers.append(headers)
        self.asked.set()
        return self._planned.pop(0) if len(self._planned) > 1 else self._planned[0]

    async def http(self, request: web.Request) -> web.Response:
        body = await request.read()
        status, after = self._next({name.lower(): value for name, value in request.headers.items()})
        if not status:
            await asyncio.Event().wait()
        if status != 200:
            extra = {"Retry-After": str(after)} if after is not None else {}
            return web.json_response({"error": "as planned"}, status=status, headers=extra)
        asked = codec.decode_request(body, "m", "1", int(request.headers["Inference-Header-Content-Length"]))
        answer, size = codec.encode_response(InferResponse("m", "1", asked.inputs), asked)
        return web.Response(body=answer, headers={"Inference-Header-Content-Length": str(size)})

    async def grpc(self, request: pb.ModelInferRequest, context: grpc.aio.ServicerContext) -> pb.ModelInferResponse:
        status, after = self._next(dict(context.invocation_metadata()))
        self.left = context.time_remaining()
        if not status:
            await asyncio.Event().wait()
        if twin := STATUSES[status]:
            await context.abort(twin, "as planned", (("retry-after", str(after)),) if after is not None else ())
        return pb.ModelInferResponse(
            model_name="m",
            outputs=[pb.ModelInferResponse.InferOutputTensor(name="x", datatype="FP32", shape=[1])],
            raw_output_contents=[bytes(4)],
        )

    @asynccontextmanager
    async def serving(self, scheme: str) -> AsyncIterator[str]:
        if scheme == "http":
            app = web.Application()
            app.router.add_route("*", "/{path:.*}", self.http)
            async with TestServer(app) as server:
                yield f"http://127.0.0.1:{server.port}"
            return
        server = grpc.aio.server()
        handler = grpc.unary_unary_rpc_method_handler(
            self.grpc, pb.ModelInferRequest.FromString, pb.ModelInferResponse.SerializeToString
        )
        server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler("inference.GRPCInferenceService", {"ModelInfer": handler}),)
        )
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        try:
            yield f"grpc://127.0.0.1:{port}"
        finally:
            await server.stop(None)


@pytest.fixture(params=["http", "grpc"])
def scheme(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def nobody(scheme: str) -> Iterator[str]:
    with socket.socket() as taken:  # bound and not listening: a connection is refused
        taken.bind(("127.0.0.1", 0))
        yield f"{scheme}://127.0.0.1:{taken.getsockname()[1]}"


async def test_what_was_refused_because_of_load_is_sent_again_after_the_time_that_was_named(scheme: str) -> None:
    server = Scripted((429, 1), (200, None))
    async with server.serving(scheme) as url, AsyncClient(url) as client:
        started = time.monotonic()
        assert (await client.infer("m", X))["x"].tolist() == [0]
        assert len(server.headers) == 2
        assert 1 <= time.monotonic() - started < 2


@pytest.mark.parametrize(
    ("planned", "error", "asked"),
    [
        ((400, None), InvalidInput, 1),
        ((500, 1), Internal, 1),
        ((503, None), Unavailable, 1),  # it may have been worked on
        ((429, 0), Overloaded, 3),
        ((503, 0), Unavailable, 3),  # it says itself when to come again
    ],
)
async def test_only_what_was_not_done_is_sent_again(
    scheme: str, planned: Planned, error: type[Exception], asked: int
) -> None:
    server = Scripted(planned)
    async with server.serving(scheme) as url, AsyncClient(url) as client:
        with pytest.raises(error, match="as planned"):
            await client.infer("m", X)
    assert len(server.headers) == asked


async def test_all_calls_share_one_budget_of_retries(scheme: str) -> None:
    server = Scripted((429, 0))
    async with server.serving(scheme) as url, AsyncClient(url, retries=2, retry_budget=3) as client:
        for _ in range(4):
            with pytest.raises(Overloaded):
                await client.infer("m", X)
    assert len(server.headers) == 4 + 3


async def test_a_retry_that_would_come_after_the_deadline_is_not_waited_for(scheme: str) -> None:
    server = Scripted((429, 30))
    async with server.serving(scheme) as url, AsyncClient(url) as client:
        started = time.monotonic()
        with pytest.raises(Overloaded):
            await client.infer("m", X, timeout=5)
        assert time.monotonic() - started < 3


async def test_the_deadline_goes_along_and_ends_the_call(scheme: str) -> None:
    server = Scripted((0, None))
    async with server.serving(scheme) as url, AsyncClient(url, timeout=30) as client:
        with pytest.raises(DeadlineExceeded):
            await client.infer("m", X, timeout=0.5)
        told = server.left if scheme == "grpc" else int(server.headers[0]["x-request-timeout-ms"]) / 1e3
        assert 0.2 < told <= 0.5


async def test_headers_and_the_token_go_along(scheme: str) -> None:
    server = Scripted((200, None))
    own = {"headers": {"X-One": "1"}, "token": "secret"}
    async with server.serving(scheme) as url, AsyncClient(url, **own) as client:
        await client.infer("m", X, headers={"X-Two": "2"})
    (sent,) = server.headers
    assert (sent["x-one"], sent["x-two"], sent["authorization"]) == ("1", "2", "Bearer secret")


async def test_a_call_that_is_cancelled_ends_at_once_and_the_client_goes_on(scheme: str) -> None:
    server = Scripted((0, None), (200, None))
    async with server.serving(scheme) as url, AsyncClient(url) as client:
        call = asyncio.ensure_future(client.infer("m", X))
        await server.asked.wait()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        assert (await client.infer("m", X))["x"].tolist() == [0]


def test_who_cannot_be_reached_is_unavailable_and_not_ready(nobody: str) -> None:
    with Client(nobody, retries=1) as client:
        with pytest.raises(Unavailable, match=r"127.0.0.1:\d+ cannot be reached"):
            client.infer("m", X)
        assert not client.live()
        assert not client.ready()
        assert not client.model_ready("m")


async def test_a_server_that_comes_late_is_found() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    client = AsyncClient(f"http://127.0.0.1:{port}", retries=20, retry_budget=20)
    async with client:
        call = asyncio.ensure_future(client.infer("m", X))
        app = web.Application()
        app.router.add_post("/{path:.*}", Scripted((200, None)).http)
        async with TestServer(app, port=port):
            assert (await call)["x"].tolist() == [0]


async def test_an_answer_of_another_kind_is_an_error_that_says_so() -> None:
    async def page(_request: web.Request) -> web.Response:
        return web.Response(text="<html>a proxy's page</html>")

    async def denied(_request: web.Request) -> web.Response:
        return web.Response(text="<html>who are you?</html>", status=401)

    app = web.Application()
    app.router.add_post("/v2/models/m/infer", page)
    app.router.add_post("/v2/models/denied/infer", denied)
    async with TestServer(app) as server, AsyncClient(f"http://127.0.0.1:{server.port}") as client:
        with pytest.raises(Internal, match="breaks the protocol"):
            await client.infer("m", X)
        with pytest.raises(Unauthenticated, match="answered 401"):
            await client.infer("denied", X)


async def test_a_long_answer_is_given_up_at_the_limit() -> None:
    async def endless(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(bytes(65536))

    app = web.Application()
    app.router.add_post("/{path:.*}", endless)
    async with TestServer(app) as server, AsyncClient(f"http://127.0.0.1:{server.port}", max_message_bytes=10**6) as c:
        with pytest.raises(PayloadTooLarge, match="max_message_bytes"):
            await c.infer("m", X)


async def test_closing_ends_the_calls_of_other_threads(scheme: str) -> None:
    server = Scripted((0, None))
    async with server.serving(scheme) as url:
        client = Client(url)
        call = asyncio.ensure_future(asyncio.to_thread(client.infer, "m", X))
        await server.asked.wait()
        await asyncio.to_thread(client.close)
        with pytest.raises(Cancelled, match="closed"):
            await call
        client.close()
        with pytest.raises(RuntimeError, match="is closed"):
            client.live()


def test_a_client_that_is_dropped_ends_its_thread(nobody: str) -> None:
    client = Client(nobody)
    assert not client.live()
    (thread,) = (one for one in threading.enumerate() if one.name == "tandem-client")
    del client
    gc.collect()
    thread.join(10)
    assert not thread.is_alive()


@pytest.mark.parametrize("ending", ["", "; os.fork() or os._exit(int(not refused(c)))"])
def test_a_process_that_does_not_close_its_client_ends_quietly(nobody: str, ending: str) -> None:
    code = f"""
import os, sys
from tandem.client import Client
def refused(c):
    try:
        c.live()
    except RuntimeError as error:
        return 'fork' in str(error)
c = Client({nobody!r}){ending}
if {bool(ending)}: assert os.wait()[1] == 0
print(c.live())
"""
    done = subprocess.run(
        [sys.executable, "-W", "error::ResourceWarning", "-c", code],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "GRPC_ENABLE_FORK_SUPPORT": "0"},
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "False\n", "")


def test_importing_tandem_does_not_import_the_client() -> None:
    code = "import sys, tandem; sys.exit('tandem.client' in sys.modules or 'aiohttp' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("localhost:8000", "expected http://"),
        ("ftp://localhost", "expected http://"),
        ("http://", "expected http://"),
        ("grpc://localhost:8081/path", "has a path"),
        ("http://user:word@localhost", "expected http://"),
    ],
)
def test_an_address_that_cannot_be_is_refused(url: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        AsyncClient(url)


def test_tls_is_refused_where_it_cannot_be() -> None:
    with pytest.raises(ValueError, match="write https://"):
        AsyncClient("http://localhost", tls=Tls())
    with pytest.raises(ValueError, match="go together"):
        AsyncClient("https://localhost", tls=Tls(key_file="a.pem"))
    with pytest.raises(ValueError, match=r"no-such\.pem"):
        AsyncClient("grpcs://localhost", tls=Tls(ca_file="no-such.pem"))


def test_both_clients_have_the_same_methods_with_the_same_documentation() -> None:
    methods = {name for name in vars(AsyncClient) if not name.startswith("_")}
    assert methods == {name for name in vars(Client) if not name.startswith("_")}
    assert Client.infer.__doc__ == AsyncClient.infer.__doc__


def test_lists_of_bytes_keep_the_zeros_at_their_end() -> None:
    assert arrays({"x": [b"a\0", b"\0"]})["x"].tolist() == [b"a\0", b"\0"]
    assert arrays({"x": [["ü"], [b"b"]]})["x"].tolist() == [["ü".encode()], [b"b"]]


def test_the_binary_request_and_the_raw_message_carry_the_same() -> None:
    from tandem.client.inputs import request_of  # noqa: PLC0415 - beside the decoders that read it

    request = request_of(
        "m",
        {"x": np.arange(6, dtype=np.int16).reshape(2, 3), "t": ["a"]},
        version="1",
        outputs=["y"],
        classification=3,
        id="mine",
        parameters={"priority": 1},
    )
    parts, size = codec.encode_binary_request(request)
    over_http = codec.decode_request(b"".join(parts), "m", "1", size)
    over_grpc = message.decode_request(message.encode_request(request))
    for found in (over_http, over_grpc):
        assert (found.id, found.raw, found.outputs) == ("mine", True, request.outputs)
        assert found.parameters["priority"] == 1
        assert {name: array.tolist() for name, array in found.inputs.items()} == {
            "x": [[0, 1, 2], [3, 4, 5]],
            "t": [b"a"],
        }
