"""What is sent -> the bytes of each request, encoded once, before anything is measured."""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from tandem import tensors
from tandem.codec import json as json_codec
from tandem.codec import message, wire
from tandem.inference import Arrays, InferRequest
from tandem.metadata import ModelMetadata, TensorSpec
from tandem.tensors import Array

from tandem_cli.access import BadUse
from tandem_cli.predict import jobs, reading

MADE_UP = 16  # different requests, so that no cache makes an answer quicker than it is
MOST = 2**30  # bytes of all requests together


@dataclass(frozen=True, slots=True)
class Body:
    """A request as it is sent; `json_size` is that of its JSON part, over HTTP."""

    data: bytes
    json_size: int = 0


def bodies(known: argparse.Namespace, model: ModelMetadata) -> list[Body]:
    """The requests that are sent in turn; raises BadUse, OSError or TandemError."""
    found, size = list[Body](), 0
    for inputs in _files(known, model) if known.sources else _made_up(known, model):
        found.append(_encode(InferRequest(model.name, known.model_version, inputs=inputs, raw=True), known.url))
        size += len(found[-1].data)
        if size > MOST:
            raise BadUse(f"the requests have over {MOST} bytes together; name fewer files, or smaller shapes")
    if not found:
        raise BadUse("there is nothing to send; name files, see `tandem bench --help`")
    return found


def _encode(request: InferRequest, url: str) -> Body:
    if url.startswith("grpc"):
        return Body(wire.encode_request(message.encode_request(request)))
    parts, size = json_codec.encode_binary_request(request)
    return Body(b"".join(parts), size)


def _files(known: argparse.Namespace, model: ModelMetadata) -> Iterator[Arrays]:
    bytes_only = len(model.inputs) == 1 and model.inputs[0].datatype == "BYTES"
    read = reading.content if bytes_only else reading.arrays
    for path in jobs.paths(known.sources, jobs.IMAGES if bytes_only else jobs.ARRAYS):
        yield read(model, path)


def _made_up(known: argparse.Namespace, model: ModelMetadata) -> Iterator[Arrays]:
    shapes = dict(_shape(text) for text in known.shape)
    if unknown := shapes.keys() - {spec.name for spec in model.inputs}:
        names = ", ".join(spec.name for spec in model.inputs)
        raise BadUse(f"--shape: unknown input {min(unknown)}; the model's inputs are: {names}")
    generator = np.random.default_rng(0)
    wanted = {spec.name: shapes.get(spec.name) or _default(spec, known.batch) for spec in model.inputs}
    for _ in range(MADE_UP):
        yield {spec.name: _random(spec, wanted[spec.name], generator) for spec in model.inputs}


def _shape(text: str) -> tuple[str, Sequence[int]]:
    name, colon, numbers = text.rpartition(":")
    try:
        shape = [int(number) for number in numbers.split(",")]
    except ValueError:
        shape = []
    if not (colon and name and shape) or min(shape) < 0:
        raise BadUse(f"--shape {text[:60]}: expected NAME:N,N such as x:1,3,224,224")
    return name, shape


def _default(spec: TensorSpec, batch: int) -> Sequence[int]:
    return [batch if axis == 0 and size == -1 else max(size, 1) for axis, size in enumerate(spec.shape)]


def _random(spec: TensorSpec, shape: Sequence[int], generator: np.random.Generator) -> Array:
    if spec.datatype == "BYTES":
        raise BadUse(f"input '{spec.name}' is BYTES, which nobody can make up; name files to send")
    dtype = tensors.dtype_of(spec.name, spec.datatype)
    if math.prod(shape) * dtype.itemsize > MOST // MADE_UP:
        raise BadUse(f"input '{spec.name}': {list(shape)} is too large: over {MOST // MADE_UP} bytes")
    if dtype.kind in "iub":
        return generator.integers(0, 2 if dtype.kind == "b" else 100, shape).astype(dtype)
    return generator.standard_normal(shape).astype(dtype)
