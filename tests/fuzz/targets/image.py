"""One BYTES element of the image transformer: pixels of the model's size, or a refusal, in bounded memory."""

from __future__ import annotations

import base64
import math
import struct
import zlib

import cv2
import numpy as np
from tandem.errors import InvalidInput
from tandem_transformer.transformers import pixels

from fuzz.invariants import frugal, outcome

MOST = 2**18  # pixels
GROWTH = 64  # MB for that many: 256 bytes a pixel
SIZE = (8, 12)  # the model's

cv2.setNumThreads(1)


def check(data: bytes) -> bool:
    with frugal(GROWTH):
        return _taken(data)


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
    return True


def _encoded(extension: str, channels: int, *options: int) -> bytes:
    shape = (5, 7, channels)
    picture = (np.arange(math.prod(shape)).reshape(shape) * 7 % 256).astype(np.uint8)
    return cv2.imencode(extension, picture, options)[1].tobytes()


def _segment(marker: int, payload: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(payload) + 2) + payload


def _claiming(jpeg: bytes, side: int = 4096) -> bytes:
    """`jpeg` with other dimensions in its header: the decoder makes what is missing grey."""
    at = jpeg.index(b"\xff\xc0") + 5
    return jpeg[:at] + struct.pack(">HH", side, side) + jpeg[at + 4 :]


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _png(depth: int, colours: int, row: bytes) -> bytes:
    header = _chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, depth, colours, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + _chunk(b"IDAT", zlib.compress(b"\0" + row)) + _chunk(b"IEND", b"")


_PNG = _png(16, 6, bytes(range(8)))
_JPEG = _encoded(".jpg", 3, cv2.IMWRITE_JPEG_QUALITY, 10)
_BOMB = _claiming(_JPEG)
_SMALL = struct.pack(">BBHBHHB", 0, 0xC0, 11, 8, 8, 8, 1) + b"\x01\x11\x00"  # a header, but for its first byte
_VP8L = _encoded(".webp", 3, cv2.IMWRITE_WEBP_QUALITY, 101)
SEEDS = {
    "JPEG": _JPEG,
    "progressive JPEG": _encoded(".jpg", 3, cv2.IMWRITE_JPEG_QUALITY, 10, cv2.IMWRITE_JPEG_PROGRESSIVE, 1),
    "grey JPEG": _encoded(".jpg", 1, cv2.IMWRITE_JPEG_QUALITY, 10),
    "base64": base64.encodebytes(_JPEG),
    "data URL": b"data:image/jpeg;base64," + base64.b64encode(_JPEG),
    "PNG": _encoded(".png", 3),
    "PNG with alpha": _encoded(".png", 4),
    "PNG of 16 bits": _PNG,
    "PNG of grey with alpha": _png(8, 4, b"\x07\x80"),
    "WebP": _encoded(".webp", 3, cv2.IMWRITE_WEBP_QUALITY, 30),
    "lossless WebP": _VP8L,
    "WebP with alpha": _encoded(".webp", 4, cv2.IMWRITE_WEBP_QUALITY, 30),
}
FOUND = {
    "dimensions behind a marker without a length": _BOMB[:2] + b"\xff\xd0" + _BOMB[2:],
    "a PNG chunk that claims to be large": _PNG.replace(b"\0\0\0\x11IDAT", b"\x09\0\0\x11IDAT"),
    "dimensions behind bytes that look like others": _BOMB[:2] + _segment(0xFE, b"") + _SMALL + _BOMB[2:],
}
WORDS = (
    *(b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"IHDR", b"IDAT", b"IEND", b"tRNS", b"PLTE", b"acTL", b"fcTL", b"eXIf"),
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
        b";base64,",
    ),
    *(b"\xff\xc0", b"\xff\xc2", b"\xff\xc4", b"\xff\xd0", b"\xff\xda", b"\xff\xe1", b"\xff\x01", b"\xff\xff", b"MM\0*"),
)
