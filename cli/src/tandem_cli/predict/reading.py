"""Files and values -> the inputs of a request, in the datatypes that the model declares."""

from __future__ import annotations

import sys
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import orjson
from tandem import tensors
from tandem.codec import json as codec
from tandem.errors import InvalidInput
from tandem.inference import Arrays
from tandem.metadata import ModelMetadata, TensorSpec
from tandem.tensors import Array


def content(model: ModelMetadata, path: Path) -> Arrays:
    """A file as the one element of the model's BYTES input."""
    data = sys.stdin.buffer.read() if str(path) == "-" else path.read_bytes()
    spec = model.inputs[0]
    return {spec.name: _element(spec, data)}


def arrays(model: ModelMetadata, path: Path) -> Arrays:
    """A file with the inputs: .npz and .json have them by name, .npy the only one. Raises OSError, InvalidInput."""
    if path.suffix.lower() == ".json":
        return _document(model, path.read_bytes())
    found = _load(path)
    if not isinstance(found, Mapping):
        if len(model.inputs) != 1:
            names = ", ".join(spec.name for spec in model.inputs)
            raise InvalidInput(f"one array for the inputs {names}; give them by --input NAME=@FILE, or in an .npz file")
        found = {model.inputs[0].name: found}
    return {name: fit(_spec(model, name), array) for name, array in found.items()}


def values(model: ModelMetadata, given: Mapping[str, str]) -> Arrays:
    """Inputs by --input: a JSON value, or @FILE. Raises OSError, InvalidInput."""
    return {name: _value(_spec(model, name), text) for name, text in given.items()}


def fit(spec: TensorSpec, array: Array) -> Array:
    """`array` in the spec's datatype where no more than precision is lost, and with a batch's dimension."""
    wanted = tensors.dtype_of(spec.name, spec.datatype)
    if array.dtype.kind in "UST":
        array = tensors.as_elements(array)
    elif array.dtype != wanted and np.can_cast(array.dtype, wanted, "same_kind"):
        array = array.astype(wanted)
    return array[np.newaxis] if array.ndim == len(spec.shape) - 1 and spec.shape[0] == -1 else array


def _value(spec: TensorSpec, text: str) -> Array:
    if not text.startswith("@"):
        return fit(spec, _array(spec, _json(text.encode()) if spec.datatype != "BYTES" else _words(text)))
    path = Path(text[1:])
    if path.suffix.lower() == ".json":
        return fit(spec, _array(spec, _json(path.read_bytes())))
    if path.suffix.lower() == ".npy":
        found = _load(path)
        return fit(spec, found) if isinstance(found, np.ndarray) else _refused(path)
    return _element(spec, path.read_bytes()) if spec.datatype == "BYTES" else _refused(path)


def _document(model: ModelMetadata, data: bytes) -> Arrays:
    """Inputs as the protocol's requests have them, or values by name."""
    document = _json(data)
    if not isinstance(document, dict):
        raise InvalidInput('expected a JSON object: {"inputs": [...]} as in the protocol, or values by input\'s name')
    if isinstance(document.get("inputs"), list):
        return codec.decode_request(data, model.name, "").inputs
    found = {name: (_spec(model, name), value) for name, value in document.items()}
    return {name: fit(spec, _array(spec, value)) for name, (spec, value) in found.items()}


def _spec(model: ModelMetadata, name: str) -> TensorSpec:
    try:
        return next(spec for spec in model.inputs if spec.name == name)
    except StopIteration:
        names = ", ".join(spec.name for spec in model.inputs)
        raise InvalidInput(f"unknown input '{name}'; the model's inputs are: {names}") from None


def _array(spec: TensorSpec, value: object) -> Array:
    try:
        if spec.datatype == "BYTES":
            return tensors.as_elements(np.array(value, object))
        return np.array(value, None if isinstance(value, bool) else tensors.dtype_of(spec.name, spec.datatype))
    except (ValueError, TypeError, OverflowError) as error:
        raise InvalidInput(f"input '{spec.name}': no {spec.datatype} array: {error}") from None


def _load(path: Path) -> Array | dict[str, Array]:
    try:
        found = np.load(path, allow_pickle=False)
        return found if isinstance(found, np.ndarray) else dict(found.items())
    except (ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise InvalidInput(f"expected a .npy or .npz file: {error}") from None


def _element(spec: TensorSpec, data: bytes) -> Array:
    return tensors.objects([data]).reshape([1] * len(spec.shape))


def _words(text: str) -> object:
    """A JSON list or text; what is neither is the text itself."""
    return _json(text.encode()) if text.startswith(("[", '"')) else text


def _json(data: bytes) -> object:
    try:
        found: object = orjson.loads(data)
    except ValueError as error:
        raise InvalidInput(f"expected JSON: {error}") from None
    return found


def _refused(path: Path) -> Array:
    raise InvalidInput(f"{path}: expected .npy or .json")
