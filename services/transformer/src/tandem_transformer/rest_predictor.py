"""Predictors that speak REST: the Open Inference Protocol v2, or KServe's V1."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import aiohttp
from tandem.codec import json as v2
from tandem.codec import v1
from tandem.errors import (
    CLASS_OF_HTTP,
    DeadlineExceeded,
    Internal,
    InvalidInput,
    PayloadTooLarge,
    TandemError,
    Unavailable,
)
from tandem.inference import Call, InferRequest, InferResponse
from tandem.metadata import ModelMetadata
from tandem.peer.http import whole
from tandem.security.tls import ClientTls
from tandem.security.tokens import Tokens
from tandem.timings import parse

from tandem_transformer.hop.calling import calling, server
from tandem_transformer.hop.forwarding import Forwarding
from tandem_transformer.predictor import MARGIN, PREDICTOR_PHASES

_JSON = {"Content-Type": "application/json"}


@dataclass(frozen=True, slots=True)
class _Reply:
    body: bytes
    json_size: int | None
    timing: str


class RestPredictor:
    """What both protocols share: one session that keeps its connections, and the meaning of statuses."""

    connected = True  # for all that its idle connections tell

    def __init__(
        self,
        base: str,
        max_receive: int,
        forwarding: Forwarding,
        tls: ClientTls | None = None,
        tokens: Tokens | None = None,
    ) -> None:
        self._base = base  # http://host:port or https://...
        self._max_receive = max_receive
        self._forwarding = forwarding
        self._tls = tls
        self._tokens = tokens
        self._session: aiohttp.ClientSession | None = None
        self._span = {"http.request.method": "POST", **server(base.partition("//")[2])}

    async def close(self) -> None:
        """Close the connections."""
        if self._session:
            await self._session.close()

    async def _ask(self, method: str, path: str, body: bytes | None = None, call: Call | None = None) -> _Reply:
        """One exchange; raises the TandemError that stands for its failure."""
        self._session = self._session or aiohttp.ClientSession()  # made on the loop that uses it
        remaining = call.deadline.earlier(MARGIN).remaining if call else 5.0
        headers = _JSON | self._headers(call, remaining)
        timeout = aiohttp.ClientTimeout(total=remaining)
        try:
            async with self._session.request(
                method, self._base + path, data=body, headers=headers, timeout=timeout, **encryption(self._tls)
            ) as r:
                data = await self._read(r)
                if call and (trace := call.timings.trace):
                    trace.note("url.full", self._base + path)
                    trace.note("http.response.status_code", r.status)
                if r.status >= 300:
                    raise _error(r.status, data, r.headers.get("Retry-After", ""))
                size = whole(r.headers.get("Inference-Header-Content-Length", ""))
                return _Reply(data, size, r.headers.get("Server-Timing", ""))
        except TimeoutError:
            raise DeadlineExceeded("the request's deadline passed while the predictor worked on it") from None
        except aiohttp.ClientError:
            raise Unavailable("the predictor cannot be reached", retry_after=1) from None

    def _headers(self, call: Call | None, remaining: float | None) -> dict[str, str]:
        own = {"authorization": f"Bearer {self._tokens.first}"} if self._tokens else {}
        if not call:
            return own
        own["x-request-id"] = call.id
        if remaining is not None:
            own["x-request-timeout-ms"] = str(max(1, int(remaining * 1e3)))
        return self._forwarding.of(call, **own)

    async def _read(self, reply: aiohttp.ClientResponse) -> bytes:
        """The whole answer, of at most the size that is taken."""
        data = bytearray()
        async for chunk in reply.content.iter_any():
            data += chunk
            if len(data) > self._max_receive:
                limit = f"{self._max_receive} bytes (--max_message_bytes)"
                raise PayloadTooLarge(f"the predictor's answer is larger than {limit}")
        return bytes(data)


class V2Predictor(RestPredictor):
    """The Open Inference Protocol over REST."""

    async def infer(self, request: InferRequest, call: Call) -> InferResponse:
        """The predictor's answer; adds its phases and `hop` to `call.timings`."""
        start = time.perf_counter()
        version = f"/versions/{request.model_version}" if request.model_version else ""
        path = f"/v2/models/{request.model_name}{version}/infer"
        with calling(call, "POST", self._span):
            reply = await self._ask("POST", path, v2.encode_request(request), call)
        try:
            response = v2.decode_response(reply.body, reply.json_size)
        except InvalidInput as error:
            raise Internal(f"the predictor's answer breaks the protocol: {error.message}") from error
        _time(call, reply, time.perf_counter() - start)
        return response

    async def metadata(self, name: str) -> ModelMetadata:
        """The model as the predictor describes it."""
        reply = await self._ask("GET", f"/v2/models/{name}")
        try:
            return v2.decode_metadata(reply.body)
        except InvalidInput:
            return ModelMetadata(name, (), "", (), ())  # it does not describe its models

    async def ready(self, name: str, *, pending: bool) -> bool:
        """Whether the predictor would take a request."""
        await self._ask("GET", f"/v2/models/{name}/ready")
        return True


class V1Predictor(RestPredictor):
    """KServe's V1: instances in, predictions out, without names or datatypes."""

    async def infer(self, request: InferRequest, call: Call) -> InferResponse:
        """The predictions, as the output `predictions` unless they have names of their own."""
        start = time.perf_counter()
        path = f"/v1/models/{request.model_name}:predict"
        with calling(call, "POST", self._span):
            reply = await self._ask("POST", path, v1.encode_request(request.inputs), call)
        try:
            outputs = v1.decode_response(reply.body)
        except (ValueError, KeyError, TypeError, InvalidInput) as error:
            raise Internal("the predictor's answer breaks the V1 protocol: it has no predictions") from error
        _time(call, reply, time.perf_counter() - start)
        return InferResponse(model_name=request.model_name, model_version="", id=call.id, outputs=outputs)

    async def metadata(self, name: str) -> ModelMetadata:
        """V1 describes nothing."""
        return ModelMetadata(name, (), "", (), ())

    async def ready(self, name: str, *, pending: bool) -> bool:
        """Whether the predictor would take a request."""
        await self._ask("GET", f"/v1/models/{name}")
        return True


def _time(call: Call, reply: _Reply, seconds: float) -> None:
    phases = {name: value for name, value in parse(reply.timing).items() if name in PREDICTOR_PHASES}
    for name in ("queue", "batch", "inference"):
        if name in phases:
            call.timings.add(name, phases[name])
    call.timings.add("hop", max(0.0, seconds - sum(phases.values())))


def _error(status: int, body: bytes, retry_after: str) -> TandemError:
    """The predictor's status as our own, with its words where it refused the request and not where it failed."""
    kind = CLASS_OF_HTTP.get(status, Internal)
    if kind in (Internal, Unavailable, DeadlineExceeded):
        texts = {Unavailable: "the predictor is not ready", DeadlineExceeded: "the predictor took too long"}
        return kind(texts.get(kind, "the predictor failed on this request; its log says more"), retry_after=1)
    error = kind(_words(body) or f"the predictor answered {status}")
    if (seconds := whole(retry_after)) is not None:
        error.retry_after = seconds
    return error


def encryption(tls: ClientTls | None) -> dict[str, Any]:
    """What a request of aiohttp's is given; at each, so that other certificates count from the next connection on."""
    return {"ssl": tls.context(), "server_hostname": tls.server_name or None} if tls else {}


def _words(body: bytes) -> str:
    try:
        document = v2.decode_error(body)
    except ValueError:
        return ""
    return document
