"""The one gRPC interceptor: TandemError -> its status; anything else -> INTERNAL with a fixed text."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

import grpc

from tandem.codec import wire
from tandem.errors import InvalidInput, TandemError

log = logging.getLogger("tandem.grpc")

INTERNAL = "internal error; the server's log says more"
_Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"  # generic in the stubs only
_Behaviour = Callable[[Any, Any], Awaitable[Any]]
_FRAMED: dict[str, tuple[Callable[[bytes], Any], Callable[[Any], bytes]]] = {
    "/inference.GRPCInferenceService/ModelInfer": (wire.decode_request, wire.encode_response)
}


class TranslateErrors(grpc.aio.ServerInterceptor):
    """Wraps each unary method once; streaming methods (health, reflection) raise no TandemError."""

    def __init__(self) -> None:
        self._wrapped: dict[str, _Handler] = {}

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        """The method's handler, wrapped at its first call."""
        if wrapped := self._wrapped.get(handler_call_details.method):
            return wrapped
        handler: _Handler | None = await continuation(handler_call_details)
        if handler is None or handler.unary_unary is None:
            return handler
        plain = handler.request_deserializer, handler.response_serializer
        parse, serialize = _FRAMED.get(handler_call_details.method, plain)
        behaviour = translated(_deserialized(handler.unary_unary, parse))
        wrapped = grpc.unary_unary_rpc_method_handler(behaviour, None, serialize)
        self._wrapped[handler_call_details.method] = wrapped
        return wrapped


def _deserialized(behaviour: _Behaviour, parse: Callable[[bytes], Any] | None) -> _Behaviour:
    """`behaviour` on bytes. Left to gRPC, bytes that are no message would be UNKNOWN, with the name of a class."""

    async def call(request: Any, context: Any) -> Any:
        try:
            message = parse(request) if parse else request
        except Exception:
            raise InvalidInput("the request is not a valid protobuf message of this method") from None
        return await behaviour(message, context)

    return call


def translated(behaviour: _Behaviour) -> _Behaviour:
    """`behaviour`, with its exceptions turned into statuses."""

    async def call(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
        try:
            return await behaviour(request, context)
        except TandemError as error:
            trailing = (("retry-after", str(error.retry_after)),) if error.retry_after else ()
            await context.abort(error.status, error.message, trailing)
        except grpc.aio.AbortError:
            raise
        except Exception:
            log.exception("a gRPC call failed")
            await context.abort(grpc.StatusCode.INTERNAL, INTERNAL)

    return call
