"""Cross-origin requests: which pages' scripts may call from a browser (--cors_origins)."""

from __future__ import annotations

from collections.abc import Sequence

import aiohttp_cors
from aiohttp import hdrs, web

_REMEMBERED = 600  # seconds for which a browser need not ask again


def allow(app: web.Application, origins: Sequence[str]) -> None:
    """Let pages of `origins` (`*`: of any) call every route of `app`, without cookies."""
    options = aiohttp_cors.ResourceOptions(  # type: ignore[no-untyped-call]
        allow_headers="*", expose_headers="*", allow_methods="*", max_age=_REMEMBERED
    )
    cors = aiohttp_cors.setup(app, defaults=dict.fromkeys(origins, options))
    for route in list(app.router.routes()):
        cors.add(route)


def is_preflight(http: web.Request) -> bool:
    """Whether a browser asks if it may call; it sends no token with that."""
    return http.method == hdrs.METH_OPTIONS and hdrs.ACCESS_CONTROL_REQUEST_METHOD in http.headers
