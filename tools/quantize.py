#!/usr/bin/env python3
"""Quantise the default model to static int8: the repository's photos -> crops -> ranges -> QDQ graph -> file.

Pixels in and probabilities out, as the fp32 file; convolutions with s8 weights a channel and u8 activations. Dynamic
quantisation is no choice here: its convolutions are slower than fp32 on CPU.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import onnxruntime
from numpy.typing import NDArray
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_static
from tandem_transformer.transformers import pixels

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / ".cache" / "models" / "efficientnet-lite0" / "1" / "model.onnx"
FILE = ROOT / ".cache" / "variants" / "efficientnet-lite0-int8" / "1" / "model.onnx"
PHOTOS = ROOT / "examples" / "image-classification" / "photos"
SIZE, CROPS = 224, 12
# Everything between the normalisation and the softmax, whose outputs need the range that floats have.
OPERATORS = ["Conv", "Clip", "Add", "GlobalAveragePool", "Gemm"]

Picture = NDArray[np.uint8]


class Crops(CalibrationDataReader):  # type: ignore[misc]  # onnxruntime ships no types
    """The pictures that the ranges of the activations are taken from."""

    def __init__(self) -> None:
        self._rest = crops()

    def get_next(self) -> dict[str, Picture] | None:
        """The next input, or None at the end."""
        return next(({"image": picture[None]} for picture in self._rest), None)


def crops() -> Iterator[Picture]:
    """Of each photo what the transformer makes of it, and others at random places and sizes, half of them mirrored."""
    random = np.random.default_rng(11)
    for photo in photos():
        yield pixels.fit(photo, (SIZE, SIZE))
        for index in range(CROPS - 1):
            side = int(min(photo.shape[:2]) * random.uniform(0.5, 1))
            top, left = (random.integers(0, room + 1) for room in (photo.shape[0] - side, photo.shape[1] - side))
            picture = photo[top : top + side, left : left + side]
            yield resized(picture[:, ::-1] if index % 2 else picture)


def photos() -> list[Picture]:
    """The repository's photos, RGB."""
    return [pixels.decode(file.read_bytes()) for file in sorted(PHOTOS.glob("*.jpg"))]


def resized(picture: Picture) -> Picture:
    """At the model's size."""
    return np.asarray(cv2.resize(picture, (SIZE, SIZE), interpolation=cv2.INTER_AREA), np.uint8)


def best(model: Path, pictures: Picture) -> list[int]:
    """The class of each picture."""
    session = onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"])
    return [int(row.argmax()) for row in session.run(None, {"image": pictures})[0]]


def main() -> int:
    """Make the file, unless it is there; refuse it if it sees something else in a photo than fp32 does."""
    if FILE.exists():
        return 0
    print(f"int8 model: quantising into {FILE.relative_to(ROOT)} ...")
    logging.getLogger().setLevel(logging.ERROR)  # the quantiser proposes a preprocessing that this graph needs not
    FILE.parent.mkdir(parents=True, exist_ok=True)
    fresh = FILE.with_suffix(".part")
    formats = {"activation_type": QuantType.QUInt8, "weight_type": QuantType.QInt8, "per_channel": True}
    ranges = {"calibrate_method": CalibrationMethod.MinMax, "op_types_to_quantize": OPERATORS}
    quantize_static(SOURCE, fresh, Crops(), quant_format=QuantFormat.QDQ, **formats, **ranges)
    pictures = np.stack([pixels.fit(photo, (SIZE, SIZE)) for photo in photos()])
    if (ours := best(fresh, pictures)) != (wanted := best(SOURCE, pictures)):
        sys.exit(f"int8 model: sees the classes {ours} in the photos, fp32 {wanted}")
    fresh.rename(FILE)
    print(f"int8 model: ready, {FILE.stat().st_size / 1e6:.1f} MB, top-1 of all {len(pictures)} photos as in fp32")
    return 0


if __name__ == "__main__":
    sys.exit(main())
