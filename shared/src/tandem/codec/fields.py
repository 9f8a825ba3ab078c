"""The parts of a REST body: JSON objects, their fields, and tensors as typed arrays.

simdjson parses; numbers never become Python objects, as its arrays hand themselves out as whole buffers. Every error
is an InvalidInput that says what is wrong, what was expected and which tensor it concerns.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Literal

import numpy as np
import orjson
import simdjson

from tandem import tensors
from tandem.codec.shared_memory import REGION, Lookup, bytes_at, place_of
from tandem.errors import InvalidInput
from tandem.inference import Limits, Parameter, check_parameters
from tandem.metadata import TensorSpec
from tandem.tensors import Array

_BUFFERS: dict[str, tuple[Literal["d", "i", "u"], str]] = {  # NumPy kind -> simdjson's buffer type, its dtype
    "f": ("d", "<f8"),
    "V": ("d", "<f8"),  # BF16
    "i": ("i", "<i8"),
    "u": ("u", "<u8"),
}
_DEPTH = 32  # nested arrays looked into; no shape has more dimensions
_REREAD = 2**20  # bytes of a body with an integer over 64 bits; as Python objects a body takes up to 30 times its size
Object = Mapping[str, object]  # a JSON object as simdjson shows it; every value that leaves it is checked


def parse_object(body: bytes) -> Object:
    """The JSON object in `body`; raises InvalidInput on anything else, deep nesting included."""
    try:
        document = _parse(body)
    except (ValueError, RuntimeError, TypeError) as error:  # nested deeper than simdjson's 1,024 or orjson's 254 levels
        reason = str(error).partition(":")[2] or str(error)
        raise InvalidInput(f"the body is not valid JSON:{reason}") from None
    if not isinstance(document, simdjson.Object):
        raise InvalidInput("the body is not a JSON object")
    return document


def _parse(body: bytes) -> object:
    try:
        return simdjson.Parser().parse(body)
    except (ValueError, RuntimeError) as error:
        if not str(error).startswith(("NUMBER_ERROR", "BIGINT_ERROR")):
            raise
    if len(body) > _REREAD:
        raise ValueError(f"number: an integer over 64 bits is read as a float only in a body of up to {_REREAD} bytes")
    # JavaScript writes 2**64 as an integer, which simdjson does not know; orjson reads it as the float that it is.
    return simdjson.Parser().parse(orjson.dumps(orjson.loads(body)))


class Blocks:
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


def decode_tensor(item: Object, blocks: Blocks, limits: Limits, lookup: Lookup | None = None) -> tuple[str, Array]:
    """The name and array of one tensor, from its `data`, from the next binary block or from shared memory."""
    name = text_of(item, "name", "an input: ")
    limits.check_names(name)
    datatype = text_of(item, "datatype", f"input '{name}': ")
    dtype, shape, parameters = (
        tensors.dtype_of(name, datatype),
        _shape(name, item),
        parameters_of(item, f"input '{name}': "),
    )
    limits.check_elements(name, shape)
    place = place_of(parameters)
    if (place or "binary_data_size" in parameters) and "data" in item:
        raise InvalidInput(f"input '{name}': both data and {REGION if place else 'binary_data_size'} are given")
    if place:
        return name, tensors.decode_raw(name, datatype, shape, bytes_at(place, lookup))
    if "binary_data_size" in parameters:
        return name, tensors.decode_raw(name, datatype, shape, blocks.take(name, parameters["binary_data_size"]))
    data = value_of(item, "data")
    if not isinstance(data, simdjson.Array):
        raise InvalidInput(f"input '{name}': data is missing or not an array")
    count = tensors.count_of(name, shape)
    if isinstance(next(iter(data), None), simdjson.Array):
        _check_nesting(name, data, shape)
    elif len(data) > count:  # before a Python object is made of each
        raise InvalidInput(f"input '{name}': {len(data)} elements, expected {count} for shape {shape}")
    flat = _flatten(name, datatype, data, dtype)
    if flat.size != count:
        raise InvalidInput(f"input '{name}': {flat.size} elements, expected {count} for shape {shape}")
    if len(data) not in (count, shape[0] if shape else count):  # a number beside an array, further in
        raise _wrongly_nested(name, shape)
    return name, tensors.read_only(tensors.narrow(name, datatype, flat).reshape(shape))


def _flatten(name: str, datatype: str, data: simdjson.Array, dtype: np.dtype[np.generic]) -> Array:
    """Every element of `data` in row-major order, in the widest type of its kind."""
    if buffer := _BUFFERS.get(dtype.kind):
        try:
            return np.frombuffer(data.as_buffer(of_type=buffer[0]), buffer[1])
        except (TypeError, ValueError):
            raise InvalidInput(f"input '{name}': {_culprit(data, dtype)}, expected {datatype}") from None
    if dtype.hasobject:
        try:
            return tensors.objects([leaf.encode() for leaf in _leaves(data)])  # type: ignore[attr-defined]
        except AttributeError:
            raise InvalidInput(
                f"input '{name}': {_culprit(data, dtype)}, expected a string, as BYTES are in JSON"
            ) from None
    leaves = list(_leaves(data.as_list()))
    if not all(leaf is True or leaf is False or leaf in (0, 1) for leaf in leaves):
        raise InvalidInput(f"input '{name}': {_culprit(data, dtype)}, expected true or false")
    return np.array(leaves, dtype)


def _culprit(data: simdjson.Array, dtype: np.dtype[np.generic]) -> str:
    """Words for a value that does not suit `dtype`. A few hundred are looked at: a refusal must not cost much."""
    fits = {"f": (int, float), "V": (int, float), "i": (int,), "u": (int,), "O": (str,), "b": (bool,)}[dtype.kind]
    for value in itertools.islice(_leaves(data), 500):
        suits = isinstance(value, fits) and (dtype.kind == "b" or not isinstance(value, bool))
        if not (suits or (dtype.kind == "b" and value in (0, 1))):
            return f"data holds {'null' if value is None else _shown(value)}"
    return "data holds a value of another type or out of range"


def _leaves(values: Iterable[object], depth: int = 0) -> Iterator[object]:
    for value in values:
        if isinstance(value, (list, simdjson.Array)) and depth <= _DEPTH:
            yield from _leaves(value, depth + 1)
        else:
            yield value


def _check_nesting(name: str, data: simdjson.Array, shape: Sequence[int], depth: int = 0) -> None:
    """Raise InvalidInput unless `data` is nested as `shape` says; an array of one may stand for its element."""
    if len(data) != (shape[depth] if depth < len(shape) else 1):
        raise _wrongly_nested(name, shape)
    for row in data:  # one at a time: there may be millions
        if isinstance(row, simdjson.Array):
            if depth == len(shape):
                raise _wrongly_nested(name, shape)
            _check_nesting(name, row, shape, depth + 1)
        elif depth < len(shape) - 1:
            raise _wrongly_nested(name, shape)


def _wrongly_nested(name: str, shape: Sequence[int]) -> InvalidInput:
    return InvalidInput(f"input '{name}': data is nested otherwise than shape {list(shape)} says")


def value_of(item: Object, key: str) -> object:
    """The value of `key`, None if it is absent. simdjson's own `get` throws and catches for what is not there."""
    return item[key] if key in item.keys() else None  # noqa: SIM118 - without keys() it throws just so


def objects_of(document: Object, key: str, limits: Limits) -> list[Object]:
    """The objects in the array `key`, counted before any is made; none if it is absent."""
    value = value_of(document, key)
    if value is None:
        return []
    if isinstance(value, simdjson.Array):
        limits.check_count(key.removesuffix("s"), len(value))
    if not isinstance(value, simdjson.Array) or not all(isinstance(item, simdjson.Object) for item in value):
        raise InvalidInput(f"'{key}' is not an array of objects")
    return [item for item in value if isinstance(item, simdjson.Object)]


def text_of(item: Object, key: str, where: str = "", default: str | None = None) -> str:
    """The string `key`; `default` if it is absent."""
    value = value_of(item, key)
    if value is None and default is not None:
        return default
    if not isinstance(value, str):
        raise InvalidInput(f"{where}'{key}' is {_shown(value)}, expected a string")
    return value


def texts_of(item: Object, key: str) -> tuple[str, ...]:
    """The strings in the array `key`; none if it is absent."""
    value = value_of(item, key)
    if value is None:
        return ()
    items = list(value) if isinstance(value, simdjson.Array) else [value]
    texts = tuple(item for item in items if isinstance(item, str))
    if not isinstance(value, simdjson.Array) or len(texts) != len(items):
        raise InvalidInput(f"'{key}' is {_shown(value)}, expected an array of strings")
    return texts


def decode_spec(item: Object) -> TensorSpec:
    """A tensor in the description of a model."""
    name, datatype = text_of(item, "name"), text_of(item, "datatype")
    tensors.dtype_of(name, datatype)
    shape = _shape(name, item)
    if any(dim < -1 for dim in shape):
        raise InvalidInput(f"input '{name}': shape is {shape}, expected sizes, or -1 for any")
    return TensorSpec(name, datatype, tuple(shape))


def _shape(name: str, item: Object) -> list[int]:
    value = value_of(item, "shape")
    if isinstance(value, simdjson.Array):
        tensors.check_rank(name, len(value))
    dims = list(value) if isinstance(value, simdjson.Array) else [value]
    shape = [dim for dim in dims if isinstance(dim, int) and not isinstance(dim, bool) and dim < 2**63]
    if len(shape) != len(dims) or not isinstance(value, simdjson.Array):
        raise InvalidInput(f"input '{name}': shape is {_shown(value)}, expected an array of integers")
    return shape


def parameters_of(item: Object, where: str = "") -> dict[str, Parameter]:
    """The parameters of a request or tensor; none if they are absent."""
    value = value_of(item, "parameters")
    if value is None:
        return {}
    if not isinstance(value, simdjson.Object):
        raise InvalidInput(f"{where}'parameters' is {_shown(value)}, expected an object")
    check_parameters(len(value))
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
    if isinstance(value, (list, dict)):  # which may be nested deeper than orjson writes
        return ("[...]" if isinstance(value, list) else "{...}") if value else str(value)
    return orjson.dumps(value).decode()[:60]
