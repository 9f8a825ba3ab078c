"""grpc.health.v1 over Readiness: computed at each Check, pushed by Watch, whose streams end at drain."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Literal, TypeAlias

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tandem.lifecycle import Readiness

_Response = health_pb2.HealthCheckResponse
_Status: TypeAlias = Literal["SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"]
_Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"  # generic in the stubs only


class HealthServicer(health_pb2_grpc.HealthServicer):
    """The overall health ("") and that of each service in `services`: all are the same readiness."""

    def __init__(self, readiness: Readiness, services: frozenset[str]) -> None:
        self._readiness = readiness
        self._services = services | {""}

    async def Check(self, request: health_pb2.HealthCheckRequest, context: _Context) -> _Response:
        """The status now; NOT_FOUND for a service that is not here."""
        if request.service not in self._services:
            await context.abort(grpc.StatusCode.NOT_FOUND, "unknown service")
        return _Response(status=self._status(request.service))

    async def Watch(self, request: health_pb2.HealthCheckRequest, context: _Context) -> AsyncIterator[_Response]:
        """The status now and after each change, until the server stops."""
        shown = None
        while True:
            if (status := self._status(request.service)) != shown:
                yield _Response(status=status)
                shown = status  # look again: it may have changed while that was written
            elif self._readiness.stopping:
                return
            else:
                await self._readiness.change()

    def _status(self, service: str) -> _Status:
        if service not in self._services:
            return "SERVICE_UNKNOWN"
        return "SERVING" if self._readiness.ready else "NOT_SERVING"
