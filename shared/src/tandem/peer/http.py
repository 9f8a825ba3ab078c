"""What an answer over HTTP says beside its body."""

from __future__ import annotations

JSON_SIZE = "Inference-Header-Content-Length"
TIMEOUT = "x-request-timeout-ms"


def whole(text: str) -> int | None:
    """The number that a header's text is; None if it is none. Python takes other digits than ASCII's for digits too."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 18 else None
