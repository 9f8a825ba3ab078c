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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--crops", type=int, default=250)
    cv2.setNumThreads(1)
    session = open_session(MODEL, threads=2)

    def scores(image: np.ndarray) -> np.ndarray:
        return session.run(None, {"image": np.ascontiguousarray(pixels.fit(image, SIZE))[None]})[0][0]

    files = list(crops(parser.parse_args().crops))
    pairs = [(scores(pixels.decode(data)), scores(pixels.decode(data, size=SIZE))) for data in files]
    agree = statistics.mean(float(whole.argmax() == halved.argmax()) for whole, halved in pairs)
    moved = statistics.mean(abs(float(whole.max() - halved[whole.argmax()])) for whole, halved in pairs)
    print(f"{len(files)} crops: top-1 agrees in {agree:.3f}, the probability moves by {moved:.4f} in the mean")
    for low, high in ((520, 700), (1100, 1400), (2200, 2600)):
        for progressive in (0, 1):
            image = next(d for i, d in enumerate(files) if i % 2 == progressive and low < shorter(d) < high)
            whole = best(lambda image=image: pixels.fit(pixels.decode(image), SIZE))
            halved = best(lambda image=image: pixels.fit(pixels.decode(image, size=SIZE), SIZE))
            kind = "progressive" if progressive else "baseline"
            print(f"shorter side {shorter(image)}, {kind}: {halved / whole:.2f} of the time of {whole:.2f} ms")


def shorter(data: bytes) -> int:
    return min(pixels.headers.dimensions(data))


if __name__ == "__main__":
    main()
