"""HTTP with the binary data extension: one session, which keeps its connections."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any
from urllib.parse import quote

import aiohttp
import orjson

from tandem import tensors
from tandem.client.result import Document, InferResult, ServerMetadata
from tandem.client.settings import Settings
from tandem.client.terms import NotSent, Terms
from tandem.codec import json as codec
from tandem.cpus import apart
from tandem.errors import (
    CLASS_OF_HTTP,
    DeadlineExceeded,
    Internal,
    InvalidInput,
    PayloadTooLarge,
    TandemError,
    Unavailable,
)
from tandem.inference import InferRequest
from tandem.metadata import ModelMetadata
from tandem.model.config import ModelIndex
from tandem.peer.http import JSON_SIZE, TIMEOUT, whole
from tandem.timings import parse


class OverHttp:
    """The transport of http:// and https://. It belongs to the event loop that uses it first."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        scheme = "https" if settings.tls else "http"
        self._base = f"{scheme}://{settings.authority}{settings.path}"
        self._session: aiohttp.ClientSession | None = None

    async def infer(self, request: InferRequest, terms: Terms) -> InferResult:
        """The answer to one request."""
        encode = partial(codec.encode_binary_request, request)
        parts, size = await apart(encode) if tensors.take_long(request.inputs) else encode()
        path = f"{_model(request.model_name, request.model_version)}/infer"
        reply, body = await self._ask("POST", path, terms, b"".join(parts), {JSON_SIZE: str(size)})
        json_size = whole(reply.headers.get(JSON_SIZE, ""))
        try:
            response = codec.decode_response(body, json_size)
        except InvalidInput as error:
            raise Internal(f"the server's answer breaks the protocol: {error.message}") from error
        return InferResult(response, parse(reply.headers.get("Server-Timing", "")))

    async def live(self, terms: Terms) -> bool:
        """Whether the server runs."""
        return await self._tells("/v2/health/live", terms)

    async def ready(self, terms: Terms) -> bool:
        """Whether it takes requests."""
        return await self._tells("/v2/health/ready", terms)

    async def model_ready(self, model: str, version: str, terms: Terms) -> bool:
        """Whether a model takes requests."""
        return await self._tells(f"{_model(model, version)}/ready", terms)

    async def server(self, terms: Terms) -> ServerMetadata:
        """What the server says of itself."""
        found = await self._get("/v2", terms)
        return ServerMetadata(
            str(found.get("name", "")), str(found.get("version", "")), tuple(found.get("extensions", ()))
        )

    async def metadata(self, model: str, version: str, terms: Terms) -> ModelMetadata:
        """What it says of a model."""
        _, body = await self._ask("GET", _model(model, version), terms)
        try:
            return codec.decode_metadata(body)
        except InvalidInput as error:
            raise Internal(f"the server's answer breaks the protocol: {error.message}") from error

    async def config(self, model: str, version: str, terms: Terms) -> Document:
        """A model's configuration."""
        document: Document = await self._get(f"{_model(model, version)}/config", terms)
        return document

    async def statistics(self, model: str, version: str, terms: Terms) -> Sequence[Document]:
        """The statistics of the versions of a model, or of all."""
        found = await self._get(f"{_model(model, version) if model else '/v2/models'}/stats", terms)
        documents: list[Document] = found.get("model_stats", [])
        return documents

    async def models(self, terms: Terms, *, ready: bool) -> Sequence[ModelIndex]:
        """The versions that the repository has."""
        _, body = await self._ask("POST", "/v2/repository/index", terms, orjson.dumps({"ready": ready}))
        return [
            ModelIndex(one["name"], one.get("version", ""), one.get("state", "") == "READY", one.get("reason", ""))
            for one in _json(body)
        ]

    async def load(self, model: str, terms: Terms) -> None:
        """Load a model."""
        await self._ask("POST", f"/v2/repository/models/{quote(model, '')}/load", terms, b"{}")

    async def unload(self, model: str, terms: Terms) -> None:
        """Unload a model."""
        await self._ask("POST", f"/v2/repository/models/{quote(model, '')}/unload", terms, b"{}")

    async def close(self) -> None:
        """Close the connections."""
        if self._session:
            await self._session.close()

    async def _tells(self, path: str, terms: Terms) -> bool:
        _, body = await self._ask("GET", path, terms)
        document = _json(body) if body.strip() else {}  # Triton's answer has no body
        return not isinstance(document, dict) or document.get("ready", document.get("live", True)) is True

    async def _get(self, path: str, terms: Terms) -> Document:
        _, body = await self._ask("GET", path, terms)
        document = _json(body)
        if not isinstance(document, dict):
            raise Internal("the server's answer breaks the protocol: it is no JSON object")
        return document

    async def _ask(
        self, method: str, path: str, terms: Terms, body: bytes | None = None, own: dict[str, str] | None = None
    ) -> tuple[aiohttp.ClientResponse, bytes]:
        """One exchange; raises TandemError."""
        terms.deadline.check("the server was asked")
        left = terms.deadline.remaining
        kind = "application/octet-stream" if own else "application/json"
        headers = {**self._settings.headers, "content-type": kind, **terms.headers, **(own or {})}
        if left is not None:
            headers[TIMEOUT] = str(max(1, int(left * 1e3)))
        session = self._session = self._session or self._open()
        try:
            async with session.request(
                method,
                self._base + path,
                data=body,
                allow_redirects=False,  # it would be a GET without the body, or our headers elsewhere
                headers=headers,
                timeout=aiohttp.ClientTimeout(total=left),
                **self._tls(),
            ) as reply:
                data = await self._read(reply)
        except TimeoutError:
            raise DeadlineExceeded(f"no answer within the deadline, from {self._base}") from None
        except aiohttp.ClientSSLError as error:
            raise Unavailable(f"{self._base} cannot be trusted: {error}") from error
        except aiohttp.ClientConnectorError as error:
            raise NotSent(f"{self._base} cannot be reached: {error.strerror or error}") from error
        except aiohttp.ClientError as error:
            raise Unavailable(f"the connection to {self._base} broke: {error or type(error).__name__}") from error
        if reply.status >= 300:
            raise _error(reply.status, data, reply.headers.get("Retry-After", ""))
        return reply, data

    def _open(self) -> aiohttp.ClientSession:
        connector = aiohttp.TCPConnector(limit=self._settings.max_connections)
        return aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar())

    def _tls(self) -> dict[str, Any]:  # as aiohttp takes it
        tls = self._settings.tls
        return {"ssl": tls.context(), "server_hostname": tls.server_name or None} if tls else {}

    async def _read(self, reply: aiohttp.ClientResponse) -> bytes:
        """The whole answer, of at most the size that is taken."""
        most, data = self._settings.max_message_bytes, bytearray()
        async for chunk in reply.content.iter_any():
            data += chunk
            if len(data) > most:
                raise PayloadTooLarge(f"the server's answer is larger than {most} bytes (max_message_bytes)")
        return bytes(data)


def _model(model: str, version: str) -> str:
    return f"/v2/models/{quote(model, '')}" + (f"/versions/{quote(version, '')}" if version else "")


def _json(body: bytes) -> Any:  # a JSON document
    try:
        return orjson.loads(body)
    except ValueError:
        raise Internal("the server's answer breaks the protocol: it is no JSON") from None


def _error(status: int, body: bytes, retry_after: str) -> TandemError:
    try:
        text = codec.decode_error(body)
    except ValueError:
        text = f"the server answered {status}"
    return CLASS_OF_HTTP.get(status, Internal)(text, retry_after=whole(retry_after))
