"""What every unary gRPC method is wrapped in: TandemError -> its status; all else -> INTERNAL with a fixed text."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any, TypeAlias

import grpc

from tandem.codec import wire
from tandem.errors import InvalidInput, TandemError

log = logging.getLogger("tandem.grpc")

INTERNAL = "internal error; the server's log says more"
_Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"  # generic in the stubs only
_Behaviour = Callable[[Any, Any], Awaitable[Any]]
_FRAMED = "/inference.GRPCInferenceService/ModelInfer"  # comes and goes as frames; see wire.py
_FIELDS = 4096  # of a message, if no more tensors are let in than usual


class Translating:
    """Stands for a server while a servicer registers with it: each unary method is registered translated.

    Streaming methods (health, reflection) raise no TandemError. An interceptor would do this anew at every call.
    """

    def __init__(self, server: grpc.aio.Server, max_tensors: int) -> None:
        self._server = server
        self._fields = max(_FIELDS, 4 * max_tensors)  # inputs, outputs, raw contents, and as many of what else there is

    def add_registered_method_handlers(self, service: str, handlers: Mapping[str, _Handler]) -> None:
        """Register the methods of `service` by name."""
        wrapped = {name: self._wrapped(f"/{service}/{name}", handler) for name, handler in handlers.items()}
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, wrapped),))

    def add_generic_rpc_handlers(self, handlers: object) -> None:
        """The same methods in another form, which generated code brings too."""

    def _wrapped(self, method: str, handler: _Handler) -> _Handler:
        if handler.unary_unary is None:
            return handler
        parse, serialize = handler.request_deserializer, handler.response_serializer
        if method == _FRAMED:
            parse, serialize = partial(wire.decode_request, most=self._fields), wire.encode_response
        return grpc.unary_unary_rpc_method_handler(translated(handler.unary_unary, parse), None, serialize)


def translated(behaviour: _Behaviour, parse: Callable[[bytes], Any] | None = None) -> _Behaviour:
    """`behaviour`, with its exceptions turned into statuses.

    The message is parsed here: left to gRPC, bytes that are no message would be UNKNOWN, with the name of a class.
    """

    async def call(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
        try:
            return await behaviour(parsed(request, parse), context)
        except TandemError as error:
            trailing = (("retry-after", str(error.retry_after)),) if error.retry_after else ()
            await context.abort(error.status, error.message, trailing)
        except grpc.aio.AbortError:
            raise
        except Exception:
            log.exception("a gRPC call failed")
            await context.abort(grpc.StatusCode.INTERNAL, INTERNAL)

    return call


def parsed(request: Any, parse: Callable[[bytes], Any] | None) -> Any:
    """The message in the bytes of `request`; raises InvalidInput."""
    try:
        return parse(request) if parse else request
    except TandemError:
        raise
    except Exception:
        raise InvalidInput("the request is not a valid protobuf message of this method") from None
