"""Outputs as text and plain values."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator

import numpy as np
from tandem.client import InferResult
from tandem.tensors import Array, datatype_of

LABELS, PROBABILITIES, CLASSES = "labels", "output-0", "classes"  # of the image pair


def classifies(outputs: Iterable[str]) -> bool:
    """Whether these are the outputs of the image pair."""
    return {LABELS, PROBABILITIES} <= set(outputs)


def ranked(answer: InferResult) -> Iterator[list[tuple[str, float, int | str]]]:
    """Of each image its labels with probability and class, the best first."""
    labels, probabilities = np.atleast_2d(answer[LABELS]), np.atleast_2d(answer[PROBABILITIES])
    classes = np.atleast_2d(answer[CLASSES]) if CLASSES in answer else np.full(labels.shape, "", object)
    for row in zip(labels.tolist(), probabilities.tolist(), classes.tolist(), strict=True):
        yield [(text(label), float(p), number) for label, p, number in zip(*row, strict=True)]


def plain(array: Array) -> object:
    """What JSON can hold of an output: nested lists; BYTES as text, else as base64."""
    if array.dtype.hasobject:
        return _nested(array)
    return array.astype(np.float32).tolist() if datatype_of(array.dtype) == "BF16" else array.tolist()


def text(data: bytes) -> str:
    """Bytes as text, or as base64 if they are none."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        return base64.b64encode(data).decode()


def _nested(array: Array) -> object:
    elements = np.empty(array.shape, object)
    elements.reshape(-1)[:] = [text(bytes(element)) for element in array.ravel().tolist()]
    return elements.tolist()
