"""The OpenAPI document of the REST side, and with --enable_docs_url a page that shows it without any network."""

from __future__ import annotations

from importlib import resources

from aiohttp import web


def add_routes(router: web.UrlDispatcher, *, docs: bool) -> None:
    """Serve /openapi.json, and /docs if asked for."""
    router.add_get("/openapi.json", _document)
    if docs:
        router.add_get("/docs", _page)


async def _document(_http: web.Request) -> web.Response:
    return web.Response(body=_read("openapi.json"), content_type="application/json")


async def _page(_http: web.Request) -> web.Response:
    return web.Response(body=_read("docs.html"), content_type="text/html")


def _read(name: str) -> bytes:
    return (resources.files("tandem.doors.rest") / name).read_bytes()
