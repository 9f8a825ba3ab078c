"""What the candidates for the reference resize cost, on a 700 x 577 image: docs/decisions/0005, as ratios of one run.

.venv/bin/python bench/resize.py
"""

from __future__ import annotations

import cv2
import numpy as np
from tandem_transformer.transformers import pixels
from timer import best


def whole(image: np.ndarray, interpolation: int) -> np.ndarray:
    height, width = image.shape[:2]
    scale = 256 / min(height, width)
    resized = cv2.resize(image, (round(width * scale), round(height * scale)), interpolation=interpolation)
    top, left = (resized.shape[0] - 224) // 2, (resized.shape[1] - 224) // 2
    return resized[top : top + 224, left : left + 224]


def main() -> None:
    cv2.setNumThreads(1)
    image = np.random.default_rng(0).integers(0, 256, (577, 700, 3), np.uint8)
    ours = best(lambda: pixels.fit(image, (224, 224)))
    print(f"halve by area, then bicubic (the reference): {ours:.3f} ms")
    for name in ("LINEAR", "CUBIC", "AREA"):
        took = best(lambda name=name: whole(image, getattr(cv2, f"INTER_{name}")))
        print(f"plain {name.lower()}: {took:.3f} ms, {took / ours:.2f} of the reference")


if __name__ == "__main__":
    main()
