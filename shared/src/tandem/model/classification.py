"""Triton's classification extension: an output as its best classes, each the text `value:index`.

Source: Triton's extension_classification document.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from tandem.errors import InvalidInput
from tandem.inference import Arrays, RequestedOutput
from tandem.tensors import Array, objects


def classify(
    outputs: Arrays, requested: Sequence[RequestedOutput], labels: Mapping[str, Sequence[str]] | None = None
) -> Arrays:
    """`outputs`, those with the parameter `classification` replaced by BYTES [..., k], best first.

    An output that has `labels` gives `value:index:label`.
    """
    wanted = {
        output.name: output.parameters["classification"]
        for output in requested
        if "classification" in output.parameters
    }
    known = labels or {}
    return {
        name: _best(name, array, wanted[name], known.get(name, ())) if name in wanted else array
        for name, array in outputs.items()
    }


def _best(name: str, scores: Array, count: object, labels: Sequence[str]) -> Array:
    if isinstance(count, bool) or not isinstance(count, int) or count < 1:
        raise InvalidInput(f"output '{name}': classification is {count!r}, expected a number of classes, 1 or more")
    if scores.ndim == 0 or scores.dtype.kind not in "fiu":
        raise InvalidInput(f"output '{name}' cannot be classified: it is not a tensor of scores")
    flat = scores.reshape(math.prod(scores.shape[:-1]), scores.shape[-1])  # not -1, which beside 0 could be anything
    indices = np.argsort(-flat.astype(np.float64), axis=1, kind="stable")[:, :count]
    values = np.take_along_axis(flat, indices, axis=1)
    texts = [
        b"%f:%d" % (value, index) + (f":{labels[index]}".encode() if index < len(labels) else b"")
        for value, index in zip(values.ravel().tolist(), indices.ravel().tolist(), strict=True)
    ]
    return objects(texts).reshape((*scores.shape[:-1], indices.shape[1]))
