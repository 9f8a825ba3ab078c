"""Plain values -> YAML text. It covers what Prometheus' files need, so that the tools need no YAML package."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence

Value = str | int | float | Sequence["Value"] | Mapping[str, "Value"]

_PLAIN = re.compile(r"[A-Za-z_][\w./-]*")
_WORDS = {"true", "false", "yes", "no", "on", "off", "null", "y", "n"}  # YAML 1.1 reads them as something else


def yaml(value: Value, comment: str) -> str:
    """The document, under a comment."""
    return "".join(f"{line}\n" for line in [f"# {comment}", *_lines(value)])


def _lines(value: Value) -> Iterator[str]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _entry(f"{_scalar(key)}:", inner)
    elif isinstance(value, Sequence) and not isinstance(value, str):
        for inner in value:
            first, *rest = _lines(inner)
            yield f"- {first}"
            yield from (f"  {line}" for line in rest)
    else:
        yield _scalar(value)


def _entry(key: str, value: Value) -> Iterator[str]:
    if isinstance(value, str) and "\n" in value:
        yield f"{key} |-"
        yield from (f"  {line}" for line in value.split("\n"))
    elif isinstance(value, (str, int, float)):
        yield f"{key} {_scalar(value)}"
    elif not value:
        yield f"{key} {'{}' if isinstance(value, Mapping) else '[]'}"
    else:
        yield key
        yield from (f"  {line}" for line in _lines(value))


def _scalar(value: str | float) -> str:
    if not isinstance(value, str):
        return repr(value)
    return value if _PLAIN.fullmatch(value) and value.lower() not in _WORDS else json.dumps(value, ensure_ascii=False)
