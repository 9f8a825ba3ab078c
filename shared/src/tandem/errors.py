"""The exception tree. Each class carries its gRPC status; HTTP_STATUS gives the HTTP status of each."""

from __future__ import annotations

from typing import ClassVar

from grpc import StatusCode

HTTP_STATUS = {
    StatusCode.OK: 200,
    StatusCode.INVALID_ARGUMENT: 400,
    StatusCode.OUT_OF_RANGE: 400,
    StatusCode.FAILED_PRECONDITION: 400,
    StatusCode.UNAUTHENTICATED: 401,
    StatusCode.PERMISSION_DENIED: 403,
    StatusCode.NOT_FOUND: 404,
    StatusCode.ABORTED: 409,
    StatusCode.ALREADY_EXISTS: 409,
    StatusCode.RESOURCE_EXHAUSTED: 429,
    StatusCode.CANCELLED: 499,
    StatusCode.UNKNOWN: 500,
    StatusCode.INTERNAL: 500,
    StatusCode.DATA_LOSS: 500,
    StatusCode.UNIMPLEMENTED: 501,
    StatusCode.UNAVAILABLE: 503,
    StatusCode.DEADLINE_EXCEEDED: 504,
}


# Characters: names and shapes are the caller's, and gRPC drops a status text of over 8 kB, in which a character beyond
# ASCII takes up to twelve.
_LONGEST, _LONGEST_BEYOND_ASCII = 900, 300


class TandemError(Exception):
    """A refusal or failure whose text may be shown to the caller."""

    status: ClassVar[StatusCode] = StatusCode.INTERNAL

    def __init__(self, message: str, *, retry_after: int | None = None) -> None:
        most = _LONGEST if message.isascii() else _LONGEST_BEYOND_ASCII
        text = message if len(message) <= most else f"{message[:most]} ..."
        super().__init__(text)
        self.message = text
        self.retry_after = retry_after  # whole seconds, as in the HTTP header of that name

    @property
    def http_status(self) -> int:
        """The HTTP status that tells the same."""
        return HTTP_STATUS[self.status]


class InvalidInput(TandemError):
    """The request is wrong and would be wrong again: 400, INVALID_ARGUMENT."""

    status = StatusCode.INVALID_ARGUMENT


class FailedPrecondition(InvalidInput):
    """The request would be right if something had been done before: 400, FAILED_PRECONDITION."""

    status = StatusCode.FAILED_PRECONDITION


class UnsupportedMediaType(InvalidInput):
    """The body's coding is not one that is read here: 415, INVALID_ARGUMENT."""

    @property
    def http_status(self) -> int:
        """415, which gRPC has no twin for."""
        return 415


class NotFound(TandemError):
    """No such model or version: 404, NOT_FOUND."""

    status = StatusCode.NOT_FOUND


class Unauthenticated(TandemError):
    """No token, or an unknown one: 401, UNAUTHENTICATED."""

    status = StatusCode.UNAUTHENTICATED


class PermissionDenied(TandemError):
    """A caller who is known and may not: 403, PERMISSION_DENIED."""

    status = StatusCode.PERMISSION_DENIED


class Overloaded(TandemError):
    """A queue is full; come back later: 429, RESOURCE_EXHAUSTED."""

    status = StatusCode.RESOURCE_EXHAUSTED

    def __init__(self, message: str, *, retry_after: int | None = 1) -> None:
        super().__init__(message, retry_after=retry_after)


class PayloadTooLarge(TandemError):
    """A message over the size limit: 413, RESOURCE_EXHAUSTED."""

    status = StatusCode.RESOURCE_EXHAUSTED

    @property
    def http_status(self) -> int:
        """413, which gRPC has no twin for."""
        return 413


class Unavailable(TandemError):
    """Not ready, or the predictor does not answer: 503, UNAVAILABLE."""

    status = StatusCode.UNAVAILABLE


class DeadlineExceeded(TandemError):
    """The time that the caller gave is over: 504, DEADLINE_EXCEEDED."""

    status = StatusCode.DEADLINE_EXCEEDED


class Cancelled(TandemError):
    """The caller left: 499, CANCELLED."""

    status = StatusCode.CANCELLED


class Unimplemented(TandemError):
    """Not offered by this server: 501, UNIMPLEMENTED."""

    status = StatusCode.UNIMPLEMENTED


class Internal(TandemError):
    """A fault of the server or of user code: 500, INTERNAL."""


_CLASSES: dict[StatusCode, type[TandemError]] = {
    cls.status: cls
    for cls in (
        *(InvalidInput, FailedPrecondition, NotFound, Overloaded),
        *(Unauthenticated, PermissionDenied, Unavailable, DeadlineExceeded, Cancelled, Unimplemented),
    )
}
_CLASSES[StatusCode.OUT_OF_RANGE] = InvalidInput

CLASS_OF_HTTP: dict[int, type[TandemError]] = {  # of what any server of the protocol answers; others are Internal
    **dict.fromkeys((400, 405, 422), InvalidInput),
    401: Unauthenticated,
    403: PermissionDenied,
    404: NotFound,
    413: PayloadTooLarge,
    415: UnsupportedMediaType,
    429: Overloaded,
    499: Cancelled,
    501: Unimplemented,
    **dict.fromkeys((502, 503), Unavailable),
    504: DeadlineExceeded,
}


def from_status(status: StatusCode, message: str) -> TandemError:
    """The error that stands for a peer's `status`; what has no class of its own becomes Internal.

    gRPC says RESOURCE_EXHAUSTED both for a full queue and for a message over the size limit. Its core words the second
    "... message larger than max ...", which is the only thing that tells them apart.
    """
    if status is StatusCode.RESOURCE_EXHAUSTED and "larger than max" in message:
        return PayloadTooLarge(message)
    return _CLASSES.get(status, Internal)(message)
