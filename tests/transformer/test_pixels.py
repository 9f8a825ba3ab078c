"""Image bytes to RGB pixels of the model's size."""

from __future__ import annotations

import base64
import struct
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tandem.errors import InvalidInput
from tandem_transformer.transformers import pixels
from transformer.fakes import PHOTOS, encoded, orientation, png, png_chunk, turned_jpeg, turned_webp

JPEG = PHOTOS[0].read_bytes()
TEXT = base64.b64encode(JPEG)
CORNERS = np.repeat(np.repeat(np.array([[[240, 0, 0], [0, 240, 0]], [[0, 0, 240], [240] * 3]], np.uint8), 16, 0), 32, 1)
OPAQUE = np.full((*CORNERS.shape[:2], 1), 255, np.uint8)
SHARP = (1, 100, 7, 0x111111)  # JPEG quality 100, colours not subsampled
WEBP_LOSSY, WEBP_LOSSLESS = (64, 90), (64, 101)  # IMWRITE_WEBP_QUALITY; over 100 is lossless

# How a camera stores an upright picture (EXIF 2.32, 4.6.4): the viewer undoes it.
STORED = {
    1: lambda p: p,
    2: lambda p: p[:, ::-1],
    3: lambda p: p[::-1, ::-1],
    4: lambda p: p[::-1],
    5: lambda p: p.transpose(1, 0, 2),
    6: lambda p: np.rot90(p, 1),
    7: lambda p: p[::-1, ::-1].transpose(1, 0, 2),
    8: lambda p: np.rot90(p, -1),
}


def same(got: np.ndarray, wanted: object, tolerance: int = 0) -> bool:
    wanted = np.asarray(wanted, int)
    return got.dtype == np.uint8 and got.shape == wanted.shape and bool(np.abs(got - wanted).max() <= tolerance)


@pytest.mark.parametrize(
    "element",
    [JPEG, TEXT, b" " + TEXT + b"\n", b"data:image/jpeg;base64," + TEXT, b"data:;base64," + TEXT],
    ids=["raw", "base64", "base64 in white space", "data URL", "data URL without a type"],
)
def test_raw_bytes_and_base64_text_are_told_apart_by_content(element):
    assert pixels.image_bytes(element) == JPEG


def test_base64_text_may_be_wrapped_into_lines():
    assert pixels.image_bytes(base64.encodebytes(JPEG)) == JPEG


@pytest.mark.parametrize(
    ("element", "got"),
    [
        (b"", "neither"),
        (b"a cat", "neither"),
        (b"GIF89a\1\0\1\0", "neither"),
        (JPEG[:2], "neither"),
        (b"data:image/jpeg", "neither"),
        (b"data:image/jpeg;base64,", "neither"),
        (b"data:text/plain;base64,aGVsbG8=", "base64 text of something else"),
        (base64.b64encode(b"hello"), "base64 text of something else"),
        (base64.b64encode(TEXT), "base64 text of something else"),
        ("Größe".encode(), "neither"),
    ],
)
def test_anything_else_is_refused_with_what_was_expected_and_what_came(element, got):
    with pytest.raises(InvalidInput, match=rf"expected a JPEG, PNG, WebP file or its base64 text, got {got}$"):
        pixels.image_bytes(element)


@pytest.mark.parametrize("turn", STORED)
@pytest.mark.parametrize("order", ["<", ">"])
def test_every_exif_orientation_of_a_jpeg_comes_out_upright(turn, order):
    stored = encoded(".jpg", np.ascontiguousarray(STORED[turn](CORNERS)), *SHARP)
    assert same(pixels.decode(turned_jpeg(stored, turn, order)), CORNERS, tolerance=6)


@pytest.mark.parametrize("turn", [0, 9, 65535])
def test_an_orientation_that_exif_does_not_know_changes_nothing(turn):
    assert same(pixels.decode(turned_jpeg(encoded(".jpg", CORNERS, *SHARP), turn)), CORNERS, tolerance=6)


@pytest.mark.parametrize(
    "channels",
    [3, pytest.param(4, marks=pytest.mark.xfail(strict=True, reason="known limitation: no orientation beside alpha"))],
)
@pytest.mark.parametrize("kind", ["PNG", "WebP"])
def test_the_orientation_of_png_and_webp_is_applied_too(kind, channels):
    picture = CORNERS if channels == 3 else np.dstack([CORNERS, OPAQUE])
    stored = np.ascontiguousarray(np.rot90(picture, 1))
    if kind == "PNG":
        rows = [row.tobytes() for row in stored]
        data = png(stored.shape[1], 8, 2 if channels == 3 else 6, rows, png_chunk(b"eXIf", orientation(6)))
    else:
        stored[0, 0, 3:] = 0  # or OpenCV drops the alpha channel
        data = turned_webp(encoded(".webp", stored, *WEBP_LOSSLESS), 6, stored.shape[:2], alpha=channels == 4)
    assert same(pixels.decode(data)[:, :-1], CORNERS[:, :-1])


PALETTE = png_chunk(b"PLTE", bytes([255, 0, 0, 0, 255, 0]))
SEE_THROUGH = png_chunk(b"tRNS", b"\x00\xff")
PROFILE = png_chunk(b"tEXt", b"Comment\0" + b"x" * 2000)  # an ICC profile is of that size as well
WHITE = [255, 255, 255]
PNGS = {
    "grey": (png(2, 8, 0, [bytes([7, 200])]), [[7] * 3, [200] * 3]),
    "black and white": (png(2, 1, 0, [b"\x40"]), [[0] * 3, WHITE]),
    "grey of 16 bits": (png(2, 16, 0, [struct.pack(">2H", 7 << 8, 200 << 8)]), [[7] * 3, [200] * 3]),
    "RGB of 16 bits": (png(1, 16, 2, [struct.pack(">3H", 7 << 8, 200 << 8, 65535)]), [[7, 200, 255]]),
    "RGBA of 16 bits": (
        png(2, 16, 6, [struct.pack(">8H", 65535, 0, 257, 65535, 0, 0, 0, 0x8000)]),
        [[255, 0, 1], [127] * 3],
    ),
    "grey with alpha": (png(3, 8, 4, [bytes([9, 255, 9, 0, 0, 51])]), [[9] * 3, WHITE, [204] * 3]),
    "grey with alpha of 16 bits": (png(2, 16, 4, [struct.pack(">4H", 0, 65535, 0, 0)]), [[0] * 3, WHITE]),
    "palette": (png(2, 8, 3, [b"\0\1"], PALETTE), [[255, 0, 0], [0, 255, 0]]),
    "palette with a transparent colour": (png(2, 8, 3, [b"\0\1"], PALETTE, SEE_THROUGH), [WHITE, [0, 255, 0]]),
    "RGB with a transparent colour": (
        png(2, 8, 2, [bytes([7, 8, 9, 1, 2, 3])], png_chunk(b"tRNS", struct.pack(">3H", 7, 8, 9))),
        [WHITE, [1, 2, 3]],
    ),
    "RGB with tRNS in a comment": (png(1, 8, 2, [bytes([7, 8, 9])], png_chunk(b"tEXt", b"x\0tRNS")), [[7, 8, 9]]),
}


@pytest.mark.parametrize("name", PNGS)
def test_a_png_of_this_kind_becomes_rgb_over_white(name):
    data, wanted = PNGS[name]
    assert same(pixels.decode(data), [wanted])


@pytest.mark.xfail(strict=True, reason="known limitation: OpenCV gives grey without its tRNS colour key")
def test_a_grey_png_with_a_transparent_shade_is_laid_over_white():
    data = png(2, 8, 0, [bytes([7, 200])], png_chunk(b"tRNS", struct.pack(">H", 7)))
    assert same(pixels.decode(data), [[WHITE, [200] * 3]])


def test_a_transparent_palette_is_found_behind_a_long_chunk():
    assert same(pixels.decode(png(2, 8, 3, [b"\0\1"], PROFILE, PALETTE, SEE_THROUGH)), [[WHITE, [0, 255, 0]]])


def test_transparency_is_laid_over_white_as_the_slow_formula_says():
    rgba = np.random.default_rng(1).integers(0, 256, (9, 7, 4), np.uint8)
    got = pixels.decode(encoded(".png", rgba))
    for y in range(9):
        for x in range(7):
            alpha = int(rgba[y, x, 3])
            for channel in range(3):
                exact = (int(rgba[y, x, channel]) * alpha + 255 * (255 - alpha)) / 255
                assert abs(int(got[y, x, channel]) - exact) <= 0.51


@pytest.mark.parametrize("options", [WEBP_LOSSY, WEBP_LOSSLESS], ids=["lossy", "lossless"])
@pytest.mark.parametrize("transparent", [False, True])
def test_webp_is_read_and_its_alpha_laid_over_white(options, transparent):
    picture, wanted = CORNERS, CORNERS.copy()
    if transparent:
        picture = np.dstack([CORNERS, OPAQUE])
        picture[:, :32, 3], wanted[:, :32] = 0, 255
    data = encoded(".webp", picture, *options)
    got = pixels.decode(data)
    inside = np.ones(64, bool) if options == WEBP_LOSSLESS else np.abs(np.arange(64) - 31.5) > 2  # colours bleed there
    assert same(got[4:12][:, inside], wanted[4:12][:, inside], tolerance=0 if options == WEBP_LOSSLESS else 25)


def test_a_grey_jpeg_becomes_rgb_and_bytes_after_the_picture_do_no_harm():
    data = encoded(".jpg", np.full((8, 8), 77, np.uint8), 1, 100)
    assert same(pixels.decode(data + b"motion photo"), np.full((8, 8, 3), 77), tolerance=1)


@pytest.mark.parametrize("part", [0.02, 0.3, 0.6, 0.99])
@pytest.mark.parametrize("extension", [".jpg", ".jpg progressive", ".png", ".webp"])
def test_a_truncated_file_is_refused(extension, part):
    photo = pixels.decode(JPEG)[:120, :160]
    data = encoded(extension.split()[0], photo, *((2, 1) if "progressive" in extension else ()))
    with pytest.raises(InvalidInput, match="cannot be decoded: it is truncated, damaged or too large"):
        pixels.decode(data[: int(len(data) * part)])


@pytest.mark.parametrize("start", [b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"RIFF\0\0\0\0WEBP", b"RIFF\0\0\0\0WEBPVP8X"])
@pytest.mark.parametrize("rest", [b"", b"\0" * 100, np.random.default_rng(0).bytes(3000)], ids=["", "zeros", "noise"])
def test_garbage_behind_a_known_beginning_is_refused(start, rest):
    claims = len(rest) > 100 and start.endswith(b"VP8X")  # the noise is read as a size in pixels
    why = r"an image has \d+ x \d+ pixels, at most 67108864 are decoded" if claims else "cannot be decoded"
    with pytest.raises(InvalidInput, match=why):
        pixels.decode(start + rest)


@settings(max_examples=60, deadline=None)
@given(*[st.integers(1, 70)] * 4, st.integers(0, 255))
def test_any_picture_fits_any_model_and_one_colour_stays_that_colour(height, width, rows, columns, colour):
    got = pixels.fit(np.full((height, width, 3), colour, np.uint8), (rows, columns))
    assert same(got, np.full((rows, columns, 3), colour))


@pytest.mark.parametrize("shape", [(1, 1), (600, 1), (1, 600), (2, 3), (4000, 3000)])
@pytest.mark.parametrize("size", [(224, 224), (1, 1), (32, 200), (200, 32)])
def test_the_result_has_the_models_size(shape, size):
    assert pixels.fit(np.zeros((*shape, 3), np.uint8), size).shape == (*size, 3)


def test_an_extreme_aspect_ratio_costs_no_more_memory_than_a_photograph():
    tracemalloc.start()
    try:
        assert pixels.fit(np.zeros((1, 5000, 3), np.uint8), (224, 224)).shape == (224, 224, 3)
        assert tracemalloc.get_traced_memory()[1] < 100e6
    finally:
        tracemalloc.stop()


def test_a_picture_of_256_is_cropped_to_its_middle_224_and_not_resampled():
    picture = np.random.default_rng(2).integers(0, 256, (256, 256, 3), np.uint8)
    assert same(pixels.fit(picture, (224, 224)), picture[16:240, 16:240])
    doubled = picture.repeat(2, 0).repeat(2, 1)
    assert same(pixels.fit(doubled, (224, 224)), picture[16:240, 16:240])


def test_a_fine_chequered_pattern_becomes_grey_and_not_stripes():
    board = np.indices((1024, 1024)).sum(0)[..., None].repeat(3, 2) % 2 * 255
    assert same(pixels.fit(board.astype(np.uint8), (224, 224)), np.full((224, 224, 3), 128), tolerance=1)


@pytest.mark.parametrize("shape", [(256, 1024), (1024, 256)])
def test_the_crop_is_the_centre_and_keeps_proportions(shape):
    picture = np.zeros((*shape, 3), np.uint8)
    middle = tuple(slice(side // 2 - 50, side // 2 + 50) for side in shape)
    picture[middle] = 255
    rows, columns = (pixels.fit(picture, (224, 224))[..., 0].max(axis) > 127 for axis in (1, 0))
    assert np.flatnonzero(rows).tolist() == np.flatnonzero(columns).tolist() == list(range(62, 162))
