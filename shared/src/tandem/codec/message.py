"""The gRPC messages <-> InferRequest, InferResponse and ModelMetadata, in both directions.

ModelInferRequest -> decode_request -> InferRequest ... InferResponse -> encode_response -> ModelInferResponse
InferRequest -> encode_request -> ModelInferRequest ... ModelInferResponse -> decode_response -> InferResponse

Inference messages come and go as frames (wire.py): their raw tensors lie beside them, not copied.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, Protocol

from tandem import tensors
from tandem.codec.shared_memory import REGION, Lookup, Room, bytes_at, place_of
from tandem.codec.wire import Frame, Raw
from tandem.errors import Internal, InvalidInput
from tandem.inference import Arrays, InferRequest, InferResponse, Limits, Parameter, RequestedOutput, check_parameters
from tandem.metadata import ModelMetadata, TensorSpec
from tandem.oip import inference_pb2 as pb

FIELDS = {
    "BOOL": "bool_contents",
    "INT8": "int_contents",
    "INT16": "int_contents",
    "INT32": "int_contents",
    "INT64": "int64_contents",
    "UINT8": "uint_contents",
    "UINT16": "uint_contents",
    "UINT32": "uint_contents",
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    "BYTES": "bytes_contents",
}


_LIMITS = Limits()


class _Tensor(Protocol):
    """What input and output tensor messages share."""

    name: str
    datatype: str

    @property
    def shape(self) -> Sequence[int]: ...
    @property
    def parameters(self) -> Mapping[str, pb.InferParameter]: ...
    @property
    def contents(self) -> pb.InferTensorContents: ...
    def ByteSize(self) -> int: ...  # noqa: N802 - protobuf's
    def HasField(self, field_name: Literal["contents"]) -> bool: ...  # noqa: N802 - protobuf's


def decode_request(
    frame: Frame[pb.ModelInferRequest], limits: Limits = _LIMITS, lookup: Lookup | None = None
) -> InferRequest:
    """The request in `frame`; raises InvalidInput, naming the tensor, on anything the protocol does not allow.

    `lookup` finds the tensors that are in shared memory.
    """
    message = frame.message
    if not message.inputs:
        raise InvalidInput("the request has no inputs")
    limits.check_count("input", len(message.inputs))
    limits.check_count("output", len(message.outputs))
    inputs = list(message.inputs)  # protobuf would make an object of each anew wherever it is looked at
    limits.check_names(message.id, *message.parameters, *[tensor.name for tensor in inputs])
    for tensor in inputs:
        limits.check_elements(tensor.name, tensor.shape)
        check_parameters(len(tensor.parameters))
    requested = _decode_requested(message.outputs, limits)
    raw = _gathered(inputs, frame.raw, lookup)
    return InferRequest(
        model_name=message.model_name,
        model_version=message.model_version,
        id=message.id,
        parameters=decode_parameters(message.parameters),
        inputs=_decode_tensors("input", inputs, raw),
        outputs=requested,
        raw=bool(raw),
    )


def encode_request(request: InferRequest) -> Frame[pb.ModelInferRequest]:
    """The frame that asks for `request`, its tensors as raw bytes."""
    message = pb.ModelInferRequest(model_name=request.model_name, model_version=request.model_version, id=request.id)
    encode_parameters(request.parameters, message.parameters)
    for name, array in request.inputs.items():
        message.inputs.add(name=name, datatype=tensors.datatype_of(array.dtype), shape=array.shape)
    for output in request.outputs:
        encode_parameters(output.parameters, message.outputs.add(name=output.name).parameters)
    return Frame(message, [tensors.encode_raw(array) for array in request.inputs.values()])


def decode_response(frame: Frame[pb.ModelInferResponse], lookup: Lookup | None = None) -> InferResponse:
    """The response in `frame`; raises Internal if the peer broke the protocol. `lookup` as in `decode_request`."""
    message = frame.message
    try:
        described = list(message.outputs)
        outputs = _decode_tensors("output", described, _gathered(described, frame.raw, lookup))
    except InvalidInput as error:
        raise Internal(f"the predictor's answer breaks the protocol: {error.message}") from error
    return InferResponse(
        model_name=message.model_name,
        model_version=message.model_version,
        id=message.id,
        parameters=decode_parameters(message.parameters),
        outputs=outputs,
    )


def encode_response(response: InferResponse, *, raw: bool, room: Room | None = None) -> Frame[pb.ModelInferResponse]:
    """The frame that answers with `response`: raw bytes if asked, or if a datatype has no typed field.

    What finds its place in `room` is in shared memory instead.
    """
    message = pb.ModelInferResponse(
        model_name=response.model_name, model_version=response.model_version, id=response.id
    )
    encode_parameters(response.parameters, message.parameters)
    datatypes = {name: tensors.datatype_of(array.dtype) for name, array in response.outputs.items()}
    raw = raw or any(datatype not in FIELDS for datatype in datatypes.values())
    blocks: list[bytes | memoryview] = []
    for name, array in response.outputs.items():
        tensor = message.outputs.add(name=name, datatype=datatypes[name], shape=array.shape)
        if not raw:
            getattr(tensor.contents, FIELDS[datatypes[name]]).extend(_values(array))
            continue
        data = tensors.encode_raw(array)
        if place := room.put(name, data) if room else None:
            encode_parameters(place.parameters, tensor.parameters)
        else:
            blocks.append(data)
    return Frame(message, blocks)


def encode_metadata(metadata: ModelMetadata) -> pb.ModelMetadataResponse:
    """The message that describes a model."""
    return pb.ModelMetadataResponse(
        name=metadata.name,
        versions=metadata.versions,
        platform=metadata.platform,
        inputs=[_encode_spec(spec) for spec in metadata.inputs],
        outputs=[_encode_spec(spec) for spec in metadata.outputs],
        properties=metadata.properties,
    )


def decode_metadata(message: pb.ModelMetadataResponse) -> ModelMetadata:
    """A model as its server describes it."""
    return ModelMetadata(
        name=message.name,
        versions=tuple(message.versions),
        platform=message.platform,
        inputs=tuple(TensorSpec(t.name, t.datatype, tuple(t.shape)) for t in message.inputs),
        outputs=tuple(TensorSpec(t.name, t.datatype, tuple(t.shape)) for t in message.outputs),
        properties=dict(message.properties),
    )


def takes_long(described: Sequence[_Tensor], raw: Raw) -> bool:
    """Whether to decode these tensors takes tens of milliseconds: large ones that are looked at element by element."""
    if not raw and sum(tensor.ByteSize() for tensor in described) >= tensors.LONG:
        return True
    texts = [tensor for tensor in described if tensor.datatype == "BYTES"]
    return bool(texts) and (sum(map(len, raw)) >= tensors.LONG or any(REGION in text.parameters for text in texts))


def _decode_requested(
    outputs: Sequence[pb.ModelInferRequest.InferRequestedOutputTensor], limits: Limits
) -> tuple[RequestedOutput, ...]:
    if not outputs:
        return ()
    requested = tuple(RequestedOutput(output.name, decode_parameters(output.parameters)) for output in outputs)
    names = [output.name for output in requested]
    limits.check_names(*names)
    require_unique("output", names)
    return requested


def decode_parameters(parameters: Mapping[str, pb.InferParameter]) -> dict[str, Parameter]:
    """The parameters that have a value."""
    if not parameters:
        return {}
    check_parameters(len(parameters))
    decoded: dict[str, Parameter] = {}
    for name, parameter in parameters.items():
        if choice := parameter.WhichOneof("parameter_choice"):
            decoded[name] = getattr(parameter, choice)
    return decoded


def encode_parameters(values: Mapping[str, Parameter], into: Mapping[str, pb.InferParameter]) -> None:
    """Write `values` into a message's map; integers beyond int64 go as uint64."""
    for name, value in values.items():
        if isinstance(value, bool):
            into[name].bool_param = value
        elif isinstance(value, int):
            setattr(into[name], "int64_param" if value < 2**63 else "uint64_param", value)
        elif isinstance(value, float):
            into[name].double_param = value
        else:
            into[name].string_param = value


def require_unique(kind: str, names: Sequence[str]) -> None:
    """Raise InvalidInput if two tensors share a name."""
    if len(names) > 1 and len(set(names)) != len(names):
        raise InvalidInput(f"{kind} '{Counter(names).most_common(1)[0][0]}' is given twice")


def _gathered(described: Sequence[_Tensor], raw: Raw, lookup: Lookup | None) -> Raw:
    """The raw contents, one entry a tensor, with shared memory in the places of those that name some."""
    places = [place_of(decode_parameters(t.parameters)) if REGION in t.parameters else None for t in described]
    if not any(places):
        return raw
    if len(raw) != places.count(None):
        raise InvalidInput(f"there are {len(raw)} raw contents, expected one for each tensor outside shared memory")
    entries = iter(raw)
    return [bytes_at(place, lookup) if place else next(entries) for place in places]


def _decode_tensors(kind: str, described: Sequence[_Tensor], raw: Raw) -> Arrays:
    require_unique(kind, [tensor.name for tensor in described])
    if not raw:
        return {tensor.name: _decode_contents(tensor) for tensor in described}
    if len(raw) != len(described):
        names = ", ".join(f"'{tensor.name}'" for tensor in described)
        raise InvalidInput(f"raw_{kind}_contents has {len(raw)} entries, expected {len(described)}, one for {names}")
    for tensor in described:
        if tensor.HasField("contents") and tensor.contents.ByteSize():
            raise InvalidInput(f"tensor '{tensor.name}': both contents and raw_{kind}_contents are given")
    return {
        tensor.name: tensors.decode_raw(tensor.name, tensor.datatype, tuple(tensor.shape), data)
        for tensor, data in zip(described, raw, strict=True)
    }


def _decode_contents(tensor: _Tensor) -> tensors.Array:
    tensors.dtype_of(tensor.name, tensor.datatype)
    if (field := FIELDS.get(tensor.datatype)) is None:
        raise InvalidInput(f"tensor '{tensor.name}': {tensor.datatype} travels only as raw_input_contents")
    if wrong := [f.name for f, _ in tensor.contents.ListFields() if f.name != field]:
        raise InvalidInput(f"tensor '{tensor.name}': {tensor.datatype} is given in {wrong[0]}, expected {field}")
    return tensors.decode_values(tensor.name, tensor.datatype, tensor.shape, getattr(tensor.contents, field))


def _values(array: tensors.Array) -> Iterable[object]:
    if array.dtype.hasobject:
        return [tensors.as_bytes(element) for element in array.ravel()]
    values: list[object] = array.ravel().tolist()
    return values


def _encode_spec(spec: TensorSpec) -> pb.ModelMetadataResponse.TensorMetadata:
    return pb.ModelMetadataResponse.TensorMetadata(name=spec.name, datatype=spec.datatype, shape=spec.shape)
