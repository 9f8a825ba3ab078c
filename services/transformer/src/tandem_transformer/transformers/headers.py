"""How large an image says that it is, and whether it is turned, read from its header before anything is decoded.

A header is only of use if the decoder reads the same, so it is read as libjpeg, libpng and libwebp read it; what they
would read otherwise, or not at all, says nothing here.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterator

_ANIMATION = {b"acTL", b"fcTL", b"fdAT"}
_MOST_CHUNKS = 65_536  # of a PNG; 64 MiB of empty ones take seconds, of the usual 8 kB they are 8,192
_MARKER = re.compile(rb"\xff([^\x00\xff])", re.DOTALL)  # JPEG's; what lies before one is skipped as by libjpeg
_SIZES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}  # the markers (SOF) that carry the dimensions
_BARE = {0x01, *range(0xD0, 0xD8)}  # those without a length (TEM, RST)
_EXIF = 0xE1  # APP1
_LAST = {0xD9, 0xDA}  # the end, and the picture itself
_MOST_MARKERS = 4096  # before the picture; a photo has some dozens, and 64 MiB of them take seconds


def dimensions(data: bytes) -> tuple[int, int]:
    """(width, height) as the header of a JPEG, PNG or WebP file says; (0, 0) if it says nothing that can be read."""
    try:
        return _reader(data)(data)
    except (struct.error, IndexError):  # truncated
        return 0, 0


def _reader(data: bytes) -> Callable[[bytes], tuple[int, int]]:
    if data[:4] == b"RIFF":
        return {b"VP8X": _webp_extended, b"VP8L": _webp_lossless, b"VP8 ": _webp_lossy}.get(data[12:16], _unknown)
    if data[:4] == b"\x89PNG":
        return _png if data[12:16] == b"IHDR" else _unknown
    return _jpeg


def _unknown(_data: bytes) -> tuple[int, int]:
    """Of no chunk that has dimensions: libwebp takes a file without any too, and looks for them elsewhere."""
    return 0, 0


def _png(data: bytes) -> tuple[int, int]:
    """Only of a file whose chunks are whole: OpenCV makes room for what each claims to hold before it reads that."""
    for number, (_, _, end) in enumerate(_chunks(data)):
        if end > len(data) or number == _MOST_CHUNKS:
            return 0, 0
    width, height = struct.unpack_from(">II", data, 16)
    return width, height


def still(png: bytes) -> bytes:
    """A PNG, whose chunks are whole, without its animation: OpenCV's own reader of it can end the process."""
    if b"acTL" not in png:
        return png
    kept = [png[start:end] for kind, start, end in _chunks(png) if kind not in _ANIMATION]
    return b"".join([png[:8], *kept])


def _chunks(png: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Kind, start and end of each, up to the end of the picture; as OpenCV, past an end that comes before it."""
    offset, kind, drawn = 8, b"", False
    while offset < len(png) and not (drawn and kind == b"IEND"):
        length, kind = struct.unpack_from(">I4s", png, offset)
        drawn = drawn or kind == b"IDAT"
        yield kind, offset, offset + 12 + length
        offset += 12 + length


def may_be_turned(jpeg: bytes) -> bool:
    """Whether there is EXIF before the picture: only that says how to turn it, and often that there is no need."""
    try:
        return any(marker == _EXIF and jpeg.startswith(b"Exif\0", start + 2) for marker, start in _segments(jpeg))
    except struct.error:  # truncated
        return False


def _jpeg(data: bytes) -> tuple[int, int]:
    for marker, start in _segments(data):
        if marker in _SIZES:
            height, width = struct.unpack_from(">HH", data, start + 3)
            return width, height
    return 0, 0


def _segments(jpeg: bytes) -> Iterator[tuple[int, int]]:
    """Marker and start of each segment before the picture, found as libjpeg finds them: it skips what is no marker."""
    offset = 2
    for _ in range(_MOST_MARKERS):
        if not (found := _MARKER.search(jpeg, offset)) or (marker := found[1][0]) in _LAST:
            break
        offset = found.end()
        if marker not in _BARE:
            (length,) = struct.unpack_from(">H", jpeg, offset)
            yield marker, offset
            offset += max(length, 2)


def _webp_extended(data: bytes) -> tuple[int, int]:
    return 1 + int.from_bytes(data[24:27], "little"), 1 + int.from_bytes(data[27:30], "little")


def _webp_lossless(data: bytes) -> tuple[int, int]:
    (bits,) = struct.unpack_from("<I", data, 21)
    return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)


def _webp_lossy(data: bytes) -> tuple[int, int]:
    width, height = struct.unpack_from("<HH", data, 26)
    return width & 0x3FFF, height & 0x3FFF
