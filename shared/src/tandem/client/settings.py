"""Where the server is, and how it is called."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from tandem.lifecycle import Fatal
from tandem.security.tls import ClientTls

PORTS = {"http": 80, "https": 443, "grpc": 80, "grpcs": 443}
SECURE = ("https", "grpcs")


@dataclass(frozen=True, slots=True)
class Tls:
    """Files in PEM: whom to trust (empty: the system's authorities), and what to show a server that asks for it."""

    ca_file: str | os.PathLike[str] = ""
    certificate_file: str | os.PathLike[str] = ""
    key_file: str | os.PathLike[str] = ""
    server_name: str = ""  # that the server's certificate must have; empty: the host's


@dataclass(frozen=True, slots=True)
class Settings:
    """What both transports need to know."""

    scheme: str  # http, https, grpc or grpcs
    host: str
    port: int
    path: str = ""  # before the protocol's own, of HTTP
    headers: Mapping[str, str] = field(default_factory=dict)  # lower-case names
    tls: ClientTls | None = None
    max_message_bytes: int = 64 * 1024 * 1024  # of an answer
    max_connections: int = 100  # over HTTP; a gRPC channel has one

    @property
    def authority(self) -> str:
        """The address as host:port."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def settings(
    url: str,
    headers: Mapping[str, str] | None,
    token: str,
    tls: Tls | None,
    **limits: int,
) -> Settings:
    """The settings for `url`; raises ValueError on what cannot be."""
    parts = urlsplit(url)
    if parts.scheme not in PORTS or not parts.hostname or parts.username or parts.query or parts.fragment:
        raise ValueError(
            f"'{url}' is no address of a server, expected http://, https://, grpc:// or grpcs:// HOST:PORT"
        )
    path = parts.path.rstrip("/")
    if path and parts.scheme.startswith("grpc"):
        raise ValueError(f"'{url}' has a path, which gRPC has not")
    if tls and parts.scheme not in SECURE:
        raise ValueError(f"'{url}' is not encrypted, and tls is given; write {parts.scheme}s://")
    own = {name.lower(): value for name, value in (headers or {}).items()}
    if token:
        own["authorization"] = f"Bearer {token}"
    if unfit := [name for name, text in own.items() if not text.isprintable()]:
        raise ValueError(f"header '{unfit[0]}' has characters that a header cannot carry")
    port = parts.port or PORTS[parts.scheme]
    encryption = _encryption(tls or Tls()) if parts.scheme in SECURE else None
    return Settings(parts.scheme, parts.hostname, port, path, own, encryption, **limits)


def _encryption(tls: Tls) -> ClientTls:
    certificate, key, authorities = (os.fspath(file) for file in (tls.certificate_file, tls.key_file, tls.ca_file))
    if bool(certificate) != bool(key):
        raise ValueError("certificate_file and key_file go together")
    try:
        return ClientTls(certificate, key, authorities, tls.server_name, "ca_file, certificate_file, key_file")
    except Fatal as error:
        raise ValueError(str(error)) from None
