"""The REST routes of Triton's system shared memory extension. Source: Triton, "Shared-Memory Extension", HTTP."""

from __future__ import annotations

from aiohttp import web

from tandem.codec import json as codec
from tandem.codec import management
from tandem.codec.fields import parse_object, text_of
from tandem.doors.rest import body as body_of
from tandem.errors import InvalidInput
from tandem.memory.regions import Regions

_PATH = "/v2/systemsharedmemory"


def add_routes(router: web.UrlDispatcher, regions: Regions, max_body: int) -> None:
    """Add the routes; bodies have `max_body` bytes at most."""
    routes = _Routes(regions, max_body)
    for path in (_PATH, f"{_PATH}/region/{{region}}"):
        router.add_get(f"{path}/status", routes.status)
        router.add_post(f"{path}/unregister", routes.unregister)
    router.add_post(f"{_PATH}/region/{{region}}/register", routes.register)


class _Routes:
    def __init__(self, regions: Regions, max_body: int) -> None:
        self._regions = regions
        self._max_body = max_body

    async def status(self, http: web.Request) -> web.Response:
        found = self._regions.status(http.match_info.get("region", ""))
        return _json(management.regions_document(found))

    async def register(self, http: web.Request) -> web.Response:
        self._regions.require_public()
        document = parse_object(await body_of.read(http, self._max_body))
        offset, size = document.get("offset", 0), document.get("byte_size")
        if not isinstance(offset, int) or not isinstance(size, int):
            raise InvalidInput("'offset' or 'byte_size' is not a whole number of bytes")
        self._regions.register(http.match_info["region"], text_of(document, "key"), offset, size)
        return _json({})

    async def unregister(self, http: web.Request) -> web.Response:
        self._regions.unregister(http.match_info.get("region", ""))
        return _json({})


def _json(document: object) -> web.Response:
    return web.Response(body=codec.encode(document), content_type="application/json")
