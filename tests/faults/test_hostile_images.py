"""Images made to hurt, for the default model: the header is believed only where the decoder would read the same."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator

import cv2
import grpc
import numpy as np
import pytest
from contract.client import ask, raw_request, rest_request
from faults.hostile import PATIENCE, Ask, photo_asks, unharmed
from harness import PHOTOS, Pair
from tandem.oip import inference_pb2 as pb
from tandem.oip import inference_pb2_grpc as pb_grpc
from transformer.fakes import png_chunk

SIGNATURE = b"\x89PNG\r\n\x1a\n"
PHOTO = (PHOTOS / "cat_chelsea.jpg").read_bytes()
HUGE = 60_000  # pixels each way
LARGE = 12_000  # each way: 144 megapixels, which the decoder itself would not refuse
GREY, RGBA = 0, 6  # PNG colour types


def png(width: int, height: int, *chunks: bytes, colour: int = GREY, row: bytes | None = None) -> bytes:
    """A PNG of zeros, which has all its rows if `row` is given."""
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, colour, 0, 0, 0))
    packed = zlib.compress((row or b"\0") * (height if row else 1), 9)
    return SIGNATURE + header + b"".join(chunks) + png_chunk(b"IDAT", packed) + png_chunk(b"IEND", b"")


def large_jpeg() -> bytes:
    """Black; a strip of it, repeated by its restart markers, would do, but the encoder is quick enough."""
    return bytes(cv2.imencode(".jpg", np.zeros((LARGE, LARGE), np.uint8), [cv2.IMWRITE_JPEG_QUALITY, 1])[1])


def lying_jpeg(lie: bytes) -> bytes:
    """A large JPEG with bytes behind its first segment that the decoder skips."""
    jpeg = large_jpeg()
    return jpeg[:2] + b"\xff\xfe\x00\x02" + lie + jpeg[2:]


FRAME = b"\xc0\x00\x0b\x08\x00\x10\x00\x10\x01\x01\x11\x00"  # the dimensions of a JPEG of 16 x 16, without their 0xFF


def webp(chunk: bytes, data: bytes) -> bytes:
    body = b"WEBP" + chunk + (struct.pack("<I", len(data)) if chunk else b"") + data
    return b"RIFF" + struct.pack("<I", len(body)) + body


def lossless(width: int, height: int) -> bytes:
    return b"\x2f" + struct.pack("<I", (width - 1) | (height - 1) << 14) + bytes(64)


def extended(width: int, height: int) -> bytes:
    return bytes(4) + (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")


def zipped() -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr("a", bytes(1000))
    return made.getvalue()


BOMBS: dict[str, Callable[[], bytes]] = {
    "a PNG of 60,000 x 60,000": lambda: png(HUGE, HUGE),
    "a PNG of 2**31 x 2**31": lambda: png(2**31 - 1, 2**31 - 1),
    "a PNG of 2**32 x 2**32": lambda: png(2**32 - 1, 2**32 - 1),
    "a PNG of no pixels": lambda: png(0, 0),
    "a PNG of 2**30 pixels in one row": lambda: png(2**30, 1),
    "a PNG of text before its header": lambda: SIGNATURE + png_chunk(b"tEXt", bytes(16)) + png(HUGE, HUGE)[8:],
    "a PNG cut off in its header": lambda: png(100, 100)[:20],
    "a PNG cut off in its pixels": lambda: png(100, 100, row=bytes(101))[:-30],
    "a PNG of a chunk of 2**32 - 1": lambda: SIGNATURE + png(9, 9)[8:33] + b"\xff\xff\xff\xffIDAT" + bytes(100),
    "a JPEG of 65,500 x 65,500": lambda: PHOTO[:2] + b"\xff\xc0\x00\x11\x08\xff\xdc\xff\xdc\x03" + PHOTO[2:],
    "a JPEG that lies behind a skipped byte": lambda: lying_jpeg(b"\0" + FRAME),
    "a JPEG that lies without a marker's first byte": lambda: lying_jpeg(b"\x01" + FRAME[:2] + FRAME[2:]),
    "a JPEG that lies behind a restart marker": lambda: lying_jpeg(b"\xff\xd0\xff\xfe\x00\x0f\xff" + FRAME),
    "a JPEG that lies behind a stuffed zero": lambda: lying_jpeg(b"\xff\x00\x00\x02\xff" + FRAME[:1] + FRAME[1:]),
    "a JPEG cut off in its header": lambda: PHOTO[:100],
    "a JPEG of nothing but padding": lambda: b"\xff\xd8" + b"\xff" * 2**20,
    "a JPEG of empty segments": lambda: b"\xff\xd8" + b"\xff\xfe\x00\x02" * 2**18,
    "a lossless WebP of 16,384 x 16,384": lambda: webp(b"VP8L", lossless(16_384, 16_384)),
    "a WebP without a chunk": lambda: webp(b"", lossless(16_384, 16_384)),
    "a WebP of 2**24 x 2**24": lambda: webp(b"VP8X", extended(2**24, 2**24)),
    "a WebP of an unknown chunk": lambda: webp(b"NONE", lossless(16_384, 16_384)),
    "a WebP larger than its canvas": lambda: webp(b"VP8X", extended(1, 1) + b"VP8L" + lossless(16_384, 16_384)),
    "half a WebP": lambda: webp(b"VP8 ", b"")[:14],
    "a GIF": lambda: b"GIF89a" + struct.pack("<HH", 65_535, 65_535) + bytes(100),
    "a BMP": lambda: b"BM" + struct.pack("<IIIIii", 54, 0, 54, 40, 2**31 - 1, 2**31 - 1) + bytes(100),
    "a TIFF": lambda: b"II*\0\x08\0\0\0" + bytes(100),
    "a TIFF from its other end": lambda: b"MM\0*\0\0\0\x08" + bytes(100),
    "an SVG": lambda: b'<svg xmlns="http://www.w3.org/2000/svg" width="60000" height="60000"/>',
    "a zip": zipped,
    "base64 in base64": lambda: b"aVZCT1J3MEtHZ28=",
    "nothing": lambda: b"",
}

HARMLESS: dict[str, Callable[[], bytes]] = {  # odd, and still a photo or a picture
    "a JPEG that is a zip too": lambda: PHOTO + zipped(),
    "a JPEG with megabytes behind it": lambda: PHOTO + bytes(2**22),
    "a PNG with a gigabyte of text": lambda: png(64, 64, png_chunk(b"zTXt", b"a\0\0" + text()), row=bytes(65)),
    "a PNG with many texts": lambda: png(
        64, 64, png_chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(2**16))) * 500, row=bytes(65)
    ),
    "a PNG with a profile of a gigabyte": lambda: png(64, 64, png_chunk(b"iCCP", b"a\0\0" + text()), row=bytes(65)),
    "a transparent PNG of four megapixels": lambda: png(2000, 2000, colour=RGBA, row=bytes(8001)),
    "a PNG of one row": lambda: png(100_000, 1, row=bytes(100_001)),
    "a PNG of one column": lambda: png(1, 100_000, row=bytes(2)),
}


def text() -> bytes:
    """A gigabyte of zeros, compressed."""
    packer = zlib.compressobj(9, wbits=-15)
    block = packer.compress(bytes(2**20)) + packer.flush(zlib.Z_FULL_FLUSH)
    return b"\x78\x9c" + block * 1024 + b"\x03\x00"


@pytest.fixture(scope="module")
def asks(pair: Pair) -> Iterator[list[Ask]]:
    with photo_asks(pair) as made:
        for question in made * 20:
            assert question()
        yield made


def code(pair: Pair, request: pb.ModelInferRequest) -> grpc.StatusCode:
    with grpc.insecure_channel(pair.transformer.target) as channel:
        try:
            pb_grpc.GRPCInferenceServiceStub(channel).ModelInfer(request, timeout=PATIENCE)
        except grpc.RpcError as error:
            return error.code()
    return grpc.StatusCode.OK


@pytest.mark.parametrize("name", BOMBS)
def test_an_image_that_is_none_or_too_large_is_refused(pair: Pair, asks: list[Ask], name: str) -> None:
    image = BOMBS[name]()
    with unharmed(pair, asks):
        assert code(pair, raw_request([image])) is grpc.StatusCode.INVALID_ARGUMENT
        assert ask(pair.infer_url, "POST", rest_request([image])).status == 400


@pytest.mark.parametrize("name", HARMLESS)
def test_an_odd_image_costs_no_more_than_its_pixels(pair: Pair, asks: list[Ask], name: str) -> None:
    image = HARMLESS[name]()
    with unharmed(pair, asks):
        assert code(pair, raw_request([image])) is grpc.StatusCode.OK


def test_tiny_images_by_the_thousand_are_refused(pair: Pair, asks: list[Ask]) -> None:
    """Each is 70 bytes and becomes 150,528."""
    with unharmed(pair, asks):
        assert code(pair, raw_request([png(1, 1, row=bytes(2))] * 20_000)) is grpc.StatusCode.INVALID_ARGUMENT


def test_one_bad_image_among_good_ones_is_named(pair: Pair, asks: list[Ask]) -> None:
    with unharmed(pair, asks):
        reply = ask(pair.infer_url, "POST", rest_request([PHOTO, png(HUGE, HUGE), PHOTO]))
    assert reply.status == 400
    assert "element 1" in reply.json["error"]
