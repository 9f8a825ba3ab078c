"""JPEGs halved by the decoder instead of by the reference resize: how much faster, and what becomes of the scores.

.venv/bin/python bench/scaled_decode.py [--crops 250]
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from tandem_predictor.runtimes.onnx import open_session
from tandem_transformer.transformers import pixels
from timer import best

ROOT = Path(__file__).parent.parent
MODEL = ROOT / ".cache" / "models" / "efficientnet-lite0" / "1" / "model.onnx"
PHOTOS = ROOT / "examples" / "image-classification" / "photos"
SIZE = (224, 224)
REDUCED = {
    1: 0,
    2: cv2.IMREAD_REDUCED_GRAYSCALE_2,
    4: cv2.IMREAD_REDUCED_GRAYSCALE_4,
    8: cv2.IMREAD_REDUCED_GRAYSCALE_8,
}


def crops(count: int) -> Iterator[bytes]:
    """JPEG files of crops of the photos, rescaled; half of them progressive."""
    random = np.random.default_rng(3)
    photos = [cv2.imread(str(file)) for file in sorted(PHOTOS.glob("*.jpg"))]
    for index in range(count):
        photo, part = photos[index % len(photos)], random.uniform(0.6, 1)
        height, width = (int(side * part) for side in photo.shape[:2])
        top, left = (
            random.integers(0, side - kept + 1) for side, kept in zip(photo.shape, (height, width), strict=False)
        )
        crop, scale = photo[top : top + height, left : left + width], random.uniform(520, 2600) / min(height, width)
        sized = cv2.resize(
            crop, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
        )
        quality = [cv2.IMWRITE_JPEG_QUALITY, int(random.integers(60, 96)), cv2.IMWRITE_JPEG_PROGRESSIVE, index % 2]
        yield cv2.imencode(".jpg", sized, quality)[1].tobytes()


def scaled(data: bytes, least: int) -> np.ndarray:
    """Decoded, as small as the decoder makes it without the shorter side getting below `least`."""
    shorter = min(pixels.headers.dimensions(data))
    factor = max(factor for factor in REDUCED if factor == 1 or shorter // factor >= least)
    return cv2.imdecode(np.frombuffer(data, np.uint8), REDUCED[factor] | cv2.IMREAD_COLOR_RGB)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--crops", type=int, default=250)
    cv2.setNumThreads(1)
    session = open_session(MODEL, threads=2)

    def scores(image: np.ndarray) -> np.ndarray:
        return session.run(None, {"image": np.ascontiguousarray(pixels.fit(image, SIZE))[None]})[0][0]

    files = list(crops(parser.parse_args().crops))
    reference = [scores(pixels.decode(data)) for data in files]
    for times in (1, 2, 3):
        least = round(times * SIZE[0] * pixels.RESIZE)
        pairs = [(whole, scores(scaled(data, least))) for data, whole in zip(files, reference, strict=True)]
        agree = statistics.mean(float(whole.argmax() == part.argmax()) for whole, part in pairs)
        moved = statistics.mean(abs(float(whole.max() - part[whole.argmax()])) for whole, part in pairs)
        print(
            f"down to {times} x the resize's target: top-1 agrees in {agree:.3f}, the probability moves by {moved:.4f}"
        )
    image = next(data for data in files if 520 < min(pixels.headers.dimensions(data)) < 700)
    ours = best(lambda: pixels.fit(pixels.decode(image), SIZE))
    print(f"decoding and resizing one: {best(lambda: pixels.fit(scaled(image, 256), SIZE)) / ours:.2f} of the time")


if __name__ == "__main__":
    main()
