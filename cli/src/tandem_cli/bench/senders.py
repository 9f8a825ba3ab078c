"""Sends a body and tells what became of it: the door's own code, and now and then where the time went."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Protocol
from urllib.parse import quote

import aiohttp
import grpc
from tandem import timings
from tandem.client.settings import Settings
from tandem.peer import channel
from tandem.peer.http import JSON_SIZE

from tandem_cli.bench.bodies import Body
from tandem_cli.bench.recorder import OK

PHASES_OF = 8  # one answer in so many is asked for its phases
_METHOD = "/inference.GRPCInferenceService/ModelInfer"


class Sender(Protocol):
    """One way to the server."""

    async def send(self) -> tuple[str, dict[str, float]]:
        """Send the next body: `ok` or another outcome, and perhaps the phases, in seconds."""
        ...

    async def close(self) -> None:
        """Close the connections."""
        ...


class HttpSender:
    """POSTs with binary tensors over kept connections."""

    def __init__(self, settings: Settings, model: str, version: str, bodies: Sequence[Body], timeout: float) -> None:
        scheme = "https" if settings.tls else "http"
        path = f"/v2/models/{quote(model, '')}" + (f"/versions/{quote(version, '')}" if version else "")
        self._url = f"{scheme}://{settings.authority}{settings.path}{path}/infer"
        base = {**settings.headers, "content-type": "application/octet-stream"}
        headed = [(body.data, {**base, JSON_SIZE: str(body.json_size)}) for body in bodies]
        self._bodies = itertools.cycle(headed)
        self._turn = itertools.count()
        connector = aiohttp.TCPConnector(limit=0, ssl=settings.tls.context() if settings.tls else True)
        total = aiohttp.ClientTimeout(total=timeout)
        self._session = aiohttp.ClientSession(connector=connector, timeout=total, cookie_jar=aiohttp.DummyCookieJar())

    async def send(self) -> tuple[str, dict[str, float]]:
        """As Sender has it."""
        data, headers = next(self._bodies)
        try:
            async with self._session.post(self._url, data=data, headers=headers, allow_redirects=False) as reply:
                await reply.read()
        except TimeoutError:
            return "timeout", {}
        except aiohttp.ClientError as error:
            return ("no connection" if isinstance(error, aiohttp.ClientConnectorError) else "cut off"), {}
        if reply.status != 200:
            return str(reply.status), {}
        asked = next(self._turn) % PHASES_OF == 0
        return OK, timings.parse(reply.headers.get("Server-Timing", "")) if asked else {}

    async def close(self) -> None:
        """As Sender has it."""
        await self._session.close()


class GrpcSender:
    """Calls with raw tensors over one channel."""

    def __init__(self, settings: Settings, bodies: Sequence[Body], timeout: float) -> None:
        options = channel.options(-1, -1)
        if settings.tls:
            self._channel = grpc.aio.secure_channel(settings.authority, settings.tls.credentials(), options)
        else:
            self._channel = grpc.aio.insecure_channel(settings.authority, options)
        self._call: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = self._channel.unary_unary(_METHOD)
        self._bodies = itertools.cycle([body.data for body in bodies])
        self._metadata = tuple(settings.headers.items())
        self._turn = itertools.count()
        self._timeout = timeout

    async def send(self) -> tuple[str, dict[str, float]]:
        """As Sender has it."""
        call = self._call(next(self._bodies), timeout=self._timeout, metadata=self._metadata)
        try:
            await call
        except grpc.aio.AioRpcError as error:
            return error.code().name, {}
        if next(self._turn) % PHASES_OF:
            return OK, {}
        trailing = {name: value for name, value in (await call.trailing_metadata() or ()) if name == "server-timing"}
        return OK, timings.parse(str(trailing.get("server-timing", "")))

    async def close(self) -> None:
        """As Sender has it."""
        await self._channel.close()
