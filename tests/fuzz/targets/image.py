"""One BYTES element of the image transformer: pixels of the model's size, or a refusal, in bounded memory."""

from __future__ import annotations

import base64
import struct
import zlib

import cv2
import numpy as np
from tandem.errors import InvalidInput
from tandem_transformer.transformers import pixels
from transformer.fakes import encoded, orientation, png, png_chunk, turned_jpeg, turned_webp

from fuzz.invariants import frugal, outcome

MOST = 2**18  # pixels
GROWTH = 64  # MB for that many: 256 bytes a pixel
PNG = b"\x89PNG\r\n\x1a\n"
SIZE = (8, 12)  # the model's

cv2.setNumThreads(1)


def check(data: bytes) -> bool:
    with frugal(GROWTH):
        taken = _taken(data)
        mended = _mended(data) if data.startswith(PNG) else data
        return _taken(mended) if mended != data else taken


def _mended(data: bytes) -> bytes:
    """A PNG with the checksums that its chunks should have; else hardly a change would get past the decoder's first."""
    parts, offset = [PNG], len(PNG)
    while (end := _end(data, offset)) + 4 <= len(data):
        parts += (data[offset:end], struct.pack(">I", zlib.crc32(data[offset + 4 : end])))
        offset = end + 4
    return b"".join(parts) + data[offset:]


def _end(png: bytes, chunk: int) -> int:
    return chunk + 8 + int.from_bytes(png[chunk : chunk + 4])


def _taken(data: bytes) -> bool:
    element = outcome(pixels.image_bytes, data)
    if element is None:
        return False
    assert pixels.known(element)
    try:
        picture = pixels.decode(element, MOST)
    except InvalidInput:
        return False
    assert picture.dtype == np.uint8
    assert picture.ndim == 3
    assert picture.shape[2] == 3
    assert 0 < picture.shape[0] * picture.shape[1] <= MOST
    assert pixels.fit(picture, SIZE).shape == (*SIZE, 3)
    halved = pixels.decode(element, MOST, SIZE)  # what can be decoded whole can be decoded halved
    assert halved.size <= picture.size
    assert pixels.fit(halved, SIZE).shape == (*SIZE, 3)
    return True


def _segment(marker: int, payload: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(payload) + 2) + payload


def _claiming(jpeg: bytes, side: int = 4096) -> bytes:
    """`jpeg` with other dimensions in its header: the decoder makes what is missing grey."""
    at = jpeg.index(b"\xff\xc0") + 5
    return jpeg[:at] + struct.pack(">HH", side, side) + jpeg[at + 4 :]


def _animated_png() -> bytes:
    """Two frames of one pixel; the first is what a decoder shows that knows no animation."""
    frames = [png_chunk(b"fcTL", struct.pack(">IIIIIHHBB", n, 1, 1, 0, 0, 1, 1, 0, 0)) for n in (0, 1)]
    second = png_chunk(b"fdAT", struct.pack(">I", 2) + zlib.compress(b"\0abcd"))
    still = png(1, 8, 6, [b"\1\2\3\4"], png_chunk(b"acTL", struct.pack(">II", 2, 0)), frames[0])
    end = still.rindex(b"IEND") - 4
    return still[:end] + frames[1] + second + still[end:]


def _animated_webp() -> bytes:
    animation = cv2.Animation()
    animation.frames = [np.full((4, 4, 4), colour, np.uint8) for colour in (9, 99)]
    animation.durations = np.array([10, 10])
    return cv2.imencodeanimation(".webp", animation)[1].tobytes()


_RGB = (np.arange(5 * 7 * 3).reshape(5, 7, 3) * 7 % 256).astype(np.uint8)
_RGBA = np.dstack([_RGB, _RGB[..., 0]])
_JPEG = encoded(".jpg", _RGB, cv2.IMWRITE_JPEG_QUALITY, 10)
_WEBP = encoded(".webp", _RGB, cv2.IMWRITE_WEBP_QUALITY, 30)
_BOMB = _claiming(_JPEG)
_SMALL = struct.pack(">BBHBHHB", 0, 0xC0, 11, 8, 8, 8, 1) + b"\x01\x11\x00"  # a header, but for its first byte
_DEEP = png(1, 16, 6, [bytes(range(8))])
_COLOURS, _SEE_THROUGH = png_chunk(b"PLTE", bytes([255, 0, 0, 0, 255, 0])), png_chunk(b"tRNS", b"\x00\xff")
SEEDS = {
    "JPEG": _JPEG,
    "progressive JPEG": encoded(".jpg", _RGB, cv2.IMWRITE_JPEG_QUALITY, 10, cv2.IMWRITE_JPEG_PROGRESSIVE, 1),
    "grey JPEG": encoded(".jpg", _RGB[..., 0], cv2.IMWRITE_JPEG_QUALITY, 10),
    "turned JPEG": turned_jpeg(_JPEG, 6),
    "base64": base64.encodebytes(_JPEG),
    "data URL": b"data:image/jpeg;base64," + base64.b64encode(_JPEG),
    "PNG": encoded(".png", _RGB),
    "PNG with alpha": encoded(".png", _RGBA),
    "PNG of 16 bits": _DEEP,
    "PNG of grey with alpha": png(1, 8, 4, [b"\x07\x80"]),
    "PNG of a palette": png(2, 8, 3, [b"\0\1"], _COLOURS, _SEE_THROUGH),
    "PNG of one bit, turned": png(2, 1, 0, [b"\x40"], png_chunk(b"eXIf", orientation(6))),
    "animated PNG": _animated_png(),
    "WebP": _WEBP,
    "lossless WebP": encoded(".webp", _RGB, cv2.IMWRITE_WEBP_QUALITY, 101),
    "WebP with alpha": encoded(".webp", _RGBA, cv2.IMWRITE_WEBP_QUALITY, 30),
    "turned WebP": turned_webp(_WEBP, 6, (5, 7), alpha=False),
    "animated WebP": _animated_webp(),
}
FOUND = {
    "dimensions behind a marker without a length": _BOMB[:2] + b"\xff\xd0" + _BOMB[2:],
    "a PNG chunk that claims to be large": _DEEP.replace(b"\0\0\0\x11IDAT", b"\x09\0\0\x11IDAT"),
    "such a chunk behind an end before the picture": png(
        1, 8, 0, [b"a"], png_chunk(b"IEND", b""), b"\x36\x34\x2c\x0atEXt"
    ),
    "an animated PNG that ended the process": base64.b64decode(
        "iVBORw0KGgoAAAANSUhEUgAAAQAAAAEACAYAAAAfFcSJAAAACGFjVEwAAAACAAAAAPONk3AAAAAaUExURQAAAAAAAAABAAAAAQAAAAAAAAAAAAEA"
        "AQAAVirfMQAAAA1JREFUeJxjYGRiZgEAABkAC+daRqQAAAAaZmNUTAAAAAEAAAABAAAAAQAAAAAAAAAAAAQAAQAAzVk15QAAABFmZE4BAAPZAYsw"
        "jQ6VAAAAAElFTkSuQmCC"
    ),
    "dimensions behind bytes that look like others": _BOMB[:2] + _segment(0xFE, b"") + _SMALL + _BOMB[2:],
}
WORDS = (
    *(b"\xff\xd8\xff", PNG, b"IHDR", b"IDAT", b"IEND", b"tRNS", b"PLTE", b"acTL", b"fcTL", b"fdAT", b"eXIf", b"iCCP"),
    *(
        b"RIFF",
        b"WEBP",
        b"VP8 ",
        b"VP8L",
        b"VP8X",
        b"ALPH",
        b"ANIM",
        b"ANMF",
        b"EXIF",
        b"Exif\0\0",
        b"data:",
        b"base64,",
    ),
    *(b"\xff\xc0", b"\xff\xc2", b"\xff\xc4", b"\xff\xd0", b"\xff\xda", b"\xff\xe1", b"\xff\x01", b"\xff\xff", b"MM\0*"),
)
