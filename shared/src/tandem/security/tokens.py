"""Bearer tokens: who has none is refused on both doors, except for health and metrics.

Kubernetes' probes and Prometheus bring none by default, and read nothing of anybody's requests.
"""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeAlias

import grpc

from tandem.errors import Unauthenticated
from tandem.security.files import Followed

_OPEN_PATHS = frozenset({"/v2/health/live", "/v2/health/ready", "/metrics"})
_OPEN_METHODS = (
    "/grpc.health.v1.Health/",
    "/inference.GRPCInferenceService/ServerLive",
    "/inference.GRPCInferenceService/ServerReady",
)
_MISSING = "a bearer token is needed: send the header 'authorization: Bearer TOKEN'"
_Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"  # generic in the stubs only


class Tokens:
    """The tokens in a file, one a line; raises Fatal if there are none. Several let a new one be handed out first."""

    def __init__(self, path: str, flag: str) -> None:
        self._path = path
        self._tokens = Followed((path,), self._read, f"--{flag}")

    @property
    def first(self) -> str:
        """The one to send."""
        return self._tokens.current()[0].decode()

    def check(self, header: str) -> None:
        """Raise Unauthenticated unless `header` is `Bearer` and one of the tokens. The time taken tells nothing."""
        scheme, _, given = header.partition(" ")
        token = given.strip().encode(errors="replace")
        same = [hmac.compare_digest(token, known) for known in self._tokens.current()]
        if scheme.lower() != "bearer" or not any(same):
            raise Unauthenticated(_MISSING if not header else "the bearer token is not one that is known here")

    def check_http(self, path: str, header: str) -> None:
        """The same for a request over HTTP, unless its path is open to all."""
        if path not in _OPEN_PATHS:
            self.check(header)

    def _read(self) -> list[bytes]:
        lines = [line.strip() for line in Path(self._path).read_bytes().splitlines()]
        if not any(lines):
            raise ValueError(f"{self._path} holds no token; expected one a line")
        if not all(line.isascii() and line.decode().isprintable() for line in lines):
            raise ValueError(f"{self._path} holds a token with characters that no header can carry")
        return [line for line in lines if line]


class Guard(grpc.aio.ServerInterceptor):
    """Refuses gRPC calls without a token, reflection and the handoff among them."""

    def __init__(self, tokens: Tokens) -> None:
        self._tokens = tokens

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[_Handler | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> _Handler | None:
        """Called by gRPC at each call, before its message is read."""
        if not handler_call_details.method.startswith(_OPEN_METHODS):
            metadata = dict(handler_call_details.invocation_metadata)
            try:
                self._tokens.check(str(metadata.get("authorization", "")))
            except Unauthenticated as error:
                return _refusal(error)
        return await continuation(handler_call_details)


def _refusal(error: Unauthenticated) -> _Handler:
    async def refuse(_requests: object, context: grpc.aio.ServicerContext[Any, Any]) -> None:
        await context.abort(error.status, error.message)

    return grpc.stream_stream_rpc_method_handler(refuse)  # fits every kind of call, and waits for no message


class Bearer(grpc.aio.UnaryUnaryClientInterceptor, grpc.aio.UnaryStreamClientInterceptor):
    """Sends a token with every call of a channel."""

    def __init__(self, tokens: Tokens) -> None:
        self._tokens = tokens

    async def intercept_unary_unary(self, continuation: Any, client_call_details: Any, request: Any) -> Any:
        """Called by gRPC."""
        return await continuation(self._with_token(client_call_details), request)

    async def intercept_unary_stream(self, continuation: Any, client_call_details: Any, request: Any) -> Any:
        """Called by gRPC."""
        return await continuation(self._with_token(client_call_details), request)

    def _with_token(self, details: Any) -> Any:
        metadata = grpc.aio.Metadata(*(details.metadata or ()))
        metadata["authorization"] = f"Bearer {self._tokens.first}"
        return details._replace(metadata=metadata)
