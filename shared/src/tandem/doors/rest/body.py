"""A request's body: read whole, decompressed by the server below, never larger than the limit."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from aiohttp import hdrs, web

from tandem.doors.rest.server import CODINGS
from tandem.errors import InvalidInput, PayloadTooLarge, UnsupportedMediaType

_CODINGS = ("", "identity", "gzip", "deflate")


async def read(http: web.Request, limit: int, hold: Callable[[int], None] = lambda size: None) -> bytes:
    """The bytes, of which `hold` is told as they come and may raise.

    Raises UnsupportedMediaType, PayloadTooLarge over `limit` bytes, or InvalidInput if it breaks off.
    """
    coded = hdrs.CONTENT_ENCODING in http.headers
    if coded and http.headers[hdrs.CONTENT_ENCODING].strip().lower() not in _CODINGS:
        raise UnsupportedMediaType(CODINGS)
    if (http.content_length or 0) > limit:
        raise _too_large(limit)
    chunks, size = [], 0
    try:
        while chunk := await http.content.readany():
            size += len(chunk)
            if size > limit:
                raise _too_large(limit)
            hold(len(chunk))
            chunks.append(chunk)
            if coded:  # a little of it unpacks to much, all of which is there at once: others come in between
                await asyncio.sleep(0)
    except web.RequestPayloadError as error:
        raise InvalidInput("the body cannot be read: it breaks off, or is not what Content-Encoding says") from error
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)


def _too_large(limit: int) -> PayloadTooLarge:
    return PayloadTooLarge(f"the body is larger than {limit} bytes (--max_message_bytes)")
