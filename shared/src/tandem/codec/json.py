"""The REST body <-> InferRequest and InferResponse, with the binary tensor data extension.

    body -> simdjson -> typed buffers -> InferRequest ... InferResponse -> orjson + binary blocks -> body

Numbers never become Python objects: simdjson hands out whole arrays as buffers and orjson writes NumPy arrays itself.
Source: Open Inference Protocol v2 (REST) and Triton's "Binary tensor data extension".
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Literal

import numpy as np
import orjson
import simdjson

from tandem import tensors
from tandem.codec.message import require_unique
from tandem.errors import InvalidInput
from tandem.inference import InferRequest, InferResponse, Parameter, RequestedOutput
from tandem.metadata import ModelMetadata, TensorSpec
from tandem.tensors import Array

_BUFFERS: dict[str, tuple[Literal["d", "i", "u"], str]] = {  # NumPy kind -> simdjson's buffer type, its dtype
    "f": ("d", "<f8"),
    "V": ("d", "<f8"),  # BF16
    "i": ("i", "<i8"),
    "u": ("u", "<u8"),
}
_DEPTH = 32  # nested arrays looked into; no shape has more dimensions
_Object = Mapping[str, object]  # a JSON object as simdjson shows it; every value that leaves it is checked


def decode_request(body: bytes, model_name: str, model_version: str, json_size: int | None = None) -> InferRequest:
    """The request in `body`: `json_size` bytes of JSON, then the binary blocks (None: all of it is JSON).

    Raises InvalidInput saying what is wrong, what was expected and which tensor it concerns.
    """
    size = len(body) if json_size is None else json_size
    if not body:
        raise InvalidInput("the body is empty, expected a JSON object")
    if not 0 < size <= len(body):
        raise InvalidInput(f"Inference-Header-Content-Length is {size}, expected 1 to {len(body)}, the body's length")
    document = parse_object(body[:size] if size < len(body) else body)
    blocks = _Blocks(memoryview(body)[size:])
    inputs = [_decode_tensor(item, blocks) for item in _objects(document, "inputs")]
    blocks.finish()
    if not inputs:
        raise InvalidInput('the request has no inputs; expected {"inputs": [{"name", "shape", "datatype", "data"}]}')
    requested = tuple(_decode_output(item) for item in _objects(document, "outputs"))
    require_unique("input", [name for name, _ in inputs])
    require_unique("output", [output.name for output in requested])
    parameters = _parameters(document)
    return InferRequest(
        model_name=model_name,
        model_version=model_version,
        id=_text(document, "id", default=""),
        parameters=parameters,
        inputs=dict(inputs),
        outputs=requested,
        raw=parameters.get("binary_data_output") is True,
    )


def encode_response(response: InferResponse, request: InferRequest) -> tuple[bytes, int | None]:
    """The body that answers `request`, and the bytes of JSON in it (None: all of it).

    An output is a binary block if its `binary_data` parameter says so, or else `binary_data_output` of the request.
    NaN and infinities have no JSON form: they are written as null.
    """
    binary = {output.name: output.parameters.get("binary_data", request.raw) is True for output in request.outputs}
    blocks: list[bytes] = []
    outputs = []
    for name, array in response.outputs.items():
        tensor: dict[str, object] = {
            "name": name,
            "datatype": tensors.datatype_of(array.dtype),
            "shape": array.shape,
        }
        if binary.get(name, request.raw):
            blocks.append(tensors.encode_raw(array))
            tensor["parameters"] = {"binary_data_size": len(blocks[-1])}
        else:
            tensor["data"] = _values(name, array)
        outputs.append(tensor)
    document: dict[str, object] = {"model_name": response.model_name, "model_version": response.model_version}
    document |= {"id": response.id} if response.id else {}
    document |= {"parameters": dict(response.parameters)} if response.parameters else {}
    head = encode(document | {"outputs": outputs})
    return (head + b"".join(blocks), len(head)) if blocks else (head, None)


def encode_metadata(metadata: ModelMetadata) -> bytes:
    """The body that describes a model."""
    document = {
        "name": metadata.name,
        "versions": list(metadata.versions),
        "platform": metadata.platform,
        "inputs": [_spec(spec) for spec in metadata.inputs],
        "outputs": [_spec(spec) for spec in metadata.outputs],
    }
    return encode(document | ({"properties": dict(metadata.properties)} if metadata.properties else {}))


def encode(document: object) -> bytes:
    """`document` as JSON; NumPy arrays are written without a Python object an element."""
    return orjson.dumps(document, option=orjson.OPT_SERIALIZE_NUMPY)


def parse_object(body: bytes) -> _Object:
    """The JSON object in `body`; raises InvalidInput on anything else, deep nesting included."""
    try:
        document = _parse(body)
    except (ValueError, RuntimeError) as error:  # RuntimeError: nested deeper than simdjson's limit of 1,024
        reason = str(error).partition(":")[2] or str(error)
        raise InvalidInput(f"the body is not valid JSON:{reason}") from None
    if not isinstance(document, simdjson.Object):
        raise InvalidInput("the body is not a JSON object")
    return document


def _parse(body: bytes) -> object:
    try:
        return simdjson.Parser().parse(body)
    except ValueError as error:
        if not str(error).startswith(("NUMBER_ERROR", "BIGINT_ERROR")):
            raise
    # JavaScript writes 2**64 as an integer, which simdjson does not know; orjson reads it as the float that it is.
    return simdjson.Parser().parse(orjson.dumps(orjson.loads(body)))


class _Blocks:
    """The binary part of a body, handed out tensor by tensor."""

    def __init__(self, data: memoryview) -> None:
        self._data = data
        self._offset = 0

    def take(self, name: str, size: object) -> memoryview:
        """The next `size` bytes."""
        left = len(self._data) - self._offset
        if isinstance(size, bool) or not isinstance(size, int) or not 0 <= size <= left:
            raise InvalidInput(f"input '{name}': binary_data_size is {size!r}, expected an integer from 0 to {left}")
        self._offset += size
        return self._data[self._offset - size : self._offset]

    def finish(self) -> None:
        """Raise InvalidInput if bytes are left."""
        if left := len(self._data) - self._offset:
            raise InvalidInput(f"{left} bytes are left after the last tensor's binary data")


def _decode_tensor(item: _Object, blocks: _Blocks) -> tuple[str, Array]:
    name = _text(item, "name", "an input: ")
    datatype = _text(item, "datatype", f"input '{name}': ")
    dtype, shape, parameters = (
        tensors.dtype_of(name, datatype),
        _shape(name, item),
        _parameters(item, f"input '{name}': "),
    )
    if "binary_data_size" in parameters:
        if "data" in item:
            raise InvalidInput(f"input '{name}': both data and binary_data_size are given")
        return name, tensors.decode_raw(name, datatype, shape, blocks.take(name, parameters["binary_data_size"]))
    data = item.get("data")
    if not isinstance(data, simdjson.Array):
        raise InvalidInput(f"input '{name}': data is missing or not an array")
    count = tensors.count_of(name, shape)
    if len(data) != count or isinstance(next(iter(data), None), simdjson.Array):
        _check_nesting(name, data, shape)
    flat = _flatten(name, datatype, data, dtype)
    if flat.size != count:
        raise InvalidInput(f"input '{name}': {flat.size} elements, expected {count} for shape {shape}")
    return name, tensors.read_only(tensors.narrow(name, datatype, flat).reshape(shape))


def _flatten(name: str, datatype: str, data: simdjson.Array, dtype: np.dtype[np.generic]) -> Array:
    """Every element of `data` in row-major order, in the widest type of its kind."""
    if buffer := _BUFFERS.get(dtype.kind):
        try:
            return np.frombuffer(data.as_buffer(of_type=buffer[0]), buffer[1])
        except (TypeError, ValueError):
            raise InvalidInput(f"input '{name}': {_culprit(data, dtype)}, expected {datatype}") from None
    leaves = list(_leaves(data.as_list()))
    if dtype.hasobject:
        texts = [leaf.encode() for leaf in leaves if isinstance(leaf, str)]
        if len(texts) != len(leaves):
            raise InvalidInput(f"input '{name}': {_culprit(data, dtype)}, expected a string, as BYTES are in JSON")
        return tensors.objects(texts)
    if not all(leaf is True or leaf is False or leaf in (0, 1) for leaf in leaves):
        raise InvalidInput(f"input '{name}': {_culprit(data, dtype)}, expected true or false")
    return np.array(leaves, dtype)


def _culprit(data: simdjson.Array, dtype: np.dtype[np.generic]) -> str:
    """Words for a value that does not suit `dtype`. A few hundred are looked at: a refusal must not cost much."""
    fits = {"f": (int, float), "V": (int, float), "i": (int,), "u": (int,), "O": (str,), "b": (bool,)}[dtype.kind]
    for value in itertools.islice(_leaves(data), 500):
        if not isinstance(value, fits) or (isinstance(value, bool) and dtype.kind != "b"):
            return f"data holds {orjson.dumps(value).decode()[:40]}"
    return "data holds a value of another type or beyond 64 bits"


def _leaves(values: Iterable[object], depth: int = 0) -> Iterator[object]:
    for value in values:
        if isinstance(value, (list, simdjson.Array)) and depth <= _DEPTH:
            yield from _leaves(value, depth + 1)
        elif isinstance(value, simdjson.Object):
            yield value.as_dict()
        else:
            yield value


def _check_nesting(name: str, data: simdjson.Array, shape: Sequence[int]) -> None:
    """Raise InvalidInput unless `data` is nested as `shape` says; an array of one may stand for its element."""
    if not isinstance(next(iter(data), None), simdjson.Array) and len(shape) != 1:
        raise InvalidInput(f"input '{name}': {len(data)} elements, expected {math.prod(shape)} for shape {list(shape)}")
    rows = [row for row in data if isinstance(row, simdjson.Array)] if len(shape) > 1 else []
    if len(data) != (shape[0] if shape else -1) or (len(shape) > 1 and len(rows) != len(data)):
        raise InvalidInput(f"input '{name}': data is nested otherwise than shape {list(shape)} says")
    for row in rows:
        _check_nesting(name, row, shape[1:])


def _decode_output(item: _Object) -> RequestedOutput:
    name = _text(item, "name", "an output: ")
    return RequestedOutput(name, _parameters(item, f"output '{name}': "))


def _objects(document: _Object, key: str) -> list[_Object]:
    value = document.get(key)
    if value is None:
        return []
    if not isinstance(value, simdjson.Array) or not all(isinstance(item, simdjson.Object) for item in value):
        raise InvalidInput(f"'{key}' is not an array of objects")
    return [item for item in value if isinstance(item, simdjson.Object)]


def _text(item: _Object, key: str, where: str = "", default: str | None = None) -> str:
    value = item.get(key, default)
    if value is None and default is not None:
        return default
    if not isinstance(value, str):
        raise InvalidInput(f"{where}'{key}' is {_shown(value)}, expected a string")
    return value


def _shape(name: str, item: _Object) -> list[int]:
    value = item.get("shape")
    dims = list(value) if isinstance(value, simdjson.Array) else [value]
    shape = [dim for dim in dims if isinstance(dim, int) and not isinstance(dim, bool) and dim < 2**63]
    if len(shape) != len(dims) or not isinstance(value, simdjson.Array):
        raise InvalidInput(f"input '{name}': shape is {_shown(value)}, expected an array of integers")
    return shape


def _parameters(item: _Object, where: str = "") -> dict[str, Parameter]:
    value = item.get("parameters")
    if value is None:
        return {}
    if not isinstance(value, simdjson.Object):
        raise InvalidInput(f"{where}'parameters' is {_shown(value)}, expected an object")
    parameters: dict[str, Parameter] = {}
    for key, parameter in value.items():
        if not isinstance(parameter, (bool, int, float, str)):
            raise InvalidInput(f"{where}parameter '{key}' is {_shown(parameter)}, expected a string, number or boolean")
        parameters[key] = parameter
    return parameters


def _shown(value: object) -> str:
    """A JSON value in an error text: short, and `missing` for what is not there."""
    if value is None:
        return "missing"
    if isinstance(value, (simdjson.Array, simdjson.Object)):
        text: str | bytes = value.mini  # its stubs say str, and it gives bytes
        return (text.decode() if isinstance(text, bytes) else text)[:60] if len(value) < 100 else "a long list"
    return orjson.dumps(value).decode()[:60]


def _values(name: str, array: Array) -> object:
    if array.dtype.hasobject:
        try:
            return [tensors.as_bytes(element).decode() for element in array.ravel()]
        except UnicodeDecodeError:
            raise InvalidInput(
                f"output '{name}' holds bytes that are not UTF-8 text; ask for it with the parameter binary_data: true"
            ) from None
    if array.dtype.kind == "V":  # BF16, which orjson does not know; FP32 holds each of its values exactly
        array = array.astype(np.float32)
    return np.ascontiguousarray(array).ravel()


def _spec(spec: TensorSpec) -> dict[str, object]:
    return {"name": spec.name, "datatype": spec.datatype, "shape": list(spec.shape)}
