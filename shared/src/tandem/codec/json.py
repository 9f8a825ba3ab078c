"""The REST body <-> InferRequest and InferResponse, with the binary tensor data extension.

    body -> simdjson -> typed buffers -> InferRequest ... InferResponse -> orjson + binary blocks -> body

Numbers never become Python objects: simdjson hands out whole arrays as buffers and orjson writes NumPy arrays itself.
Source: Open Inference Protocol v2 (REST) and Triton's "Binary tensor data extension".
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import orjson

from tandem import tensors
from tandem.codec.fields import (
    Blocks,
    Object,
    decode_spec,
    decode_tensor,
    objects_of,
    parameters_of,
    parse_object,
    text_of,
    texts_of,
)
from tandem.codec.message import require_unique
from tandem.codec.shared_memory import Lookup, Room
from tandem.errors import InvalidInput
from tandem.inference import InferRequest, InferResponse, Limits, Parameter, RequestedOutput
from tandem.metadata import ModelMetadata, TensorSpec
from tandem.tensors import Array

_LIMITS = Limits()
_THEIRS = Limits(tensors=65_536)  # of a predictor, whose answers are what its model gives


def decode_request(
    body: bytes,
    model_name: str,
    model_version: str,
    json_size: int | None = None,
    limits: Limits = _LIMITS,
    *,
    lookup: Lookup | None = None,
) -> InferRequest:
    """The request in `body`: `json_size` bytes of JSON, then the binary blocks (None: all of it is JSON).

    `lookup` finds the tensors that are in shared memory.

    Raises InvalidInput saying what is wrong, what was expected and which tensor it concerns.
    """
    size = _json_bytes(body, json_size)
    document = parse_object(body[:size] if size < len(body) else body)
    blocks = Blocks(memoryview(body)[size:])
    inputs = [decode_tensor(item, blocks, limits, lookup) for item in objects_of(document, "inputs", limits)]
    blocks.finish()
    if not inputs:
        raise InvalidInput('the request has no inputs; expected {"inputs": [{"name", "shape", "datatype", "data"}]}')
    requested = tuple(_decode_output(item) for item in objects_of(document, "outputs", limits))
    parameters, identity = parameters_of(document), text_of(document, "id", default="")
    limits.check_names(identity, *parameters, *[output.name for output in requested])
    require_unique("input", [name for name, _ in inputs])
    require_unique("output", [output.name for output in requested])
    return InferRequest(
        model_name=model_name,
        model_version=model_version,
        id=identity,
        parameters=parameters,
        inputs=dict(inputs),
        outputs=requested,
        raw=parameters.get("binary_data_output") is True,
    )


def _json_bytes(body: bytes, json_size: int | None) -> int:
    """How much of `body` is JSON, at least some of it; raises InvalidInput."""
    size = len(body) if json_size is None else json_size
    if not body:
        raise InvalidInput("the body is empty, expected a JSON object")
    if not 0 < size <= len(body):
        raise InvalidInput(f"Inference-Header-Content-Length is {size}, expected 1 to {len(body)}, the body's length")
    return size


def decode_raw_request(body: bytes, model: ModelMetadata, version: str) -> InferRequest:
    """The raw binary request (Inference-Header-Content-Length: 0): `body` is the data of the model's one input.

    A BYTES input gets one element. Otherwise the first variable dimension is what the size says, the others are 1.
    """
    if len(model.inputs) != 1:
        raise InvalidInput(f"a raw binary request is for models with one input; '{model.name}' has {len(model.inputs)}")
    spec = model.inputs[0]
    if spec.datatype == "BYTES":
        array: Array = tensors.read_only(tensors.objects([body]).reshape([1] * len(spec.shape)))
    else:
        itemsize = tensors.dtype_of(spec.name, spec.datatype).itemsize  # whatever the predictor has said
        fixed = math.prod(dim for dim in spec.shape if dim != -1) * itemsize
        shape = [1 if dim == -1 else dim for dim in spec.shape]
        if -1 in spec.shape:
            shape[list(spec.shape).index(-1)] = len(body) // max(fixed, 1)
        array = tensors.decode_raw(spec.name, spec.datatype, shape, body)
    return InferRequest(model_name=model.name, model_version=version, inputs={spec.name: array}, raw=True)


def decode_response(body: bytes, json_size: int | None) -> InferResponse:
    """The response of a REST server; raises InvalidInput if it breaks the protocol."""
    size = len(body) if json_size is None else json_size
    document = parse_object(body[:size])
    blocks = Blocks(memoryview(body)[size:])
    outputs = [decode_tensor(item, blocks, _LIMITS) for item in objects_of(document, "outputs", _THEIRS)]
    return InferResponse(
        model_name=text_of(document, "model_name", default=""),
        model_version=text_of(document, "model_version", default=""),
        id=text_of(document, "id", default=""),
        parameters=parameters_of(document),
        outputs=dict(outputs),
    )


def encode_request(request: InferRequest) -> bytes:
    """The JSON body that asks a REST server for `request`."""
    inputs = [
        {"name": name, "datatype": tensors.datatype_of(a.dtype), "shape": a.shape, "data": _values(name, a)}
        for name, a in request.inputs.items()
    ]
    return encode(_request(request, inputs, request.parameters))


def encode_binary_request(request: InferRequest) -> tuple[list[bytes | memoryview], int]:
    """The parts of the body that asks for `request` in binary, answer included, and the bytes of JSON: the first."""
    blocks = [tensors.encode_raw(array) for array in request.inputs.values()]
    inputs: list[dict[str, object]] = [
        {
            "name": name,
            "datatype": tensors.datatype_of(array.dtype),
            "shape": array.shape,
            "parameters": {"binary_data_size": len(block)},
        }
        for (name, array), block in zip(request.inputs.items(), blocks, strict=True)
    ]
    head = encode(_request(request, inputs, {**request.parameters, "binary_data_output": True}))
    return [head, *blocks], len(head)


def _request(request: InferRequest, inputs: list[dict[str, object]], parameters: Mapping[str, Parameter]) -> object:
    document: dict[str, object] = {"id": request.id, "inputs": inputs}
    if request.outputs:
        document["outputs"] = [{"name": o.name, "parameters": dict(o.parameters)} for o in request.outputs]
    if parameters:
        document["parameters"] = dict(parameters)
    return document


def decode_error(body: bytes) -> str:
    """The text of an error body, as the protocol or FastAPI names it; raises ValueError on other forms."""
    document = orjson.loads(body)
    text = (document.get("error") or document.get("detail")) if isinstance(document, dict) else None
    if not isinstance(text, str):
        raise ValueError("no error text")
    return text


def decode_metadata(body: bytes) -> ModelMetadata:
    """A model as a REST server describes it; raises InvalidInput on another form."""
    document = parse_object(body)

    def specs(kind: str) -> tuple[TensorSpec, ...]:
        return tuple(decode_spec(item) for item in objects_of(document, kind, _THEIRS))

    name, platform = text_of(document, "name"), text_of(document, "platform", default="")
    return ModelMetadata(name, texts_of(document, "versions"), platform, specs("inputs"), specs("outputs"))


def encode_response(
    response: InferResponse, request: InferRequest, room: Room | None = None
) -> tuple[bytes, int | None]:
    """The body that answers `request`, and the bytes of JSON in it (None: all of it).

    An output is in shared memory if it has its place in `room`; else it is a binary block if its `binary_data`
    parameter says so, or else `binary_data_output` of the request.
    NaN and infinities have no JSON form: they are written as null.
    """
    binary = {output.name: output.parameters.get("binary_data", request.raw) is True for output in request.outputs}
    blocks: list[bytes | memoryview] = []
    outputs = []
    for name, array in response.outputs.items():
        tensor: dict[str, object] = {
            "name": name,
            "datatype": tensors.datatype_of(array.dtype),
            "shape": array.shape,
        }
        if room and (place := room.put_own(name, array)):
            tensor["parameters"] = place.parameters
        elif binary.get(name, request.raw):
            blocks.append(tensors.encode_raw(array))
            tensor["parameters"] = {"binary_data_size": len(blocks[-1])}
        else:
            tensor["data"] = _values(name, array)
        outputs.append(tensor)
    document: dict[str, object] = {"model_name": response.model_name, "model_version": response.model_version}
    document |= {"id": response.id} if response.id else {}
    document |= {"parameters": dict(response.parameters)} if response.parameters else {}
    head = encode(document | {"outputs": outputs})
    return (b"".join((head, *blocks)), len(head)) if blocks else (head, None)


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


def _decode_output(item: Object) -> RequestedOutput:
    name = text_of(item, "name", "an output: ")
    return RequestedOutput(name, parameters_of(item, f"output '{name}': "))


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
