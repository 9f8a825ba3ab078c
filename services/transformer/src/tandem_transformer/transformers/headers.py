"""How large an image says that it is, read from its header before anything is decoded.

A header is only of use if the decoder reads the same, so it is read as libjpeg, libpng and libwebp read it; what they
would read otherwise, or not at all, says nothing here.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable

_MARKER = re.compile(rb"\xff([^\xff])", re.DOTALL)  # what lies before one, and more 0xFF, is skipped as by libjpeg
_SIZES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}  # the JPEG markers (SOF) that carry the dimensions
_ALONE = {0x00, 0x01, *range(0xD0, 0xD8)}  # those with no length behind them: a stuffed zero, TEM, RST
_LAST = {0xD9, 0xDA}  # the end, and the picture itself


def dimensions(data: bytes) -> tuple[int, int]:
    """(width, height) as the header of a JPEG, PNG or WebP file says; (0, 0) if it says nothing that can be read."""
    try:
        return _reader(data)(data)
    except (struct.error, IndexError):  # truncated
        return 0, 0


def _reader(data: bytes) -> Callable[[bytes], tuple[int, int]]:
    if data[:4] == b"RIFF":
        return {b"VP8X": _webp_extended, b"VP8L": _webp_lossless, b"VP8 ": _webp_lossy}.get(data[12:16], _unread)
    return _png if data[:4] == b"\x89PNG" else _jpeg


def _unread(_data: bytes) -> tuple[int, int]:
    """Of no chunk that has dimensions: libwebp takes a file without any too, and looks for them elsewhere."""
    return 0, 0


def _png(data: bytes) -> tuple[int, int]:
    """All chunks are looked at: for one that says 4 GB, OpenCV makes room for 4 GB."""
    offset = 8
    while offset < len(data):
        length, kind = struct.unpack_from(">I4s", data, offset)
        if offset == 8 and kind != b"IHDR":
            return 0, 0
        offset += 12 + length
        if offset > len(data):
            return 0, 0
        if kind == b"IEND":
            break
    width, height = struct.unpack_from(">II", data, 16)
    return width, height


def _jpeg(data: bytes) -> tuple[int, int]:
    offset = 2
    while found := _MARKER.search(data, offset):  # each step skips a marker of two bytes at least
        marker, offset = found[1][0], found.end()
        if marker in _SIZES:
            height, width = struct.unpack_from(">HH", data, offset + 3)
            return width, height
        if marker in _LAST:
            break
        if marker not in _ALONE:
            (length,) = struct.unpack_from(">H", data, offset)
            offset += max(length, 2)
    return 0, 0


def _webp_extended(data: bytes) -> tuple[int, int]:
    return 1 + int.from_bytes(data[24:27], "little"), 1 + int.from_bytes(data[27:30], "little")


def _webp_lossless(data: bytes) -> tuple[int, int]:
    (bits,) = struct.unpack_from("<I", data, 21)
    return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)


def _webp_lossy(data: bytes) -> tuple[int, int]:
    width, height = struct.unpack_from("<HH", data, 26)
    return width & 0x3FFF, height & 0x3FFF
