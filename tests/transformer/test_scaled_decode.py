"""JPEGs that the decoder halves, held against the reference resize, which halves them afterwards."""

from __future__ import annotations

import itertools
from pathlib import Path

import cv2
import numpy as np
import pytest
from tandem_predictor.runtimes.onnx import open_session
from tandem_transformer.transformers import pixels
from transformer.fakes import PHOTOS, encoded, turned_jpeg

MODEL = Path(__file__).parents[2] / ".cache" / "models" / "efficientnet-lite0" / "1" / "model.onnx"
PHOTO = pixels.decode(PHOTOS[0].read_bytes())
SIZE = (224, 224)
CROPS = 200
SUBSAMPLED = {"4:4:4": 0x111111, "4:2:2": 0x211111, "4:2:0": 0x221111}


def photo(height: int, width: int) -> np.ndarray:
    return cv2.resize(PHOTO, (width, height), interpolation=cv2.INTER_CUBIC)


def difference(data: bytes, size: tuple[int, int]) -> float:
    """The mean over all pixels, in levels of 255."""
    halved = pixels.fit(pixels.decode(data, size=size), size)
    return float(np.abs(halved.astype(int) - pixels.fit(pixels.decode(data), size)).mean())


@pytest.mark.parametrize("sampling", SUBSAMPLED)
@pytest.mark.parametrize("progressive", [0, 1])
@pytest.mark.parametrize(
    ("shape", "times"),
    [((577, 700), 1), ((512, 513), 1), ((1025, 1999), 2), ((1024, 1030), 2), ((2051, 2307), 3)],
)
def test_the_decoder_halves_as_the_reference_does(shape, times, progressive, sampling):
    options = (cv2.IMWRITE_JPEG_PROGRESSIVE, progressive, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, SUBSAMPLED[sampling])
    data = encoded(".jpg", photo(*shape), *options)
    assert pixels.decode(data, size=SIZE).shape[:2] == (shape[0] >> times, shape[1] >> times)
    assert difference(data, SIZE) < 0.6
    half = 2 ** (times - 1)  # of a pixel of the result, by which a wrong count of the squares would be off
    shifted = pixels.fit(pixels.decode(data)[half:, half:], SIZE)
    assert np.abs(shifted.astype(int) - pixels.fit(pixels.decode(data), SIZE)).mean() > 0.8


@pytest.mark.parametrize(("size", "times"), [((224, 224), 1), ((100, 300), 0), ((300, 100), 0), ((64, 96), 2)])
@pytest.mark.parametrize(
    ("turn", "shape"), [(turn, shape) for turn in range(1, 9) for shape in ((600, 720), (601, 720), (600, 722))]
)
def test_a_turned_one_is_halved_only_where_the_squares_stay_the_same(turn, shape, size, times):
    data = turned_jpeg(encoded(".jpg", photo(*shape), cv2.IMWRITE_JPEG_QUALITY, 95), turn)
    dividing = next(k for k in (times, 1, 0) if not (shape[0] | shape[1]) % 2**k)
    got, whole = pixels.decode(data, size=size).shape, pixels.decode(data).shape
    assert got == (whole[0] >> dividing, whole[1] >> dividing, 3)
    assert difference(data, size) < 0.6


@pytest.mark.parametrize("shape", [(511, 900), (900, 511), (224, 224), (1, 2000)])
def test_what_would_get_too_small_is_decoded_whole(shape):
    data = encoded(".jpg", photo(*shape))
    assert pixels.decode(data, size=SIZE).shape[:2] == shape


@pytest.mark.parametrize("extension", [".png", ".webp"])
def test_other_formats_are_decoded_whole(extension):
    assert pixels.decode(encoded(extension, photo(600, 700)), size=SIZE).shape[:2] == (600, 700)


def test_grey_is_halved_too():
    data = encoded(".jpg", photo(600, 700)[..., 0])
    assert pixels.decode(data, size=SIZE).shape == (300, 350, 3)
    assert difference(data, SIZE) < 0.6


def test_the_labels_of_crops_and_rescales_stay_what_they_are():
    """The bar: the same label for 99 of 100, and the probability of the best moves by 0.01 at most in the mean."""
    session = open_session(MODEL, threads=1)
    same, moved = [], []
    for data in itertools.islice(crops(), CROPS):
        halved, whole = (
            session.run(None, {"image": np.ascontiguousarray(pixels.fit(picture, SIZE))[None]})[0][0]
            for picture in (pixels.decode(data, size=SIZE), pixels.decode(data))
        )
        same.append(halved.argmax() == whole.argmax())
        moved.append(abs(halved.max() - whole[halved.argmax()]))
    assert np.mean(same) >= 0.99
    assert np.mean(moved) <= 0.01


def crops():
    """JPEG files of parts of the photos, enlarged or not, every other one progressive."""
    random = np.random.default_rng(7)
    photos = [cv2.imread(str(file)) for file in PHOTOS]
    for index in itertools.count():
        picture = photos[index % len(photos)]
        height, width = (int(side * random.uniform(0.6, 1)) for side in picture.shape[:2])
        top, left = random.integers(0, picture.shape[0] - height + 1), random.integers(0, picture.shape[1] - width + 1)
        scale = random.uniform(512, 1400) / min(height, width)
        sized = cv2.resize(picture[top : top + height, left : left + width], None, fx=scale, fy=scale)
        quality = int(random.integers(60, 96))
        options = [cv2.IMWRITE_JPEG_QUALITY, quality, cv2.IMWRITE_JPEG_PROGRESSIVE, index % 2]
        yield cv2.imencode(".jpg", sized, options)[1].tobytes()
