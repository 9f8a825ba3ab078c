"""Image classification: photographs in, the five best labels out.

BYTES [N] -> pixels (decode, resize, crop) -> the model's own layout and datatype -> scores -> top five, labelled
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from tandem.context import Context
from tandem.errors import Internal, InvalidInput
from tandem.inference import Arrays
from tandem.metadata import ModelMetadata, TensorSpec
from tandem.tensors import DTYPES, objects

from tandem_transformer.transformer import Transformer
from tandem_transformer.transformers import pixels

FEW = 16 * 1024  # scores that are ranked on the event loop; more would hold it too long
MAX_IMAGES = 256  # of one request; a file of 70 bytes becomes 147 KiB of pixels
OPTIONS = frozenset({"top_k", "labels", "mean", "std", "size", "input", "output", "max_pixels", "max_images"})
RANKED = "classes"  # a second output of a predictor that answers with the best classes only
_ASSUMED = TensorSpec("input-0", "FP32", (-1, 3, 224, 224))  # of a predictor that does not describe its model


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the model takes: tensor name, datatype, channels first or last, (height, width)."""

    name: str
    datatype: str
    channels_first: bool
    size: tuple[int, int]


class ImageClassification(Transformer):
    """Fits itself to the predictor's model.

    Options, none of them needed: top_k (5); labels (a file, one a line, or `imagenet`, which is taken for 1000
    classes); mean and std for models that take floats (one number, or three joined by `:`; 127 and 128); size (224,
    where the model leaves it open); input (the model's image tensor) and output (its scores), where it has several;
    max_pixels (of one image); max_images (of one request).
    """

    inputs: Sequence[TensorSpec] = (TensorSpec("input-0", "BYTES", (-1,)),)

    def setup(self, model: ModelMetadata, options: Mapping[str, str]) -> None:
        """Read the model's tensors; raises InvalidInput or ValueError if it takes no images."""
        cv2.setNumThreads(1)  # requests run beside one another; threads of their own would only get in the way
        if unknown := sorted(set(options) - OPTIONS):
            raise ValueError(f"unknown option {unknown[0]}; expected one of {', '.join(sorted(OPTIONS))}")
        self._top_k = int(options.get("top_k", "5"))
        if self._top_k < 1:
            raise ValueError(f"top_k is {self._top_k}, expected 1 or more")
        self._max_pixels = int(options.get("max_pixels", pixels.MAX_PIXELS))
        self._max_images = int(options.get("max_images", MAX_IMAGES))
        self._labels = _labels(options.get("labels", ""))
        self._mean = _channels(options.get("mean", "127"))
        self._std = _channels(options.get("std", "128"))
        self._wanted = wanted(_one(model.inputs or (_ASSUMED,), options.get("input", ""), "input"), options)
        self._is_labelled = bool(options.get("labels"))
        scores = [spec for spec in model.outputs if options.get("output") in (None, spec.name)][:1]
        self._is_ranked = any(TensorSpec(RANKED, "INT64", spec.shape) in model.outputs for spec in scores)
        classes = scores[0].shape[-1] if scores and scores[0].shape else -1
        best = min(self._top_k, classes) if classes > 0 else -1
        self._scores = options.get("output") or (model.outputs[0].name if model.outputs else "")
        self.outputs = (
            TensorSpec("output-0", "FP32", (-1, best)),
            TensorSpec("labels", "BYTES", (-1, best)),
            TensorSpec("classes", "INT64", (-1, best)),
        )

    def preprocess(self, inputs: Arrays, context: Context) -> Arrays:
        """BYTES [N] -> the model's images [N, ...]."""
        elements = inputs["input-0"]
        if len(elements) > self._max_images:
            raise InvalidInput(f"input 'input-0': {len(elements)} images, at most {self._max_images} (max_images)")
        images = np.empty((len(elements), *self._wanted.size, 3), np.uint8)
        for index, element in enumerate(elements):
            try:
                decoded = pixels.decode(pixels.image_bytes(element), self._max_pixels, self._wanted.size)
            except InvalidInput as error:
                raise InvalidInput(f"input 'input-0', element {index}: {error.message}") from None
            images[index] = pixels.fit(decoded, self._wanted.size)
        return {self._wanted.name: self.arrange(images)}

    async def postprocess(self, outputs: Arrays, context: Context) -> Arrays:
        """Scores [N, classes] -> the best `top_k` of each row, best first. For a few rows a thread would cost more."""
        if sum(array.size for array in outputs.values()) <= FEW:
            return self.rank(outputs)
        return await asyncio.to_thread(self.rank, outputs)

    def rank(self, outputs: Arrays) -> Arrays:
        """The work of `postprocess`."""
        if not outputs:
            raise Internal("the predictor returned no outputs")
        scores = outputs[self._scores] if self._scores else next(iter(outputs.values()))
        if scores.ndim != 2 or scores.dtype.kind != "f":
            raise Internal(f"the model's scores are {scores.dtype} {list(scores.shape)}, expected floats [N, classes]")
        if self._is_ranked:
            return self._taken(scores, outputs[RANKED])
        probabilities = as_probabilities(scores.astype(np.float32, copy=False))
        count = min(self._top_k, probabilities.shape[1])
        found = [largest(row, count) for row in probabilities]
        best = [row[indices] for row, indices in zip(probabilities, found, strict=True)]
        classes = np.array(found, np.int64).reshape(-1, count)
        return {
            "output-0": np.array(best, np.float32).reshape(-1, count),
            "labels": self._named(classes, probabilities.shape[1]),
            "classes": classes,
        }

    def _taken(self, scores: NDArray[np.floating[Any]], classes: NDArray[Any]) -> Arrays:
        """The answer of a predictor that has chosen the best itself (--top_k), best first.

        It does not say how many classes there are, so that only labels that were asked for can be known to be theirs.
        """
        if classes.shape != scores.shape:
            raise Internal(f"the predictor's classes are {list(classes.shape)}, its scores {list(scores.shape)}")
        scores, classes = scores[:, : self._top_k], classes[:, : self._top_k]
        known = self._is_labelled and (not classes.size or int(classes.max()) < len(self._labels))
        numbers = objects([b"%d" % index for index in classes.ravel().tolist()]).reshape(classes.shape)
        labels = self._labels[classes] if known else numbers
        return {"output-0": scores.astype(np.float32), "labels": labels, "classes": classes.astype(np.int64)}

    def arrange(self, images: NDArray[np.uint8]) -> NDArray[np.generic]:
        """RGB images [N, height, width, 3] in the model's datatype and layout."""
        if self._wanted.datatype != "UINT8":
            normal = (images - self._mean) / self._std
            images = normal.astype(DTYPES[self._wanted.datatype])
        return np.ascontiguousarray(images.transpose(0, 3, 1, 2)) if self._wanted.channels_first else images

    def _named(self, classes: NDArray[np.int64], count: int) -> NDArray[np.object_]:
        labels = self._labels if len(self._labels) == count else objects([b"%d" % index for index in range(count)])
        return labels[classes]


def wanted(spec: TensorSpec, options: Mapping[str, str]) -> Wanted:
    """What an image tensor wants; raises ValueError unless it is [N, height, width, 3] or [N, 3, height, width]."""
    dims = tuple(spec.shape)
    if len(dims) != 4 or 3 not in (dims[1], dims[3]) or spec.datatype not in ("UINT8", "FP16", "FP32"):
        text = f"{spec.datatype} {list(dims)}"
        raise ValueError(
            f"'{spec.name}' takes {text}, expected UINT8, FP16 or FP32 [N,height,width,3] or [N,3,height,width]"
        )
    channels_first = dims[3] != 3
    open_size = int(options.get("size", "224"))
    height, width = (open_size if dim == -1 else dim for dim in (dims[2:] if channels_first else dims[1:3]))
    return Wanted(spec.name, spec.datatype, channels_first, (height, width))


def as_probabilities(scores: NDArray[np.float32]) -> NDArray[np.float32]:
    """Each row of `scores` [N, classes] as it is if it is a distribution already, else its softmax.

    Row by row, so that an answer never depends on what else was in the request.
    """
    if scores.size == 0:
        return scores
    done = (np.minimum.reduce(scores, axis=1) >= 0) & (np.abs(np.add.reduce(scores, axis=1) - 1) < 1e-3)
    if done.all():
        return scores
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    return np.where(done[:, None], scores, powers / powers.sum(axis=1, keepdims=True)).astype(np.float32)


def largest(row: NDArray[np.float32], count: int) -> NDArray[np.int64]:
    """The indices of the `count` largest of `row`, largest first, the first of equals first: a sort of only those."""
    parted = row.copy()
    parted.partition(len(row) - count)
    found: NDArray[np.int64] = (row >= parted[len(row) - count]).nonzero()[0]
    if len(found) < count:  # there are NaNs, which are more than nothing and less than everything
        found = np.arange(len(row))
    order = (-row[found]).argsort(kind="stable")
    return found[order[:count]]


def _one(specs: Sequence[TensorSpec], name: str, kind: str) -> TensorSpec:
    chosen = [spec for spec in specs if name in ("", spec.name)]
    if len(chosen) != 1:
        names = ", ".join(spec.name for spec in specs)
        raise ValueError(f"the model's {kind}s are {names}; choose one with --transformer_options={kind}=NAME")
    return chosen[0]


def _labels(file: str) -> NDArray[np.object_]:
    packaged = resources.files("tandem_transformer.transformers") / "imagenet_labels.txt"
    chosen = packaged if file in ("", "imagenet") else Path(file)
    text = chosen.read_text(encoding="utf-8")
    return objects([line.strip().encode() for line in text.splitlines() if line.strip()])


def _channels(text: str) -> NDArray[np.float32]:
    return np.array([float(part) for part in text.split(":")], np.float32)
