"""What any pair over gRPC costs: bytes in, bytes out, nothing parsed; an echo, or with --to what stands before it.

python -m bench.peers.proxy --port=18001 [--to=127.0.0.1:18002]
"""

from __future__ import annotations

import argparse
from collections.abc import Awaitable, Callable

import grpc
import uvloop

SERVICE, METHOD = "inference.GRPCInferenceService", "ModelInfer"
OPTIONS = [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1), ("grpc.so_reuseport", 0)]

Answer = Callable[[bytes, "grpc.aio.ServicerContext[bytes, bytes]"], Awaitable[bytes]]


async def echo(request: bytes, _: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
    return request


def forward(target: str) -> Answer:
    call: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = grpc.aio.insecure_channel(target, OPTIONS).unary_unary(
        f"/{SERVICE}/{METHOD}"
    )

    async def answer(request: bytes, _: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
        answered: bytes = await call(request)
        return answered

    return answer


async def serve(port: int, target: str) -> None:
    server = grpc.aio.server(options=OPTIONS)
    handler: grpc.RpcMethodHandler[bytes, bytes] = grpc.unary_unary_rpc_method_handler(
        forward(target) if target else echo
    )
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, {METHOD: handler}),))
    server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    await server.wait_for_termination()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--to", default="")
    arguments = parser.parse_args()
    uvloop.run(serve(arguments.port, arguments.to))
