"""Where a server is and how to be let in: arguments that commands share -> arguments of tandem.client."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from tandem.client import AsyncClient, Tls


class BadUse(Exception):
    """Arguments that cannot be; the text says which."""


def add_arguments(parser: argparse.ArgumentParser, url: str, where: str) -> None:
    """Add the arguments; `url` is the default, of what `where` says."""
    text = f"http://, https://, grpc:// or grpcs:// of {where}" + (f" [{url}]" if url else "")
    parser.add_argument("--url", default=url, metavar="URL", help=text)
    flag(parser, "timeout", "SECONDS", "for each answer, retries included [60]", type=_seconds, default=60.0)
    flag(parser, "token_file", "FILE", "its first line is the bearer token to send", default="")
    flag(parser, "cacert", "FILE", "PEM authorities to trust [the system's]", default="")
    flag(parser, "cert", "FILE", "PEM certificate to show", default="")
    flag(parser, "key", "FILE", "PEM key of that certificate", default="")


def flag(parser: argparse._ActionsContainer, name: str, metavar: str, text: str, **more: Any) -> None:
    """Add a flag that may be written with hyphens or underscores."""
    spellings = dict.fromkeys((f"--{name}", f"--{name.replace('_', '-')}"))
    parser.add_argument(*spellings, dest=name, metavar=metavar, help=text, **more)


def client(known: argparse.Namespace, **more: Any) -> AsyncClient:
    """A client of the server that the arguments name; raises BadUse."""
    try:
        return AsyncClient(known.url, timeout=known.timeout, token=token(known.token_file), tls=tls(known), **more)
    except ValueError as error:
        raise BadUse(str(error)) from None


def tls(known: argparse.Namespace) -> Tls | None:
    """The files that the arguments name, if any."""
    return Tls(known.cacert, known.cert, known.key) if known.cacert or known.cert or known.key else None


def token(path: str) -> str:
    """The first line of the file, if there is one; raises BadUse."""
    if not path:
        return ""
    try:
        lines = Path(path).read_text(encoding="ascii").split()
    except (OSError, ValueError) as error:
        raise BadUse(f"--token_file={path}: {getattr(error, 'strerror', None) or 'it is no text'}") from None
    if not lines or not lines[0].isprintable():
        raise BadUse(f"--token_file={path}: it holds no token that a header can carry")
    return lines[0]


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 < seconds <= 86_400:
        raise ValueError(text)
    return seconds
