"""OIP tensors as NumPy arrays: raw bytes or typed values <-> array, row-major and little-endian.

Source: Open Inference Protocol v2, "Tensor Data" and "Tensor Data Types"; FP16 and BF16 travel raw only.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable, Mapping, Sequence

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

from tandem.errors import Internal, InvalidInput

Array = NDArray[np.generic]

DTYPES: dict[str, np.dtype[np.generic]] = {
    "BOOL": np.dtype("?"),
    "UINT8": np.dtype("u1"),
    "UINT16": np.dtype("<u2"),
    "UINT32": np.dtype("<u4"),
    "UINT64": np.dtype("<u8"),
    "INT8": np.dtype("i1"),
    "INT16": np.dtype("<i2"),
    "INT32": np.dtype("<i4"),
    "INT64": np.dtype("<i8"),
    "FP16": np.dtype("<f2"),
    "FP32": np.dtype("<f4"),
    "FP64": np.dtype("<f8"),
    "BF16": np.dtype(ml_dtypes.bfloat16),
    "BYTES": np.dtype("O"),
}
_NAMES = {dtype: name for name, dtype in DTYPES.items()}
_LENGTH = struct.Struct("<I")  # before each element of a raw BYTES tensor
_MANY = 4096  # BYTES elements; fewer are joined in less time by way of a list
LONG = 512 * 1024  # bytes; to read as much element by element takes tens of milliseconds
_VERY_MANY = 32_768  # BYTES elements; to write them does
_MAX_DIMENSIONS = 32
_MAX_ELEMENTS = 2**40  # far over any message; keeps the product of a hostile shape a small integer


def dtype_of(name: str, datatype: str) -> np.dtype[np.generic]:
    """The NumPy dtype of an OIP `datatype`; raises InvalidInput naming the tensor. Case counts, as in the spec."""
    try:
        return DTYPES[datatype]
    except KeyError:
        raise InvalidInput(
            f"tensor '{name}': unknown datatype '{datatype[:20]}', expected one of {', '.join(DTYPES)}"
        ) from None


def datatype_of(dtype: np.dtype[np.generic]) -> str:
    """The OIP datatype of a NumPy dtype; raises Internal where the protocol has none."""
    try:
        return _NAMES[dtype]
    except KeyError:
        raise Internal(f"an array of dtype {dtype} has no datatype in the protocol") from None


def check_rank(name: str, rank: int) -> None:
    """Raise InvalidInput if a shape has more dimensions than any tensor."""
    if rank > _MAX_DIMENSIONS:
        raise InvalidInput(f"tensor '{name}': the shape has {rank} dimensions, at most {_MAX_DIMENSIONS}")


def count_of(name: str, shape: Sequence[int]) -> int:
    """The number of elements of `shape`; raises InvalidInput on a negative dimension or one beyond reason."""
    check_rank(name, len(shape))
    if shape and min(shape) < 0:
        raise InvalidInput(f"tensor '{name}': shape {list(shape)} has a negative dimension")
    count = math.prod(shape)
    # NumPy too leaves zeros out, and raises ValueError
    if (count or math.prod(dim for dim in shape if dim)) > _MAX_ELEMENTS:
        raise InvalidInput(f"tensor '{name}': shape {list(shape)} is too large")
    return count


def decode_raw(name: str, datatype: str, shape: Sequence[int], raw: bytes | memoryview) -> Array:
    """A read-only view of `raw` as an array; BYTES elements are copied out. Raises InvalidInput if the sizes differ."""
    dtype, count = dtype_of(name, datatype), count_of(name, shape)
    if dtype.hasobject:
        return read_only(_split_elements(name, raw, count).reshape(shape))
    if len(raw) != count * dtype.itemsize:
        raise InvalidInput(
            f"tensor '{name}': {len(raw)} bytes of data, expected {count * dtype.itemsize} for {datatype} {list(shape)}"
        )
    array = np.frombuffer(raw, dtype)
    return (_truth(array) if dtype.kind == "b" else array).reshape(shape)


def encode_raw(array: Array) -> bytes | memoryview:
    """The bytes of `array`, row-major and little-endian; BYTES elements with their lengths before them.

    A view of the array where its memory is in that order already.
    """
    if not array.dtype.hasobject:
        return np.ascontiguousarray(array).reshape(-1).view(np.uint8).data
    if array.size > _MANY:
        return _joined(array)
    parts: list[bytes] = []
    for element in array.ravel():  # BYTES is the one permitted Python loop over elements
        data = as_bytes(element)
        parts += (_LENGTH.pack(len(data)), data)
    return b"".join(parts)


def _joined(array: Array) -> memoryview:
    """The same for many elements: two Python objects for each would take many times the bytes of short ones."""
    raw = bytearray()
    for element in array.flat:
        data = as_bytes(element)
        raw += _LENGTH.pack(len(data))
        raw += data
    return memoryview(raw).toreadonly()


def take_long(arrays: Mapping[str, Array]) -> bool:
    """Whether to write them takes tens of milliseconds."""
    return any(array.dtype.hasobject and array.size >= _VERY_MANY for array in arrays.values())


def as_elements(texts: Array) -> NDArray[np.object_]:
    """An array of text, whatever NumPy keeps it in, as BYTES elements."""
    return objects([as_bytes(element) for element in texts.ravel().tolist()]).reshape(texts.shape)


def as_bytes(element: object) -> bytes:
    """One BYTES element; text that user code returned becomes UTF-8. Raises Internal on anything else."""
    if isinstance(element, bytes):
        return element
    if isinstance(element, str):
        return element.encode()
    raise Internal(f"an element of a BYTES tensor is {type(element).__name__}, expected bytes")


def decode_values(name: str, datatype: str, shape: Sequence[int], values: Iterable[object]) -> Array:
    """The array of a typed `contents` field; raises InvalidInput on a wrong count or a value out of range."""
    dtype, count = dtype_of(name, datatype), count_of(name, shape)
    elements = list(values)
    if len(elements) != count:
        raise InvalidInput(f"tensor '{name}': {len(elements)} elements, expected {count} for shape {list(shape)}")
    if dtype.hasobject:
        return read_only(objects(elements).reshape(shape))
    wide = np.array(elements, _wide(dtype))
    return read_only(narrow(name, datatype, wide).reshape(shape))


def narrow(name: str, datatype: str, wide: Array) -> Array:
    """Integers of a wider type as `datatype`; raises InvalidInput if one does not fit.

    Floats round to nearest; BF16 by way of FP32.
    """
    dtype = DTYPES[datatype]
    if wide.dtype == dtype:
        return wide
    if dtype.kind in "iu" and wide.size:
        bits = dtype.itemsize * 8
        least, most = (0, 2**bits - 1) if dtype.kind == "u" else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
        low, high = int(wide.min()), int(wide.max())
        if low < least or high > most:
            raise InvalidInput(f"tensor '{name}': {low if low < least else high} is out of range for {datatype}")
    with np.errstate(over="ignore"):
        return wide.astype(dtype)


def read_only(array: Array) -> Array:
    """`array` as what models and transformers get: a view that refuses to be written."""
    if array.flags.writeable:
        array = array.view()
        array.flags.writeable = False
    return array


def objects(elements: Sequence[object]) -> NDArray[np.object_]:
    """A flat object array of `elements`, which NumPy would otherwise look into."""
    array = np.empty(len(elements), object)
    array[:] = elements
    return array


def _wide(dtype: np.dtype[np.generic]) -> np.dtype[np.generic]:
    """The type that holds every value that the wire's field for `dtype` can carry."""
    return np.dtype({"i": "i8", "u": "u8"}.get(dtype.kind, dtype))


def _truth(array: Array) -> Array:
    """Truth values of any bytes: 2 is true for NumPy, false for orjson, and what an engine makes of it nobody knows."""
    values = array.view(np.uint8)
    return read_only(values != 0) if values.size and values.max() > 1 else array


def _split_elements(name: str, raw: bytes | memoryview, count: int) -> NDArray[np.object_]:
    if count * _LENGTH.size > len(raw):  # refuse before an array of a hostile size is made
        raise InvalidInput(f"tensor '{name}': {len(raw)} bytes of data, too few for {count} BYTES elements")
    elements, offset, data = np.empty(count, object), 0, bytes(raw)
    for index in range(count):
        start = offset + _LENGTH.size
        offset = start + (_LENGTH.unpack_from(data, offset)[0] if start <= len(data) else len(data))
        if offset > len(data):
            raise InvalidInput(f"tensor '{name}': BYTES element {index} of {count} reaches past the end of the data")
        elements[index] = data[start:offset]
    if offset != len(data):
        raise InvalidInput(f"tensor '{name}': {len(data) - offset} bytes left after {count} BYTES elements")
    return elements
