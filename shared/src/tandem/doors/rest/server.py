"""The HTTP server of either service: aiohttp on one port, draining without a lost request."""

from __future__ import annotations

import asyncio
import errno
import logging
from typing import Any, cast
from weakref import WeakSet

import orjson
from aiohttp import hdrs, http_exceptions, web

from tandem.deadline import Deadline
from tandem.doors.grpc_server import Listen, PortTaken
from tandem.doors.translation import INTERNAL
from tandem.security.tls import ServerTls
from tandem.workers import worker

log = logging.getLogger("tandem.http")

KEEPALIVE_SECONDS = 75.0  # longer than the 60 s after which common load balancers close an idle connection
_LINGER = 1.0  # seconds that a refused body is still read, so that who sends it comes to see why
_LAST_WORDS = 0.25  # seconds for requests on their way over connections that a stopping server would close as idle
_HANDSHAKE = 10.0  # seconds for a TLS handshake, and for a goodbye
_FULL = (
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nConnection: close\r\nRetry-After: 1\r\n"
    b'Content-Length: 67\r\n\r\n{"error":"too many connections are open, over --max_connections"}\r\n'
)
CODINGS = "unknown Content-Encoding; expected gzip, deflate or none"


class HttpServer:
    """An application on a port. A client that leaves cancels its handler."""

    def __init__(
        self,
        application: web.Application,
        grace: float,
        tls: ServerTls | None = None,
        *,
        max_header_bytes: int,
        max_connections: int,
    ) -> None:
        self._runner = web.AppRunner(
            application, handle_signals=False, handler_cancellation=True, shutdown_timeout=grace
        )
        self._max_header_bytes = max_header_bytes
        self._max_connections = max_connections
        self._open: WeakSet[Connection] = WeakSet()  # weak, as a connection whose TLS handshake fails is never lost
        self._tls = tls
        self._listening: asyncio.Server | None = None

    async def start(self, listen: Listen) -> int:
        """Listen there; returns the port, which the system chooses for port 0. Raises PortTaken."""
        await self._runner.setup()
        loop = asyncio.get_running_loop()
        try:
            self._listening = await loop.create_server(
                self._connection,
                listen.host or None,
                listen.port,
                backlog=1024,
                reuse_port=worker.is_worker(),
                **self._encryption(),
            )
        except OSError as error:
            taken = "it is taken" if error.errno == errno.EADDRINUSE else error.strerror
            raise PortTaken(f"cannot listen for HTTP on port {listen.port} (--http_port): {taken}") from error
        return int(self._listening.sockets[0].getsockname()[1])

    async def stop(self) -> None:
        """Close the port, soon the idle connections, let requests end within the grace, cancel the rest."""
        if self._listening:
            self._listening.close()
            await asyncio.sleep(_LAST_WORDS)
        await self._runner.cleanup()

    def _encryption(self) -> dict[str, Any]:
        if self._tls is None:
            return {}
        return {"ssl": self._tls.context(), "ssl_handshake_timeout": _HANDSHAKE, "ssl_shutdown_timeout": _HANDSHAKE}

    def _connection(self) -> asyncio.Protocol:
        server = self._runner.server
        if server is None:  # between the close of the port and now
            raise ConnectionAbortedError
        if len(self._open) >= self._max_connections:
            return _OneTooMany()
        made = Connection(
            server,
            loop=asyncio.get_running_loop(),
            access_log=None,  # type: ignore[arg-type]  # aiohttp's own way to have none
            keepalive_timeout=KEEPALIVE_SECONDS,
            lingering_time=_LINGER,
            max_line_size=self._max_header_bytes,
            max_field_size=self._max_header_bytes,
            read_bufsize=2**20,  # with aiohttp's 64 KiB a body of megabytes pauses and resumes reading throughout
        )
        made.deadline = Deadline()
        made.discards = False
        made.open = self._open
        made.open.add(made)
        return made


class _OneTooMany(asyncio.Protocol):
    """A connection over --max_connections: told so, and closed."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by asyncio."""
        cast("asyncio.Transport", transport).write(_FULL)
        transport.close()


def hold_to(http: web.Request, deadline: Deadline) -> None:
    """Let the answer be written until `deadline` at most."""
    if isinstance(http.protocol, Connection):
        http.protocol.deadline = deadline


class Connection(web.RequestHandler):
    """One connection. What is refused before a route is reached is told in the protocol's form too."""

    __slots__ = ("__weakref__", "deadline", "discards", "open")

    deadline: Deadline  # of the request that is worked on
    discards: bool  # what still comes is the rest of a refused body, which is not even unpacked
    open: WeakSet[Connection]  # all that are

    def connection_lost(self, exc: BaseException | None) -> None:
        """Called by asyncio."""
        self.open.discard(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Called by asyncio. aiohttp drops what comes once the server stops, and with it the rest of a body."""
        if self.discards:
            return
        if not (self._close or self._force_close):
            super().data_received(data)
        elif self._current_request and not self._current_request.content.is_eof() and self._parser:
            try:
                self._parser.feed_data(data)  # a request that is found behind the body is not taken
            except http_exceptions.HttpProcessingError:
                self.force_close()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """The answer to what is not HTTP, and to an exception that no handler caught; closes the connection."""
        if request.writer.output_size > 0:
            raise ConnectionError("an answer has begun already")
        if status >= 500:
            log.error("an HTTP request failed", exc_info=exc)
            text = INTERNAL
        else:
            status, text = self._refusal(status, exc)
        response = _error(status, text)
        response.headers["Connection"] = "close"  # an HTTP/1.0 answer would leave it unsaid
        response.force_close()
        return response

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Send `resp`, or end the connection at the request's deadline: who does not read keeps the answer in memory.

        A refusal that aiohttp raised before any handler ran (Expect) is put in the protocol's form.
        """
        if isinstance(resp, web.HTTPException):
            resp = _error(resp.status, resp.reason)
        left, self.deadline = self.deadline.remaining, Deadline()  # 0: the answer is that it has passed, and short
        timer = asyncio.get_running_loop().call_later(left, self._cut) if left else None
        try:
            finished = await super().finish_response(request, resp, start_time)
        finally:
            if timer:
                timer.cancel()
        if hdrs.CONTENT_ENCODING in request.headers and not request.content.is_eof():
            self.discards = True  # to read the rest of a bomb is to unpack it: nobody else would be served meanwhile
        return finished

    def _cut(self) -> None:
        if self.transport is not None:
            log.info("a client did not read its answer before the deadline")
            self.transport.abort()

    def _refusal(self, status: int, error: BaseException | None) -> tuple[int, str]:
        if isinstance(error, http_exceptions.ContentEncodingError):
            return 415, CODINGS
        if isinstance(error, http_exceptions.LineTooLong):
            return 431, f"a line of the header is longer than {self.max_line_size} bytes (--max_header_bytes)"
        return status, "the request is not valid HTTP/1.1"


def _error(status: int, text: str) -> web.Response:
    return web.Response(body=orjson.dumps({"error": text}), status=status, content_type="application/json")
