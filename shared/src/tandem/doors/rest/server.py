"""The HTTP server of either service: aiohttp on one port, draining without a lost request."""

from __future__ import annotations

import errno

from aiohttp import web

from tandem.doors.grpc_server import Listen, PortTaken

KEEPALIVE_SECONDS = 75.0  # longer than the 60 s after which common load balancers close an idle connection


class HttpServer:
    """An application on a port. A client that leaves cancels its handler."""

    def __init__(self, application: web.Application, grace: float, max_header_bytes: int) -> None:
        self._runner = web.AppRunner(
            application,
            handle_signals=False,
            handler_cancellation=True,
            access_log=None,
            keepalive_timeout=KEEPALIVE_SECONDS,
            shutdown_timeout=grace,
            max_line_size=max_header_bytes,
            max_field_size=max_header_bytes,
            read_bufsize=2**20,  # with aiohttp's 64 KiB a body of megabytes pauses and resumes reading throughout
        )

    async def start(self, listen: Listen) -> int:
        """Listen there; returns the port, which the system chooses for port 0. Raises PortTaken."""
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, listen.host or None, listen.port, backlog=1024, reuse_port=False).start()
        except OSError as error:
            taken = "it is taken" if error.errno == errno.EADDRINUSE else error.strerror
            raise PortTaken(f"cannot listen for HTTP on port {listen.port} (--http_port): {taken}") from error
        return int(self._runner.addresses[0][1])

    async def stop(self) -> None:
        """Close the port and idle connections, let requests end within the grace, cancel the rest."""
        await self._runner.cleanup()
