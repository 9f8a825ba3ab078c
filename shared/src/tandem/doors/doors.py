"""Both doors of a service as one thing: built onto an Endpoint, opened, and closed without a lost call."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping

from tandem.doors import grpc_server
from tandem.doors.endpoint import Endpoint
from tandem.doors.grpc_server import Listen
from tandem.doors.handoff import HandoffServicer
from tandem.doors.ledger import Ledger
from tandem.doors.local import LocalDoor
from tandem.doors.rest.admin import Admin
from tandem.doors.rest.door import Handler, RestDoor, Terms, alone
from tandem.doors.rest.server import HttpServer
from tandem.doors.servicer import InferenceServicer
from tandem.doors.settings import DoorSettings
from tandem.lifecycle import Readiness
from tandem.memory.regions import Regions
from tandem.metrics import ServerMetrics
from tandem.oip import handoff_pb2_grpc
from tandem.security.tls import ServerTls, require_pair
from tandem.security.tokens import Tokens
from tandem.tracing import activation
from tandem.workers import worker


class Doors:
    """HTTP and gRPC. `http_port` and `grpc_port` are the real ones once they are open."""

    def __init__(
        self,
        endpoint: Endpoint,
        metrics: ServerMetrics,
        settings: DoorSettings,
        *,
        default_timeout: float,
        regions: Regions | None = None,
        exposition: Callable[[bytes], Awaitable[bytes]] = alone,
        pages: Mapping[str, Handler] | None = None,
    ) -> None:
        self._settings = settings
        self.readiness = Readiness()
        self.readiness.watch(metrics.ready.set)
        self.ledger = ledger_of(endpoint, metrics, settings, default_timeout)
        self._tls = server_tls(settings)
        tokens = Tokens(settings.auth_token_file, "auth_token_file") if settings.auth_token_file else None
        terms = rest_terms(settings, tokens, exposition, pages or {})
        rest = RestDoor(endpoint, self.readiness, self.ledger, metrics, terms, regions=regions)
        servicer = InferenceServicer(endpoint, self.readiness, self.ledger, settings.limits, regions)
        application = rest.application()
        if settings.enable_admin:
            page = Admin(endpoint.info, settings, self.ledger, self.readiness, metrics.registry)
            application.router.add_get("/admin", page.answer)
        self._http = HttpServer(
            application,
            settings.grace,
            self._tls,
            max_header_bytes=settings.max_header_bytes,
            max_connections=settings.max_connections,
        )
        self._grpc = grpc_server.make(servicer, self.readiness, settings, tokens)
        self._local = LocalDoor(servicer.infer, settings.max_send)
        self._handoff: HandoffServicer | None = None
        self.http_port = self.grpc_port = 0

    def offer_handoff(self, regions: Regions | None, *, local_socket: bool) -> None:
        """Let a transformer beside this predictor share its memory, and call over a local socket; before `open`."""
        self._handoff = HandoffServicer(regions, self._local if local_socket else None)
        handoff_pb2_grpc.add_HandoffServicer_to_server(self._handoff, self._grpc)

    async def open(self, unix: str = "") -> None:
        """Listen, on a Unix socket too if one is named; raises PortTaken before anything is served."""
        settings = self._settings
        self.grpc_port = grpc_server.bind(self._grpc, Listen(settings.host, settings.grpc_port, unix), self._tls)
        self.http_port = await self._http.start(Listen(settings.host, settings.http_port))
        if self._handoff:
            await self._local.open()
        await self._grpc.start()
        worker.announce()

    async def close(self) -> None:
        """Refuse new calls on both doors, let the others end within the grace, and export their spans."""
        if self._handoff:
            self._handoff.close()
        grace = self._settings.grace
        await asyncio.gather(self._local.close(grace), self._grpc.stop(grace), self._http.stop())
        if self.ledger.tracing:
            await self.ledger.tracing.close()


def ledger_of(endpoint: Endpoint, metrics: ServerMetrics, settings: DoorSettings, default_timeout: float) -> Ledger:
    """The book of both doors' calls, and the spans of each where the environment asks for them."""
    return Ledger(
        metrics,
        endpoint.models,
        max_in_flight=settings.max_in_flight,
        max_bytes=settings.max_bytes,
        default_timeout=default_timeout or None,
        access_log=settings.enable_latency_logging,
        tracing=activation.start(endpoint.info.name, endpoint.info.version, os.environ),
    )


def server_tls(settings: DoorSettings) -> ServerTls | None:
    """TLS for both doors, if there is a certificate; raises Fatal."""
    require_pair("ssl_", settings.ssl_certfile, settings.ssl_keyfile, [settings.ssl_ca_certs])
    if not settings.ssl_certfile:
        return None
    return ServerTls(settings.ssl_certfile, settings.ssl_keyfile, settings.ssl_ca_certs)


def rest_terms(
    settings: DoorSettings,
    tokens: Tokens | None,
    exposition: Callable[[bytes], Awaitable[bytes]],
    pages: Mapping[str, Handler],
) -> Terms:
    """What the REST side takes, and of whom."""
    return Terms(
        settings.max_receive,
        settings.max_send,
        settings.limits,
        settings.enable_docs_url,
        tokens,
        tuple(origin.strip() for origin in settings.cors_origins.split(",") if origin.strip()),
        exposition,
        pages,
    )
