"""What speaks behind a port, told by the first bytes that it says: nothing here trusts the other side.

connect -> perhaps TLS -> hello -> first bytes -> Heard
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from dataclasses import dataclass

from tandem_cli.doctor.options import Address

HTTP, GRPC, TLS, OTHER = "HTTP", "gRPC", "TLS", "something else"  # what was spoken
NOBODY, SILENT, CLOSED, UNTRUSTED = "nobody", "silent", "closed", "untrusted"  # why nothing was
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes((0, 0, 0, 4, 0, 0, 0, 0, 0))  # RFC 9113, 3.4: and SETTINGS
_FRAME = 9  # bytes of an HTTP/2 frame's header
_SETTINGS = 4
_CLOSES = "it closes the connection at once"
_MOST = 2**16  # bytes that are read of an answer


@dataclass(frozen=True, slots=True)
class Heard:
    """What was spoken, or why nothing was; with the bytes, or the reason in words."""

    kind: str
    data: bytes = b""
    reason: str = ""


async def hear(
    address: Address, hello: bytes, context: ssl.SSLContext | None, seconds: float, until: bytes = b""
) -> Heard:
    """Say `hello`, and listen for the first bytes, or up to `until`."""
    try:
        async with asyncio.timeout(seconds):
            data = await _exchange(address, hello, context, until)
    except (OSError, ValueError, EOFError) as error:
        return _unheard(address, error, seconds)
    return Heard(spoken(data), data, "" if data else _CLOSES)


async def encrypts(address: Address, seconds: float) -> bool:
    """Whether TLS is spoken there, by whomever: nothing is sent, so nobody need be trusted."""
    anyone = ssl.create_default_context()
    anyone.check_hostname = False
    anyone.verify_mode = ssl.CERT_NONE
    try:
        async with asyncio.timeout(seconds):
            _, writer = await asyncio.open_connection(address.host, address.port, ssl=anyone)
            writer.transport.abort()
    except (TimeoutError, OSError, ValueError, EOFError):
        return False
    return True


def spoken(data: bytes) -> str:
    """The protocol of the first bytes that a server says."""
    if not data:
        return CLOSED
    if data.startswith(b"HTTP/1"):
        return HTTP
    if len(data) >= _FRAME and data[0] == 0 and data[3] == _SETTINGS and not any(data[5:_FRAME]):
        return GRPC
    return TLS if data[0] in (0x15, 0x16) and data[1:2] == b"\x03" else OTHER


def _unheard(address: Address, error: Exception, seconds: float) -> Heard:
    """Why nothing was heard."""
    reason = getattr(error, "strerror", None) or str(error)
    told = {
        TimeoutError: Heard(SILENT, reason=f"it says nothing for {seconds:g} s"),
        ssl.SSLCertVerificationError: Heard(UNTRUSTED, reason=getattr(error, "verify_message", "")),
        ssl.SSLError: Heard(CLOSED, reason=(getattr(error, "reason", "") or "TLS failed").replace("_", " ").lower()),
        socket.gaierror: Heard(NOBODY, reason=f"the host '{address.host}' is not known: {reason}"),
        ConnectionRefusedError: Heard(NOBODY, reason=f"nothing listens at {address}"),
        ConnectionError: Heard(CLOSED, reason=_CLOSES),
        EOFError: Heard(CLOSED, reason=_CLOSES),
    }
    found = (heard for kind, heard in told.items() if isinstance(error, kind))
    return next(found, Heard(NOBODY, reason=f"{address} cannot be reached: {reason}"))


async def _exchange(address: Address, hello: bytes, context: ssl.SSLContext | None, until: bytes) -> bytes:
    reader, writer = await asyncio.open_connection(address.host, address.port, ssl=context)
    try:
        writer.write(hello)
        data = b""
        while (len(data) < _FRAME or until not in data) and len(data) < _MOST and (more := await reader.read(_MOST)):
            data += more
        return data
    finally:
        writer.transport.abort()  # a goodbye could be waited for in vain
