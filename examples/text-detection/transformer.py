"""A photo in, a box around each line of text out.

photo BYTES [1] -> pixels -> FP32 [1,3,height,width] -> predictor -> FP32 [1,1,height,width] -> boxes, scores

The model answers with a map: how likely each pixel is inside a line, shrunk so that neighbours do not touch
(differentiable binarization, arXiv 1911.08947). The boxes are found in it by OpenCV.
"""

from __future__ import annotations

from collections.abc import Mapping

import cv2
import numpy as np
from tandem import Arrays, Context, ModelMetadata, TensorSpec
from tandem_transformer import Transformer
from tandem_transformer.transformers import pixels

LONGEST = 960  # pixels of the longer side, as the model sees the photo; more finds smaller text, and takes longer
STRIDE = 32  # the model halves its image five times
LIKELY = 0.3  # of a pixel of text
SURE = 0.6  # of a box that is kept: the mean of its pixels
SHRUNK = 1.6  # times area / perimeter: by so much a line was shrunk when the model was trained
THINNEST = 3  # pixels; below it is noise


class TextDetection(Transformer):
    """One photo a request, as maps of different shapes make no tensor."""

    inputs = (TensorSpec("photo", "BYTES", (1,)),)
    outputs = (
        TensorSpec("boxes", "FP32", (-1, 4, 2)),  # corners (x, y) from the top left, clockwise, in parts of the sides
        TensorSpec("scores", "FP32", (-1,)),
    )

    def setup(self, model: ModelMetadata, options: Mapping[str, str]) -> None:
        """Learn the model's names. Requests run beside one another, so OpenCV needs no threads of its own."""
        cv2.setNumThreads(1)
        self._input, self._output = model.inputs[0].name, model.outputs[0].name

    def preprocess(self, inputs: Arrays, context: Context) -> Arrays:
        """The photo in a size that the model takes, its channels from -1 to 1."""
        photo = pixels.decode(pixels.image_bytes(inputs["photo"][0]))
        resized = cv2.resize(photo, seen_size(photo.shape[1], photo.shape[0]))
        return {self._input: cv2.dnn.blobFromImage(resized, 1 / 127.5, mean=(127.5, 127.5, 127.5), swapRB=True)}

    def postprocess(self, outputs: Arrays, context: Context) -> Arrays:
        """The boxes in the map, from top to bottom."""
        likelihood = outputs[self._output][0, 0]
        found = sorted(find_boxes(likelihood), key=lambda box: box[0][:, 1].min())
        height, width = likelihood.shape
        corners = np.array([corners for corners, _ in found], np.float32).reshape(-1, 4, 2)
        return {
            "boxes": np.clip(corners / np.array([width, height], np.float32), 0, 1),
            "scores": np.array([score for _, score in found], np.float32),
        }


def seen_size(width: int, height: int) -> tuple[int, int]:
    """(width, height) of what the model sees: the photo's shape, as nearly as STRIDE allows."""
    strides = LONGEST / STRIDE / max(width, height)
    return STRIDE * max(1, round(width * strides)), STRIDE * max(1, round(height * strides))


def find_boxes(likelihood: np.ndarray) -> list[tuple[np.ndarray, float]]:
    """Corners [4,2] in pixels of the map, and score, of each box around a region of `likelihood` [height,width]."""
    text = (likelihood > LIKELY).astype(np.uint8)
    _, regions = cv2.connectedComponents(text)
    scores = np.bincount(regions.ravel(), likelihood.ravel()) / np.bincount(regions.ravel())
    outlines, _ = cv2.findContours(text, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    boxes = []
    for outline in outlines:
        x, y = outline[0, 0]
        centre, (width, height), angle = cv2.minAreaRect(outline)
        if scores[regions[y, x]] >= SURE and min(width, height) >= THINNEST:
            grown = SHRUNK * width * height / (width + height)  # on both sides together
            corners = cv2.boxPoints((centre, (width + grown, height + grown), angle))
            first = corners.sum(axis=1).argmin()  # the top left one
            boxes.append((np.roll(corners, -first, axis=0), scores[regions[y, x]]))
    return boxes
