"""The REST routes around inference: configuration, statistics, the model repository. Triton's paths and JSON."""

from __future__ import annotations

from collections.abc import Mapping

from aiohttp import web

from tandem.codec import json as codec
from tandem.codec import management
from tandem.codec.fields import parameters_of, parse_object
from tandem.doors.endpoint import Endpoint
from tandem.doors.rest import body as body_of
from tandem.errors import InvalidInput


def add_routes(router: web.UrlDispatcher, endpoint: Endpoint, max_body: int) -> None:
    """Add the routes, answered by `endpoint`; bodies have `max_body` bytes at most."""
    routes = _Routes(endpoint, max_body)
    for model in ("/v2/models/{model}", "/v2/models/{model}/versions/{version}"):
        router.add_get(f"{model}/config", routes.config)
        router.add_get(f"{model}/stats", routes.statistics)
    router.add_get("/v2/models/stats", routes.statistics)
    router.add_post("/v2/repository/index", routes.index)
    router.add_post("/v2/repository/models/{model}/load", routes.load)
    router.add_post("/v2/repository/models/{model}/unload", routes.unload)


class _Routes:
    def __init__(self, endpoint: Endpoint, max_body: int) -> None:
        self._endpoint = endpoint
        self._max_body = max_body

    async def config(self, http: web.Request) -> web.Response:
        config = await self._endpoint.config(http.match_info["model"], http.match_info.get("version", ""))
        return _json(management.config_document(config))

    async def statistics(self, http: web.Request) -> web.Response:
        found = self._endpoint.statistics(http.match_info.get("model", ""), http.match_info.get("version", ""))
        return _json({"model_stats": [model.document() for model in found]})

    async def index(self, http: web.Request) -> web.Response:
        ready = (await self._document(http)).get("ready", False)
        if not isinstance(ready, bool):
            raise InvalidInput("'ready' is not true or false")
        return _json(management.index_document([m for m in self._endpoint.index() if m.ready or not ready]))

    async def load(self, http: web.Request) -> web.Response:
        management.refuse_overrides(parameters_of(await self._document(http), ""))
        await self._endpoint.load(http.match_info["model"])
        return _json({})

    async def unload(self, http: web.Request) -> web.Response:
        await self._endpoint.unload(http.match_info["model"])
        return _json({})

    async def _document(self, http: web.Request) -> Mapping[str, object]:
        """The body, which may be left out."""
        body = await body_of.read(http, self._max_body)
        return parse_object(body) if body.strip() else {}


def _json(document: object) -> web.Response:
    return web.Response(body=codec.encode(document), content_type="application/json")
