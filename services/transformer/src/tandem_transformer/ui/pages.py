"""The files of the page, read once at start: GET / to who accepts text/html, GET /ui/{file}.

They hold nothing of a model or a request, so they need no token; whatever the page asks for does.
"""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Mapping
from importlib import resources
from pathlib import PurePath

from aiohttp import ETag, hdrs, web
from tandem.doors.rest.door import Handler

_FRONT = "index.html"
_TYPES = {".css": "text/css", ".html": "text/html", ".js": "text/javascript", ".svg": "image/svg+xml"}
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types"
)
_HEADERS = {
    hdrs.CACHE_CONTROL: "no-cache",  # kept, but asked for again each time: an answer of 304 is short
    hdrs.CONTENT_SECURITY_POLICY: _POLICY,
    hdrs.X_CONTENT_TYPE_OPTIONS: "nosniff",
    "Referrer-Policy": "no-referrer",
}


def pages() -> Mapping[str, Handler]:
    """The handler of each path."""
    assets = resources.files("tandem_transformer.ui") / "assets"
    files = {file.name: _File(file.name, file.read_bytes()) for file in assets.iterdir()}
    front = files.pop(_FRONT)
    return {"/": front.answer_to_browsers, **{f"/ui/{name}": file.answer for name, file in files.items()}}


class _File:
    def __init__(self, name: str, content: bytes) -> None:
        self._content = content
        self._zipped = gzip.compress(content, mtime=0)
        self._type = _TYPES[PurePath(name).suffix]
        self._tag = ETag(hashlib.sha256(content).hexdigest()[:20], is_weak=True)  # weak: of both codings

    async def answer(self, http: web.Request) -> web.StreamResponse:
        """The file, or 304 to who has it."""
        response = web.Response(headers={**_HEADERS, hdrs.VARY: f"{hdrs.ACCEPT}, {hdrs.ACCEPT_ENCODING}"})
        response.etag = self._tag
        if any(tag.value in (self._tag.value, "*") for tag in http.if_none_match or ()):
            response.set_status(304)
            return response
        response.content_type, response.charset = self._type, "utf-8"
        zipped = "gzip" in http.headers.get(hdrs.ACCEPT_ENCODING, "")
        if zipped:
            response.headers[hdrs.CONTENT_ENCODING] = "gzip"
        response.body = self._zipped if zipped else self._content
        return response

    async def answer_to_browsers(self, http: web.Request) -> web.StreamResponse:
        """The same to who accepts HTML; others get what they would without the page."""
        if self._type not in http.headers.get(hdrs.ACCEPT, ""):
            raise web.HTTPNotFound
        return await self.answer(http)
