"""TLS for both doors and the hop. A new connection gets what the files hold at that time; old ones stay.

PEM files -> Followed -> ssl.SSLContext for HTTP, grpc credentials for gRPC
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import grpc

from tandem.lifecycle import Fatal
from tandem.security.files import Followed

_LOOK = 1.0  # seconds between two looks at the files of the hop, whose connection is made once


@dataclass(frozen=True, slots=True)
class Pem:
    """The contents of the files; b"" for one that is not given."""

    certificate: bytes
    key: bytes
    authorities: bytes
    context: ssl.SSLContext


class ServerTls:
    """What a door shows, and with `authorities` demands: a client's certificate that one of them has signed."""

    def __init__(self, certificate: str, key: str, authorities: str) -> None:
        self._paths = (certificate, key, authorities)
        self._files = Followed(self._paths, self._read, "--ssl_certfile, --ssl_keyfile, --ssl_ca_certs")
        self._mutual = bool(authorities)

    def context(self) -> ssl.SSLContext:
        """For an HTTP server: at each handshake it looks whether there is a newer one."""
        context = self._files.current().context
        context.sni_callback = self._renew
        return context

    def credentials(self) -> grpc.ServerCredentials:
        """For a gRPC server; the same."""
        shown: list[Pem] = [self._files.current()]

        def newer() -> grpc.ServerCertificateConfiguration | None:
            if (found := self._files.current()) is shown[0]:
                return None
            shown[0] = found
            return _configuration(found)

        return grpc.dynamic_ssl_server_credentials(_configuration(shown[0]), newer, self._mutual)  # type: ignore[arg-type]  # None is allowed

    def _renew(self, connection: ssl.SSLObject | ssl.SSLSocket, _name: str | None, _old: ssl.SSLContext) -> None:
        connection.context = self._files.current().context

    def _read(self) -> Pem:
        certificate, key, authorities = self._paths
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_alpn_protocols(["http/1.1"])
        if authorities:
            context.verify_mode = ssl.CERT_REQUIRED
        return _load(context, certificate, key, authorities)


class ClientTls:
    """How calls are encrypted: whom to trust (empty: the system's authorities), and what to show if asked."""

    def __init__(
        self,
        certificate: str,
        key: str,
        authorities: str,
        server_name: str,
        flags: str = "--predictor_ssl_certfile, --predictor_ssl_keyfile, --predictor_ssl_ca_certs",
    ) -> None:
        self._paths = (certificate, key, authorities)
        self._files = Followed(self._paths, self._read, flags)
        self.server_name = server_name  # that its certificate must have; empty: the host's
        self._used: Pem | None = None

    def context(self) -> ssl.SSLContext:
        """For an HTTP client."""
        return self._files.current().context

    def credentials(self) -> grpc.ChannelCredentials:
        """For a gRPC channel."""
        self._used = pem = self._files.current()
        return grpc.ssl_channel_credentials(pem.authorities or None, pem.key or None, pem.certificate or None)

    async def changed(self) -> None:
        """Wait until the files are others than the last gRPC channel's."""
        while self._files.current() is self._used:  # noqa: ASYNC110 - files tell nobody
            await asyncio.sleep(_LOOK)

    def _read(self) -> Pem:
        certificate, key, authorities = self._paths
        context = ssl.create_default_context() if not authorities else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        return _load(context, certificate, key, authorities)


def require_pair(flag: str, certificate: str, key: str, others: Sequence[str]) -> None:
    """Raise Fatal if there is a certificate without its key, or something that needs both without them."""
    if bool(certificate) != bool(key) or (any(others) and not certificate):
        raise Fatal(f"--{flag}certfile and --{flag}keyfile go together: give both, or no --{flag}... at all")


def _load(context: ssl.SSLContext, certificate: str, key: str, authorities: str) -> Pem:
    """The files' contents, proved to be a certificate and its key; raises OSError or ValueError."""
    read = [Path(path).read_bytes() if path else b"" for path in (certificate, key, authorities)]
    try:
        if certificate:
            context.load_cert_chain(certificate, key, _no_password)
        if authorities:
            context.load_verify_locations(authorities)
    except ssl.SSLError as error:
        names = ", ".join(path for path in (certificate, key, authorities) if path)
        raise ValueError(f"no certificate and the key that belongs to it in {names} ({error.reason})") from error
    return Pem(read[0], read[1], read[2], context)


def _no_password() -> str:
    raise ValueError("the key is encrypted; give one that is not")  # OpenSSL would ask at the terminal


def _configuration(pem: Pem) -> grpc.ServerCertificateConfiguration:
    return grpc.ssl_server_certificate_configuration([(pem.key, pem.certificate)], pem.authorities or None)
