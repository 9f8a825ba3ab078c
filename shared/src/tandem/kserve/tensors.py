"""Tandem's arrays as the SDK's tensors, requests and responses, and back. Nothing is copied before it is asked for."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np
import orjson

from tandem.codec import v1
from tandem.errors import Internal, InvalidInput
from tandem.inference import Arrays, InferRequest, InferResponse
from tandem.metadata import TensorSpec, as_arrays
from tandem.tensors import DTYPES, Array, datatype_of, objects

_CONTENTS = "contents"  # a tensor's data where a dict has the form of the gRPC message


def request(request: InferRequest, *, from_grpc: bool) -> Any:
    """The SDK's request for ours. BYTES that came as JSON are text, as the SDK has them."""
    texts = not (request.raw or from_grpc)
    made = sys.modules["kserve"].InferRequest(
        request.model_name,
        [_tensor("InferInput", name, array, texts=texts, raw=request.raw) for name, array in request.inputs.items()],
        request_id=request.id or None,
        from_grpc=from_grpc,
        parameters=dict(request.parameters),
        model_version=request.model_version or None,
    )
    made._use_raw_outputs = request.raw
    return made


def response(response: InferResponse) -> Any:
    """The SDK's response for a predictor's."""
    outputs = [_tensor("InferOutput", name, array, texts=False, raw=True) for name, array in response.outputs.items()]
    return sys.modules["kserve"].InferResponse(
        response.id, response.model_name, outputs, response.model_version or None, from_grpc=True
    )


def arrays(result: object, source: str) -> Arrays:
    """The tensors of what an author's method gave: a request, a response, or a dict in the form of V1 or V2."""
    kserve = sys.modules["kserve"]
    if isinstance(result, kserve.InferRequest):
        return _named(result.inputs, source)
    if isinstance(result, kserve.InferResponse):
        return _named(result.outputs, source)
    if not isinstance(result, Mapping):
        raise Internal(f"{source} returned {type(result).__name__}, expected an InferRequest, InferResponse or dict")
    for kind in ("inputs", "outputs"):
        if isinstance(entries := result.get(kind), Sequence):
            return {str(entry["name"]): _from_entry(entry) for entry in entries}
    try:
        return v1.decode_response(document(result) if "predictions" in result else _predictions(result))
    except (ValueError, InvalidInput) as error:
        raise Internal(f"{source} returned a dict that makes no tensors: {error}") from error


def document(result: Mapping[str, object]) -> bytes:
    """A V1 answer as its body."""
    return orjson.dumps(result, default=_plain, option=orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS)


def specs(declared: Sequence[Mapping[str, Any]]) -> tuple[TensorSpec, ...]:
    """What `get_input_types` or `get_output_types` says; none if it says nothing."""
    return tuple(TensorSpec(one["name"], one["datatype"], tuple(one["shape"])) for one in declared)


def _named(tensors: Sequence[Any], source: str) -> Arrays:
    return as_arrays({tensor.name: _array(tensor) for tensor in tensors}, source)


def _array(tensor: Any) -> Array:
    data = getattr(tensor, "_array", None)  # one of ours, untouched
    if data is None and isinstance(tensor.data, np.ndarray):
        data = tensor.data
    if data is not None:  # as it is: as_numpy would copy it
        same = tensor.datatype == "BYTES" or data.dtype == DTYPES.get(tensor.datatype)
        array: Array = (data if same else data.astype(DTYPES[tensor.datatype])).reshape(tensor.shape)
        return array
    return np.asarray(tensor.as_numpy())


def _from_entry(entry: Mapping[str, Any]) -> Array:
    data = entry["data"] if "data" in entry else next(iter(entry[_CONTENTS].values()))
    datatype, shape = entry["datatype"], entry["shape"]
    if datatype == "BYTES":
        return as_arrays({"": objects(list(data))}, "the model")[""].reshape(shape)
    return np.asarray(data, DTYPES[datatype]).reshape(shape)


def _predictions(result: Mapping[str, object]) -> bytes:
    return document({"predictions": result.get("instances")})


def _plain(value: object) -> object:
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, (np.ndarray, np.generic)):
        return value.tolist()
    raise TypeError


def _tensor(kind: str, name: str, array: Array, *, texts: bool, raw: bool) -> Any:
    return _class(kind)(name, array, texts=texts, raw=raw)


@cache
def _class(kind: str) -> Any:
    """The SDK's class with its data held as our array, until somebody sets another or asks for a list."""
    base: Any = getattr(sys.modules["kserve"], kind)

    class Tensor(base):  # type: ignore[misc]  # the SDK has no types
        _values: object

        def __init__(self, name: str, array: Array, *, texts: bool, raw: bool) -> None:
            super().__init__(name, list(array.shape), datatype_of(array.dtype))
            self._array: Array | None = _texts(array) if texts and array.dtype.hasobject else array
            self._read_only = raw

        @property
        def _data(self) -> object:
            if self._values is None and self._array is not None:
                self._values = self._array.ravel().tolist()
            return self._values  # which the setter has set, in the SDK's own constructor

        @_data.setter
        def _data(self, values: object) -> None:
            self._values, self._array = values, None

        def as_numpy(self) -> Array:
            if self._array is None:
                array: Array = super().as_numpy()
                return array
            return self._array if self._read_only else self._array.copy()  # as the SDK's own can be written to

    Tensor.__name__ = Tensor.__qualname__ = kind
    return Tensor


def _texts(array: Array) -> Array:
    return objects([_text(element) for element in array.ravel()]).reshape(array.shape)


def _text(element: object) -> object:
    try:
        return element.decode() if isinstance(element, bytes) else element
    except UnicodeDecodeError:
        return element
