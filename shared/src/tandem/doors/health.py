"""grpc.health.v1 over Readiness: computed at each Check, pushed by Watch, whose streams end at drain."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, TypeAlias

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tandem.lifecycle import Readiness

_Status = health_pb2.HealthCheckResponse.ServingStatus
_Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"  # generic in the stubs only


class HealthServicer(health_pb2_grpc.HealthServicer):
    """The overall health ("") and that of each service in `services`: all are the same readiness."""

    def __init__(self, readiness: Readiness, services: frozenset[str]) -> None:
        self._readiness = readiness
        self._services = services | {""}

    async def Check(self, request: health_pb2.HealthCheckRequest, context: _Context) -> health_pb2.HealthCheckResponse:
        """The status now; NOT_FOUND for a service that is not here."""
        if request.service not in self._services:
            await context.abort(grpc.StatusCode.NOT_FOUND, "unknown service")
        return health_pb2.HealthCheckResponse(status=self._status(request.service))

    async def Watch(
        self, request: health_pb2.HealthCheckRequest, context: _Context
    ) -> AsyncIterator[health_pb2.HealthCheckResponse]:
        """The status now and after each change, until the server stops."""
        shown: _Status.ValueType | None = None
        while True:
            if (status := self._status(request.service)) != shown:
                yield health_pb2.HealthCheckResponse(status=status)
                shown = status
            if self._readiness.stopping:
                return
            await self._readiness.change()

    def _status(self, service: str) -> _Status.ValueType:
        if service not in self._services:
            return _Status.SERVICE_UNKNOWN
        return _Status.SERVING if self._readiness.ready else _Status.NOT_SERVING
