"""The HTTP door: the protocol's REST form onto an Endpoint. bytes -> codec -> endpoint -> codec -> bytes."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import partial

from aiohttp import hdrs, web
from aiohttp.typedefs import Middleware
from prometheus_client.openmetrics.exposition import CONTENT_TYPE_LATEST as OPENMETRICS

from tandem import tensors
from tandem.codec import json as codec
from tandem.codec import v1
from tandem.codec.shared_memory import Room
from tandem.cpus import apart
from tandem.deadline import Alarm, Deadline
from tandem.doors.endpoint import Endpoint
from tandem.doors.ledger import Ledger
from tandem.doors.rest import body as body_of
from tandem.doors.rest import cors, management, openapi, system_memory
from tandem.doors.rest.server import hold_to
from tandem.doors.translation import INTERNAL
from tandem.errors import InvalidInput, NotFound, PayloadTooLarge, TandemError
from tandem.inference import Call, InferRequest, Limits
from tandem.lifecycle import Readiness
from tandem.memory.regions import Regions
from tandem.metrics import ServerMetrics
from tandem.peer.http import JSON_SIZE, TIMEOUT
from tandem.security.tokens import Tokens

log = logging.getLogger("tandem.http")


_LONGEST_TIMEOUT = 86_400_000  # milliseconds; a day
_WORTH_READING = 256 * 1024  # bytes
_WORTH_COMPRESSING = 1024  # bytes; less gains nothing
_V1_PREDICT = "/v1/models/{model}:predict"  # as the route is called in spans
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


async def alone(exposition: bytes) -> bytes:
    """The service's own metrics and no others."""
    return exposition


@dataclass(frozen=True, slots=True)
class Terms:
    """What is taken, of whom, and what is shown beside inference."""

    body: int  # bytes, before and after decompression
    answer: int  # bytes, before compression
    limits: Limits
    docs: bool
    tokens: Tokens | None = None  # who has none of them is refused
    origins: tuple[str, ...] = ()  # whose pages may call from a browser
    exposition: Callable[[bytes], Awaitable[bytes]] = alone  # what /metrics makes of the service's own
    pages: Mapping[str, Handler] = field(default_factory=dict)  # by path; they are for everybody, with a token or not


class RestDoor:
    """The routes. Errors are raised as TandemError; `_translate` turns them into answers."""

    def __init__(
        self,
        endpoint: Endpoint,
        readiness: Readiness,
        ledger: Ledger,
        metrics: ServerMetrics,
        terms: Terms,
        *,
        regions: Regions | None = None,
    ) -> None:
        self._endpoint = endpoint
        self._readiness = readiness
        self._ledger = ledger
        self._metrics = metrics
        self._terms = terms
        self._regions = regions or Regions(public=False)
        self._lookup = regions.view if regions else None  # without regions, tensors in shared memory are refused

    def application(self) -> web.Application:
        """The aiohttp application with every route."""
        app = web.Application(middlewares=[self._middleware()], client_max_size=self._terms.body)
        for model in ("/v2/models/{model}", "/v2/models/{model}/versions/{version}"):
            app.router.add_post(f"{model}/infer", partial(self._infer, f"{model}/infer"))
            app.router.add_get(model, self._model)
            app.router.add_get(f"{model}/ready", self._model_ready)
        for path in ("/v2", "/v2/"):
            app.router.add_get(path, self._server)
        app.router.add_get("/v2/models", self._models)
        app.router.add_get("/v2/health/live", self._live)
        app.router.add_get("/v2/health/ready", self._ready)
        app.router.add_get("/metrics", self._exposition)
        app.router.add_get("/v1/models", self._models)
        app.router.add_get("/v1/models/{model:[^:/]+}", self._v1_model)
        app.router.add_post("/v1/models/{model:[^:/]+}:predict", self._v1_predict)
        management.add_routes(app.router, self._endpoint, self._terms.body)
        system_memory.add_routes(app.router, self._regions, self._terms.body)
        openapi.add_routes(app.router, docs=self._terms.docs)
        app.router.add_routes([web.get(path, page) for path, page in self._terms.pages.items()])
        if self._terms.origins:
            cors.allow(app, self._terms.origins)
        return app

    async def _infer(self, route: str, http: web.Request) -> web.Response:
        model = http.match_info["model"]
        with self._ledger.open("http", model, http.headers, None, route) as call, Alarm(_deadline(http, call)) as alarm:
            body = await body_of.read(http, self._terms.body, partial(self._ledger.hold, call))
            request = await self._decode(http, body, call)
            call.begin(request)
            hold_to(http, call.deadline)
            alarm.set(call.deadline)
            room = Room(request, self._lookup)
            response = await self._endpoint.infer(request, call)
            with call.timings.phase("encode"):
                encode = partial(codec.encode_response, response, request, room)
                answer, json_size = await apart(encode) if tensors.take_long(response.outputs) else encode()
            return self._answer(http, answer, call, json_size)

    async def _decode(self, http: web.Request, body: bytes, call: Call) -> InferRequest:
        model, version = http.match_info["model"], http.match_info.get("version", "")
        json_size = _json_size(http)
        metadata = await self._endpoint.metadata(model, version) if json_size == 0 and body else None
        with call.timings.phase("decode"):
            if metadata:
                return codec.decode_raw_request(body, metadata, version)
            terms = (model, version, json_size, self._terms.limits)
            decode = partial(codec.decode_request, body, *terms, lookup=self._lookup)
            return await apart(decode) if len(body) >= tensors.LONG else decode()

    async def _v1_predict(self, http: web.Request) -> web.Response:
        model = http.match_info["model"]
        with (
            self._ledger.open("http", model, http.headers, None, _V1_PREDICT) as call,
            Alarm(_deadline(http, call)) as alarm,
        ):
            body = await body_of.read(http, self._terms.body, partial(self._ledger.hold, call))
            metadata = await self._endpoint.metadata(model, "")
            with call.timings.phase("decode"):
                decode = partial(v1.decode_request, body, metadata, self._terms.limits)
                request = await apart(decode) if len(body) >= tensors.LONG else decode()
            call.begin(request)
            hold_to(http, call.deadline)
            alarm.set(call.deadline)
            response = await self._endpoint.infer(request, call)
            with call.timings.phase("encode"):
                encode = partial(v1.encode_response, response)
                answer = await apart(encode) if tensors.take_long(response.outputs) else encode()
            return self._answer(http, answer, call, None)

    async def _v1_model(self, http: web.Request) -> web.Response:
        return self._readiness_of(http.match_info["model"], "")

    async def _server(self, http: web.Request) -> web.Response:
        info = self._endpoint.info
        return _json({"name": info.name, "version": info.version, "extensions": list(info.extensions)})

    async def _models(self, http: web.Request) -> web.Response:
        return _json({"models": list(self._endpoint.models())})

    async def _model(self, http: web.Request) -> web.Response:
        metadata = await self._endpoint.metadata(http.match_info["model"], http.match_info.get("version", ""))
        return web.Response(body=codec.encode_metadata(metadata), content_type="application/json")

    async def _model_ready(self, http: web.Request) -> web.Response:
        return self._readiness_of(http.match_info["model"], http.match_info.get("version", ""))

    def _readiness_of(self, name: str, version: str) -> web.Response:
        if self._endpoint.model_ready(name, version) and self._readiness.ready:
            return _json({"name": name, "ready": True})
        reason = self._readiness.reason or f"model '{name}' is not loaded"
        return _json({"name": name, "ready": False, "error": f"not ready: {reason}"}, 503)

    async def _live(self, http: web.Request) -> web.Response:
        return _json({"live": True})

    async def _ready(self, http: web.Request) -> web.Response:
        if (reason := self._readiness.reason) is None:
            return _json({"ready": True})
        return _json({"ready": False, "error": f"not ready: {reason}"}, 503)

    async def _exposition(self, http: web.Request) -> web.Response:
        if "application/openmetrics-text" in http.headers.get(hdrs.ACCEPT, "") and self._terms.exposition is alone:
            shown = self._metrics.exposition(openmetrics=True)
            return web.Response(body=shown, headers={hdrs.CONTENT_TYPE: OPENMETRICS})
        headers = {hdrs.CONTENT_TYPE: "text/plain; version=0.0.4; charset=utf-8"}
        return web.Response(body=await self._terms.exposition(self._metrics.exposition()), headers=headers)

    def _answer(self, http: web.Request, body: bytes, call: Call, json_size: int | None) -> web.Response:
        """An inference's answer, compressed if the client asks for it and it is worth it."""
        if len(body) > self._terms.answer:
            raise PayloadTooLarge(f"the response is larger than {self._terms.answer} bytes (--max_message_bytes)")
        headers = {**(call.reply_headers or {}), "Server-Timing": call.timings.header()}
        response = web.Response(body=body, headers=headers)
        response.content_type = "application/json" if json_size is None else "application/octet-stream"
        if json_size is not None:
            response.headers[JSON_SIZE] = str(json_size)
        if len(body) >= _WORTH_COMPRESSING and hdrs.ACCEPT_ENCODING in http.headers:
            response.enable_compression()
        return response

    def _middleware(self) -> Middleware:
        @web.middleware
        async def translate(request: web.Request, handler: Handler) -> web.StreamResponse:
            return await self._translate(request, handler)

        return translate

    async def _translate(self, http: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            if self._terms.tokens and http.path not in self._terms.pages and not cors.is_preflight(http):
                self._terms.tokens.check_http(http.path, http.headers.get(hdrs.AUTHORIZATION, ""))
            response = await handler(http)
        except TandemError as error:
            response = _error(error)
        except web.HTTPException as error:
            response = _json({"error": _reason(http, error)}, error.status)
            if allow := error.headers.get(hdrs.ALLOW):
                response.headers[hdrs.ALLOW] = allow
        except Exception:
            log.exception("an HTTP request failed")
            response = _json({"error": INTERNAL}, 500)
        if self._readiness.stopping or (response.status >= 400 and not _worth_reading(http, response)):
            response.force_close()
        return response


def _worth_reading(http: web.Request, response: web.StreamResponse) -> bool:
    """Whether what is left of a refused body will come, and costs less to read than a new connection would."""
    if http.content.is_eof():
        return True
    length = http.content_length
    comes = response.status != 504 and http.content.exception() is None
    return comes and hdrs.CONTENT_ENCODING not in http.headers and length is not None and length <= _WORTH_READING


def _error(error: TandemError) -> web.Response:
    response = _json({"error": error.message}, error.http_status)
    if error.retry_after is not None:
        response.headers[hdrs.RETRY_AFTER] = str(error.retry_after)
    if error.http_status == 401:
        response.headers[hdrs.WWW_AUTHENTICATE] = "Bearer"
    return response


def _reason(http: web.Request, error: web.HTTPException) -> str:
    if isinstance(error, web.HTTPNotFound):
        return NotFound("no such route; see GET /v2 and the documentation").message
    if isinstance(error, web.HTTPMethodNotAllowed):
        return f"{error.method} is not allowed here, expected {', '.join(sorted(error.allowed_methods))}"
    return error.reason


def _json(document: object, status: int = 200) -> web.Response:
    return web.Response(body=codec.encode(document), status=status, content_type="application/json")


def _deadline(http: web.Request, call: Call) -> Deadline:
    """The call's deadline, which is the caller's own if it gives one; raises InvalidInput."""
    if (text := http.headers.get(TIMEOUT)) is not None:
        if not text.isascii() or not text.isdigit() or len(text) > 18 or not 0 < int(text) <= _LONGEST_TIMEOUT:
            most = f"milliseconds as a whole number from 1 to {_LONGEST_TIMEOUT}"
            raise InvalidInput(f"{TIMEOUT} is '{text[:40]}', expected {most}")
        call.deadline = Deadline.after(int(text) / 1e3)
    return call.deadline


def _json_size(http: web.Request) -> int | None:
    text = http.headers.get(JSON_SIZE)
    if text is None:
        return None
    if not text.isascii() or not text.isdigit() or len(text) > 18:
        raise InvalidInput(f"{JSON_SIZE} is not a whole number of bytes")
    return int(text)
