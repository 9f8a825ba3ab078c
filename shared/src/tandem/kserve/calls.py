"""An author's method, called with what it takes; what it raises becomes the TandemError of the same meaning."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from grpc import StatusCode

from tandem.errors import HTTP_STATUS, Internal, TandemError, from_status

log = logging.getLogger("tandem.user")

_BY_NAME = {  # of kserve.errors, and Python's own NotImplementedError
    "InvalidInput": StatusCode.INVALID_ARGUMENT,
    "InferenceError": StatusCode.INTERNAL,
    "ModelMissingError": StatusCode.NOT_FOUND,
    "ModelNotFound": StatusCode.NOT_FOUND,
    "ModelNotReady": StatusCode.UNAVAILABLE,
    "ServerNotReady": StatusCode.UNAVAILABLE,
    "UnsupportedProtocol": StatusCode.UNIMPLEMENTED,
    "NotImplementedError": StatusCode.UNIMPLEMENTED,
}
_BY_HTTP = {http: status for status, http in reversed(HTTP_STATUS.items())} | {422: StatusCode.INVALID_ARGUMENT}


def takes(method: Callable[..., Any]) -> int:
    """How many positional arguments `method` takes, three at most: payload, headers, response_headers."""
    parameters = inspect.signature(method).parameters.values()
    if any(parameter.kind is parameter.VAR_POSITIONAL for parameter in parameters):
        return 3
    return sum(p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) for p in parameters)


@contextmanager
def translated(source: str, ident: str = "") -> Iterator[None]:
    """Raise what the author's code raises as a TandemError; what has no meaning there is logged, and Internal."""
    try:
        yield
    except TandemError:
        raise
    except Exception as error:  # user code may raise anything
        if known := _known(error):
            raise known from error
        log.exception("%s failed", source, extra={"id": ident} if ident else None)
        raise Internal(f"{source} failed; the log says more" + (f" (id {ident})" if ident else "")) from error


def _known(error: Exception) -> TandemError | None:
    for cls in type(error).__mro__:
        if cls.__module__ in ("kserve.errors", "builtins") and cls.__name__ in _BY_NAME:
            return from_status(_BY_NAME[cls.__name__], str(error))
    reply = getattr(error, "response", None)  # httpx.HTTPStatusError, of the SDK's own client
    code = getattr(reply, "status_code", getattr(error, "status_code", None))  # fastapi.HTTPException
    if isinstance(code, int) and code >= 400:
        told = getattr(error, "detail", None) or getattr(reply, "text", "") or str(error)
        return from_status(_BY_HTTP.get(code, StatusCode.INTERNAL), str(told))
    return None


def reply_headers(headers: Mapping[str, object]) -> dict[str, str]:
    """The headers that an author adds to the answer, less those that are the server's own affair."""
    return {str(name): str(value) for name, value in headers.items() if str(name).lower() not in _OWN}


_OWN = {"content-length", "content-type", "content-encoding", "transfer-encoding", "connection", "server-timing"}
