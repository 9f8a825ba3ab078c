"""The arguments of `tandem doctor` -> whom to examine, and how."""

from __future__ import annotations

import argparse
import re
import ssl
from dataclasses import dataclass
from pathlib import Path

import grpc

ABOUT = """Check a running pair from outside, and say what to mend. It asks both doors of both services as a client
would, and sends one small request over each; it changes nothing. What it cannot reach of a predictor that you did not
name is told as `not checked`."""
AFTER = """exit status: 0 if nothing failed, 1 if something did, 2 for bad use"""
_ADDRESS = re.compile(r"(?:(?P<scheme>https?)://)?(?P<host>\[[0-9A-Fa-f:.]+\]|[^\s:/\[\]@]+)(?::(?P<port>\d{1,5}))?/?")


class BadUse(Exception):
    """Arguments that cannot be; the text says which."""


@dataclass(frozen=True, slots=True)
class Address:
    """A host and a port."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Tls:
    """What an encrypted connection needs: HTTP's, gRPC's, and the latter as gRPC itself wants it."""

    for_http: ssl.SSLContext
    for_grpc: ssl.SSLContext
    credentials: grpc.ChannelCredentials


@dataclass(frozen=True, slots=True)
class Target:
    """One service: its two doors, and how to be let in."""

    role: str  # transformer or predictor
    http: Address
    grpc: Address
    tls: Tls | None
    token: str
    named: bool  # by the user; one that is only assumed may be out of reach


@dataclass(frozen=True, slots=True)
class Options:
    """What was asked for."""

    transformer: Target
    predictor: Target
    model_name: str  # empty: what the transformer lists
    timeout: float  # seconds for each answer
    json: bool


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    doors = parser.add_argument_group("where")
    where = {"nargs": "?", "metavar": "HOST:PORT"}
    doors.add_argument("address", default="localhost:8000", help="the transformer's HTTP door [%(default)s]", **where)  # type: ignore[arg-type]
    _flag(doors, "grpc_port", "PORT", "the transformer's gRPC door [8081]", type=int, default=8081)
    _flag(doors, "predictor", "HOST:PORT", "the predictor's HTTP door [the same host, 8080]", default="")
    _flag(doors, "predictor_grpc_port", "PORT", "the predictor's gRPC door [8082]", type=int, default=8082)
    _flag(doors, "model_name", "NAME", "the model to ask for [what the transformer lists]", default="")
    access = parser.add_argument_group("access", "TLS is spoken if one of these is given, or an https:// address")
    _flag(access, "cacert", "FILE", "PEM authorities to trust [the system's]")
    _flag(access, "cert", "FILE", "PEM certificate to show")
    _flag(access, "key", "FILE", "PEM key of that certificate")
    _flag(access, "token_file", "FILE", "its first line is the bearer token to send")
    _flag(access, "predictor_token_file", "FILE", "the same for the predictor [--token_file]")
    _flag(parser, "timeout", "SECONDS", "for each answer; all of it takes six times that at most [5]", default="5")
    parser.add_argument("--json", action="store_true", help="print one JSON document, for machines")


def read(known: argparse.Namespace) -> Options:
    """The options in what was parsed; raises BadUse."""
    tls = _tls(known.cacert, known.cert, known.key)
    scheme, http = _address(known.address, 8000)
    transformer = Target(
        "transformer",
        http,
        Address(http.host, _port(known.grpc_port)),
        _chosen(scheme, tls, encrypted=tls is not None),
        _token(known.token_file),
        named=True,
    )
    scheme, http = _address(known.predictor or str(Address(http.host, 8080)), 8080)
    predictor = Target(
        "predictor",
        http,
        Address(http.host, _port(known.predictor_grpc_port)),
        _chosen(scheme, tls, encrypted=transformer.tls is not None),
        _token(known.predictor_token_file or known.token_file),
        named=bool(known.predictor),
    )
    return Options(transformer, predictor, known.model_name, _seconds(known.timeout), known.json)


def _flag(group: argparse._ActionsContainer, name: str, metavar: str, text: str, **more: object) -> None:
    spellings = dict.fromkeys((f"--{name}", f"--{name.replace('_', '-')}"))
    group.add_argument(*spellings, dest=name, metavar=metavar, help=text, **more)  # type: ignore[arg-type]


def _address(text: str, default_port: int) -> tuple[str, Address]:
    """The scheme, perhaps empty, and the address."""
    if not (found := _ADDRESS.fullmatch(text)):
        raise BadUse(f"'{text}' is no address, expected HOST:PORT")
    return found["scheme"] or "", Address(found["host"].strip("[]"), _port(int(found["port"] or default_port)))


def _port(number: int) -> int:
    if not 0 < number < 2**16:
        raise BadUse(f"{number} is no port, expected 1 to 65535")
    return number


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= 3600:
        raise BadUse(f"--timeout={text}: expected seconds, more than 0 and at most 3600")
    return seconds


def _token(path: str | None) -> str:
    if not path:
        return ""
    try:
        lines = Path(path).read_text(encoding="ascii").split()
    except (OSError, ValueError) as error:
        raise BadUse(
            f"--token_file={path}: {getattr(error, 'strerror', None) or 'no token that a header can carry'}"
        ) from None
    if not lines or not lines[0].isprintable():
        raise BadUse(f"--token_file={path}: it holds no token that a header can carry")
    return lines[0]


def _chosen(scheme: str, tls: Tls | None, *, encrypted: bool) -> Tls | None:
    """What a service is spoken to with: its scheme decides, if it has one."""
    return (tls or _tls(None, None, None, always=True)) if (scheme == "https" or (not scheme and encrypted)) else None


def _tls(cacert: str | None, cert: str | None, key: str | None, *, always: bool = False) -> Tls | None:
    if bool(cert) != bool(key):
        raise BadUse("--cert and --key go together")
    if not (cacert or cert or always):
        return None
    try:
        contexts = [ssl.create_default_context(cafile=cacert) for _ in range(2)]
        contexts[1].set_alpn_protocols(["h2"])
        for context in contexts if cert and key else []:
            context.load_cert_chain(str(cert), key, lambda: "")  # else OpenSSL asks at the terminal
        read = [Path(path).read_bytes() if path else None for path in (cacert, key, cert)]
    except (OSError, ValueError) as error:
        raise BadUse(f"--cacert, --cert, --key: {error.strerror if isinstance(error, OSError) else error}") from None
    return Tls(contexts[0], contexts[1], grpc.ssl_channel_credentials(*read))
