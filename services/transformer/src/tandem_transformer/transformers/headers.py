"""How large an image says that it is, read from its header before anything is decoded."""

from __future__ import annotations

import struct
from collections.abc import Callable

_SIZES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}  # the JPEG markers (SOF) that carry the dimensions


def dimensions(data: bytes) -> tuple[int, int]:
    """(width, height) as the header of a JPEG, PNG or WebP file says; (0, 0) if it says nothing that can be read."""
    try:
        return _reader(data)(data)
    except (struct.error, IndexError):  # truncated: the decoder will say so
        return 0, 0


def _reader(data: bytes) -> Callable[[bytes], tuple[int, int]]:
    if data[:4] == b"RIFF":
        return {b"VP8X": _webp_extended, b"VP8L": _webp_lossless}.get(data[12:16], _webp_lossy)
    return _png if data[:4] == b"\x89PNG" else _jpeg


def _png(data: bytes) -> tuple[int, int]:
    width, height = struct.unpack_from(">II", data, 16)
    return width, height


def _jpeg(data: bytes) -> tuple[int, int]:
    offset = 2
    while True:  # each step skips a segment of two bytes at least, or ends at the end of the data
        while data[offset] == 0xFF and data[offset + 1] == 0xFF:
            offset += 1
        marker, length = struct.unpack_from(">xBH", data, offset)
        if marker in _SIZES:
            height, width = struct.unpack_from(">HH", data, offset + 5)
            return width, height
        if marker == 0xDA:  # the picture itself, with no dimensions before it
            return 0, 0
        offset += 2 + max(length, 2)


def _webp_extended(data: bytes) -> tuple[int, int]:
    return 1 + int.from_bytes(data[24:27], "little"), 1 + int.from_bytes(data[27:30], "little")


def _webp_lossless(data: bytes) -> tuple[int, int]:
    (bits,) = struct.unpack_from("<I", data, 21)
    return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)


def _webp_lossy(data: bytes) -> tuple[int, int]:
    width, height = struct.unpack_from("<HH", data, 26)
    return width & 0x3FFF, height & 0x3FFF
