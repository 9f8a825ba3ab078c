"""Servers that are not what they should be, each on a free port of the loopback, in threads of the test."""

from __future__ import annotations

import http.client
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from tandem.oip import inference_pb2 as pb
from tandem.oip import inference_pb2_grpc as pb_grpc

Answer = tuple[int, dict[str, str], bytes]  # status, headers, body


@contextmanager
def http_server(answer: Callable[[str], Answer], limit: int = 0) -> Iterator[int]:
    """Answers every GET with what `answer` makes of its path; every POST is larger than its `limit`."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._send(*answer(self.path))

        def do_POST(self) -> None:
            self._send(413, {}, b'{"error":"the body is larger than %d bytes"}' % limit)

        def _send(self, status: int, headers: dict[str, str], body: bytes) -> None:
            self.send_response_only(status)
            for name, value in (headers | {"Content-Length": str(len(body)), "Connection": "close"}).items():
                self.send_header(name, value)
            self.close_connection = True
            with suppress(OSError):  # who asked may have left
                self.end_headers()
                self.wfile.write(body)

        def log_message(self, *arguments: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def fetched(port: int, path: str) -> Answer:
    """What the service on `port` answers, for an impostor to change."""
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=30)) as connection:
        connection.request("GET", path)
        answer = connection.getresponse()
        headers = {name: value for name, value in answer.getheaders() if name in ("Content-Type", "Date")}
        return answer.status, headers, answer.read()


@contextmanager
def raw_server(answer: bytes | None) -> Iterator[int]:
    """Says `answer` to whoever connects and closes; None: says nothing, and holds the connection."""
    held: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            with suppress(OSError):  # the end of the test
                while True:
                    connection, _ = server.accept()
                    held.append(connection)
                    if answer is not None:
                        with suppress(OSError):
                            connection.sendall(answer)
                            connection.shutdown(socket.SHUT_WR)
                            connection.recv(2**16)
                        held.pop().close()

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield server.getsockname()[1]
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join()
            for connection in held:
                connection.close()


class _Bare(pb_grpc.GRPCInferenceServiceServicer, health_pb2_grpc.HealthServicer):
    """Has health and the server's metadata; what there is of a model is another server's."""

    def __init__(self, stub: pb_grpc.GRPCInferenceServiceStub | None) -> None:
        self._stub = stub

    def ServerMetadata(self, request, context):  # noqa: N802 - gRPC's name
        return pb.ServerMetadataResponse(name="tandem-transformer", version="0.0.1")

    def ModelMetadata(self, request, context):  # noqa: N802 - gRPC's name
        return self._stub.ModelMetadata(request) if self._stub else super().ModelMetadata(request, context)

    def ModelInfer(self, request, context):  # noqa: N802 - gRPC's name
        return self._stub.ModelInfer(request) if self._stub else super().ModelInfer(request, context)

    def Check(self, request, context):  # noqa: N802 - gRPC's name
        return health_pb2.HealthCheckResponse(status=health_pb2.HealthCheckResponse.SERVING)


@contextmanager
def grpc_server_without_reflection(forward_to: str = "") -> Iterator[int]:
    """Has no streams and no trailing metadata; models, if any, are those of the server at `forward_to`."""
    server = grpc.server(ThreadPoolExecutor(2))
    with grpc.insecure_channel(forward_to or "127.0.0.1:1") as channel:
        bare = _Bare(pb_grpc.GRPCInferenceServiceStub(channel) if forward_to else None)
        pb_grpc.add_GRPCInferenceServiceServicer_to_server(bare, server)
        health_pb2_grpc.add_HealthServicer_to_server(bare, server)
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        try:
            yield port
        finally:
            server.stop(0).wait()


def unused_port() -> int:
    """A port on which nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]
