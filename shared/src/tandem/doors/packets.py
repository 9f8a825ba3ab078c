"""Packets over a stream socket: two lengths, head, body. Both ends of the pair's local socket speak so."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Sequence
from typing import cast

_LENGTHS = struct.Struct("<II")  # of head and body together, and of the head
MOST_HEAD = 64 * 1024  # bytes
_BACKLOG = 2**20  # bytes that may wait to be sent before the other end counts as slow


class BadPacket(Exception):
    """Lengths that no packet has; the connection is of no more use."""


class Packets(asyncio.Protocol):
    """One connection. Subclasses say what a packet means and what its end does."""

    def __init__(self, most: int) -> None:
        self._most = most  # bytes of a packet
        self._rest = bytearray()  # of a packet that is not whole yet
        self._needed = _LENGTHS.size  # bytes in `_rest` before it is worth looking at
        self.transport: asyncio.Transport | None = None
        self.slow = False  # the other end does not read what is sent to it

    def received(self, head: memoryview, body: memoryview) -> None:
        """A packet has come; both views stay valid."""
        raise NotImplementedError

    def ended(self) -> None:
        """The connection is over."""
        raise NotImplementedError

    def send(self, head: bytes, body: bytes | memoryview = b"") -> None:
        """Send a packet; nothing happens once the connection is over."""
        if self.transport:
            lengths = _LENGTHS.pack(len(head) + len(body), len(head))
            parts: Sequence[bytes | memoryview] = (lengths, head, body)
            if len(body) < MOST_HEAD:
                self.transport.write(b"".join(parts))
            else:
                self.transport.writelines(parts)

    def close(self) -> None:
        """End the connection once everything is written."""
        if self.transport:
            self.transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by asyncio."""
        self.transport = cast("asyncio.Transport", transport)
        self.transport.set_write_buffer_limits(_BACKLOG)

    def pause_writing(self) -> None:
        """Called by asyncio."""
        self.slow = True

    def resume_writing(self) -> None:
        """Called by asyncio."""
        self.slow = False

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by asyncio."""
        self.transport = None
        self.ended()

    def data_received(self, data: bytes) -> None:
        """Called by asyncio with what has come, which need not be whole packets."""
        if self._rest:
            self._rest += data
            if len(self._rest) < self._needed:
                return
            data, self._rest = bytes(self._rest), bytearray()
        try:
            used = self._take(memoryview(data))
        except BadPacket:
            self.close()
            return
        self._rest += memoryview(data)[used:]

    def _take(self, data: memoryview) -> int:
        """Hand over each whole packet in `data`; the bytes that they took. Raises BadPacket."""
        used = 0
        while len(data) - used >= _LENGTHS.size:
            length, head = _LENGTHS.unpack_from(data, used)
            if length > self._most or head > min(length, MOST_HEAD):
                raise BadPacket
            start = used + _LENGTHS.size
            if len(data) - start < length:
                self._needed = _LENGTHS.size + length
                return used
            used = start + length
            self.received(data[start : start + head], data[start + head : used])
        self._needed = _LENGTHS.size
        return used
