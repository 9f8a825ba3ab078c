"""Image bytes -> RGB pixels of the model's size. cv2 and NumPy, no knowledge of tensors or models.

base64 text or image bytes -> decode (EXIF turned, grey and alpha made RGB) -> halve -> resize -> centre crop
"""

from __future__ import annotations

import binascii
import math
from collections.abc import Callable, Sequence

import cv2
import numpy as np
import pybase64
from numpy.typing import NDArray
from tandem.errors import InvalidInput

from tandem_transformer.transformers import headers

Pixels = NDArray[np.uint8]  # [height, width, 3], RGB

FORMATS: dict[str, Callable[[bytes], bool]] = {
    "JPEG": lambda data: data[:3] == b"\xff\xd8\xff",
    "PNG": lambda data: data[:8] == b"\x89PNG\r\n\x1a\n",
    "WebP": lambda data: data[:4] == b"RIFF" and data[8:12] == b"WEBP",
}
_REDUCED = (  # flags by how often the decoder halves; OpenCV has names only for those with grey or BGR in them
    cv2.IMREAD_COLOR_RGB,
    cv2.IMREAD_COLOR_RGB | cv2.IMREAD_REDUCED_GRAYSCALE_2,
    cv2.IMREAD_COLOR_RGB | cv2.IMREAD_REDUCED_GRAYSCALE_4,
    cv2.IMREAD_COLOR_RGB | cv2.IMREAD_REDUCED_GRAYSCALE_8,
)
_DAMAGED = "an image cannot be decoded: it is truncated, damaged or too large"
MAX_PIXELS = 64 * 2**20  # 192 MiB once decoded; a file of some kilobytes can claim that and more
MOST_SCANS = 64  # of a JPEG: its decoder looks at every pixel again for each, even of 16 bytes; usual are 1 to 10
_STRIP = 64  # rows that are blended at a time: as floats they take 16 bytes a pixel
RESIZE = 256 / 224  # the shorter side is resized to this much more than the crop, as the model was trained


def image_bytes(element: bytes) -> bytes:
    """The image file in one BYTES element, which is either the file itself or its base64 text.

    The content tells them apart. Raises InvalidInput if it is neither.
    """
    if known(element):
        return element
    text = element.partition(b",")[2] if element.startswith(b"data:") else element
    try:
        data = pybase64.b64decode(b"".join(text.split()) if b"\n" in text else text.strip(), validate=True)
    except (binascii.Error, ValueError):
        data = b""
    if not known(data):
        kind = "base64 text of something else" if data else "neither"
        raise InvalidInput(
            f"an element is no image: expected a {', '.join(FORMATS)} file or its base64 text, got {kind}"
        )
    return data


def known(data: bytes) -> bool:
    """Whether `data` begins as one of the known formats does."""
    return any(matches(data) for matches in FORMATS.values())


def decode(data: bytes, max_pixels: int = MAX_PIXELS, size: tuple[int, int] | None = None) -> Pixels:
    """The RGB pixels of an image file: EXIF orientation applied, grey repeated, transparency laid over white.

    With the `size` (height, width) that it will be fitted to, a JPEG comes halved as often as `fit` would halve it: its
    decoder takes the same means of 2x2, and takes them sooner.
    """
    width, height = headers.dimensions(data)
    if not width * height:  # and nobody knows what the decoder would make of it, and of how much memory
        raise InvalidInput(_DAMAGED)
    if width * height > max_pixels:
        raise InvalidInput(f"an image has {width} x {height} pixels, at most {max_pixels} are decoded")
    if FORMATS["JPEG"](data):
        return _jpeg(data, (height, width), size)
    if FORMATS["PNG"](data):
        data = headers.still(data)
    buffer = np.frombuffer(data, np.uint8)
    if _may_be_transparent(data):
        return _opaque(_decoded(buffer, cv2.IMREAD_UNCHANGED), buffer)
    return _decoded(buffer, cv2.IMREAD_COLOR_RGB).astype(np.uint8, copy=False)


def _jpeg(data: bytes, shape: tuple[int, int], size: tuple[int, int] | None) -> Pixels:
    if _scans(data) > MOST_SCANS:
        raise InvalidInput(f"an image has over {MOST_SCANS} scans")
    turned = headers.may_be_turned(data)
    times = _spared(shape, size, turned=turned) if size else 0
    pixels = _decoded(np.frombuffer(data, np.uint8), _REDUCED[times]).astype(np.uint8, copy=False)
    if turned or pixels.shape[:2] == shape:  # lossless ones are never halved
        return pixels
    return pixels[: shape[0] >> times, : shape[1] >> times]  # without the means of less than a whole square


def _scans(jpeg: bytes) -> int:
    """How many there may be, at least as many as there are; `bytes.count` takes five times as long."""
    pairs = [np.frombuffer(jpeg, "<u2", (len(jpeg) - first) // 2, first) for first in (0, 1)]
    return sum(int(np.count_nonzero(found == 0xDAFF)) for found in pairs)


def _spared(shape: tuple[int, int], size: tuple[int, int], *, turned: bool) -> int:
    """How often the decoder can halve a JPEG of `shape` so that it is as if `fit` had done it."""
    times = min(halvings(shape, size), len(_REDUCED) - 1)
    if turned:  # `fit` counts the squares from the corner that is then the first
        times = min(times, halvings(shape[::-1], size))
        while (shape[0] | shape[1]) % 2**times:
            times -= 1
    return times


def _decoded(buffer: NDArray[np.uint8], flags: int) -> NDArray[np.generic]:
    try:
        pixels = cv2.imdecode(buffer, flags)
    except cv2.error:
        pixels = None
    if pixels is None:
        raise InvalidInput(_DAMAGED)
    return pixels


def fit(pixels: Pixels, size: tuple[int, int]) -> Pixels:
    """The centre crop of `size` (height, width) after resizing: Tandem's reference resize.

    Halved by means of 2x2, counted from the first pixel, until less than a halving is left, which keeps fine patterns
    from aliasing; then bicubic.
    """
    times = halvings(pixels.shape, size)
    height, width = (side >> times for side in pixels.shape[:2])
    scale = RESIZE * max(size[0] / height, size[1] / width)
    pixels = _middle(pixels, [2 * math.ceil(side / scale) + 16 for side in size], times)
    for _ in range(times):
        height, width = (side // 2 for side in pixels.shape[:2])
        pixels = _resized(pixels[: height * 2, : width * 2], (width, height), cv2.INTER_AREA)
    height, width = pixels.shape[:2]
    target = max(size[1], round(width * scale)), max(size[0], round(height * scale))
    pixels = _resized(pixels, target, cv2.INTER_CUBIC)
    top, left = (target[1] - size[0]) // 2, (target[0] - size[1]) // 2
    return pixels[top : top + size[0], left : left + size[1]]


def halvings(shape: Sequence[int], size: Sequence[int]) -> int:
    """How often both sides of `shape` (height, width) can be halved without getting below what `size` is cut from."""
    least = min(side // round(RESIZE * kept) for side, kept in zip(shape[:2], size, strict=True))
    return max(0, least.bit_length() - 1)


def _middle(pixels: Pixels, most: Sequence[int], times: int) -> Pixels:
    """The middle of `pixels`, at most `most` (height, width) once halved `times` times.

    What lies further out can never be in the crop; whole squares are cut off, so that the others stay what they are.
    """
    (height, width), square = pixels.shape[:2], 2**times
    rows, columns = (max(0, side // square - limit) // 2 for side, limit in zip((height, width), most, strict=True))
    bottom, right = height // square - rows, width // square - columns
    return pixels[rows * square : bottom * square, columns * square : right * square]


def _resized(pixels: Pixels, size: tuple[int, int], interpolation: int) -> Pixels:
    return cv2.resize(pixels, size, interpolation=interpolation).astype(np.uint8, copy=False)


def _may_be_transparent(data: bytes) -> bool:
    """PNG says so in its colour type or a tRNS chunk, WebP in its extended or lossless header."""
    if FORMATS["PNG"](data):
        return data[25:26] in (b"\x04", b"\x06") or b"tRNS" in data[: data.find(b"IDAT")]
    return FORMATS["WebP"](data) and data[12:16] in (b"VP8X", b"VP8L")


def _opaque(pixels: NDArray[np.generic], buffer: NDArray[np.uint8]) -> Pixels:
    """Pixels as decoded, laid over white where they have an alpha channel."""
    if pixels.ndim != 3 or pixels.shape[2] != 4:  # it could have been transparent, and is not
        return _decoded(buffer, cv2.IMREAD_COLOR_RGB).astype(np.uint8, copy=False)
    levels = np.float32(65_535 if pixels.itemsize == 2 else 255)  # a PNG may have 16 bits a channel
    opaque = np.empty((*pixels.shape[:2], 3), np.uint8)
    for top in range(0, len(pixels), _STRIP):
        values = pixels[top : top + _STRIP].astype(np.float32) / levels
        alpha = values[..., 3:]
        blended = values[..., 2::-1] * alpha + (1 - alpha)
        opaque[top : top + _STRIP] = np.rint(blended * 255)
    return opaque
