"""The predictor's side of the pair's handoff: shared memory and the local socket, for whoever can reach them.

A region of the transformer's is mapped for as long as its stream is open.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import AsyncIterator
from typing import Any, TypeAlias

import grpc

from tandem.doors.local import LocalDoor
from tandem.memory.region import NONCE, NoRegion, attach
from tandem.memory.regions import Regions
from tandem.oip import handoff_pb2 as pb
from tandem.oip import handoff_pb2_grpc as pb_grpc

log = logging.getLogger("tandem.handoff")

_Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"  # generic in the stubs only


class HandoffServicer(pb_grpc.HandoffServicer):
    """Each stream's region is known under a name that nobody can guess, and forgotten when the stream ends."""

    def __init__(self, regions: Regions | None, local: LocalDoor | None) -> None:
        self._regions = regions
        self._local = local
        self._closing = asyncio.Event()

    async def Attach(self, request: pb.AttachRequest, context: _Context) -> AsyncIterator[pb.AttachResponse]:
        """Map the region and say how it begins; FAILED_PRECONDITION if it is not to be had here."""
        if self._regions is None:
            await context.abort(grpc.StatusCode.FAILED_PRECONDITION, "this predictor shares no memory")
        try:
            region = attach(request.key, 0, max(request.byte_size, NONCE), take=True)
        except NoRegion as error:
            log.info("no shared memory with this caller", extra={"reason": str(error)})
            await context.abort(grpc.StatusCode.FAILED_PRECONDITION, "the region cannot be mapped here")
        name = f"handoff-{secrets.token_hex(8)}"
        self._regions.add_private(name, region)
        try:
            yield pb.AttachResponse(region=name, nonce=bytes(region.view(0, NONCE)))
            await self._closing.wait()
        finally:
            self._regions.remove_private(name)

    async def Locate(self, request: pb.LocateRequest, context: _Context) -> pb.LocateResponse:
        """Where the local socket is; FAILED_PRECONDITION if there is none."""
        if self._local is None or not self._local.is_open:
            await context.abort(grpc.StatusCode.FAILED_PRECONDITION, "this predictor has no local socket")
        return pb.LocateResponse(socket=self._local.name, token=self._local.token)

    def close(self) -> None:
        """End the streams: the server is about to stop, and would wait for them."""
        self._closing.set()
