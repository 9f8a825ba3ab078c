"""A ModelInferRequest. What decodes, also out of shared memory, encodes and decodes to the same again.

The same bytes are a predictor's answer too, which is read, or is the predictor's fault.
"""

from __future__ import annotations

import contextlib

from google.protobuf.message import DecodeError
from shared.strategies import same_maps
from tandem.codec import json as rest
from tandem.codec import message as codec
from tandem.codec import v1, wire
from tandem.codec.shared_memory import Room
from tandem.deadline import Deadline
from tandem.errors import Internal
from tandem.inference import Call, InferRequest, InferResponse
from tandem.memory.regions import Regions
from tandem.oip import inference_pb2 as pb

from fuzz.invariants import frugal, outcome, regions, same_requests

GROWTH = 64  # MB, for some kB


def check(data: bytes) -> bool:
    with contextlib.suppress(DecodeError, Internal):
        codec.decode_response(wire.decode_response(data))
    try:
        message = pb.ModelInferRequest.FromString(data)
    except DecodeError:
        return False
    known = regions()
    request = outcome(codec.decode_request, wire.whole_request(message), lookup=known.view)
    if request is None:
        return False
    outcome(Call("grpc", "m", Deadline(), {}).begin, request)
    sent = wire.decode_request(wire.encode_request(codec.encode_request(request)))
    assert same_requests(codec.decode_request(sent), request)
    _answered(request)
    outcome(_placed, request, known)
    return True


def _answered(request: InferRequest) -> None:
    response = InferResponse("m", "1", request.inputs, request.id, request.parameters)
    with frugal(GROWTH):
        outcome(rest.encode_request, request)
        outcome(v1.encode_request, request.inputs)
        outcome(v1.encode_response, response)
    for raw in (request.raw, True):
        frame = codec.encode_response(response, raw=raw)
        came = codec.decode_response(wire.decode_response(wire.encode_response(frame)))
        assert same_maps(came.outputs, request.inputs)


def _placed(request: InferRequest, known: Regions) -> None:
    """Answered into shared memory, where the request asks for it: last, as inputs may lie in the same."""
    room = Room(request, known.view)
    codec.encode_response(InferResponse("m", "1", request.inputs), raw=True, room=room)


def _request(*inputs, raw=(), **more) -> bytes:
    described = [pb.ModelInferRequest.InferInputTensor(**tensor) for tensor in inputs]
    return pb.ModelInferRequest(inputs=described, raw_input_contents=raw, **more).SerializeToString()


def _typed(datatype, field, values):
    return {"name": datatype, "datatype": datatype, "shape": [len(values)], "contents": {field: values}}


_PLACE = {
    "shared_memory_region": pb.InferParameter(string_param="r"),
    "shared_memory_byte_size": pb.InferParameter(int64_param=8),
}
_VALUES = {"bool": [True], "int": [-128], "uint": [255], "fp32": [float("nan"), 1], "bytes": [b"\xff", b""]}
SEEDS = {
    "typed": _request(
        *[
            _typed(datatype, f"{field}_contents", _VALUES[field])
            for datatype, field in {
                "BOOL": "bool",
                "INT8": "int",
                "UINT8": "uint",
                "FP32": "fp32",
                "BYTES": "bytes",
            }.items()
        ],
        id="7",
    ),
    "long": _request(_typed("INT64", "int64_contents", [-(2**63)]), _typed("UINT64", "uint64_contents", [2**64 - 1])),
    "raw": _request(
        {"name": "x", "datatype": "FP16", "shape": [2]},
        {"name": "y", "datatype": "BYTES", "shape": []},
        raw=[b"abcd", b"\1\0\0\0\xff"],
        parameters={"timeout": pb.InferParameter(int64_param=5), "n": pb.InferParameter(double_param=float("nan"))},
        outputs=[pb.ModelInferRequest.InferRequestedOutputTensor(name="x", parameters=_PLACE)],
    ),
    "shared memory": _request(
        {"name": "x", "datatype": "FP64", "shape": [1], "parameters": _PLACE},
        {"name": "z", "datatype": "INT8", "shape": [1]},
        raw=[b"a"],
        parameters=_PLACE,
    ),
}
FOUND = {
    "a billion lists without an element": _request({"name": "x", "datatype": "FP32", "shape": [1000, 1000, 1000, 0]}),
    "a scalar beside another input, for V1": _request(
        {"name": "x", "datatype": "INT8", "shape": []},
        {"name": "y", "datatype": "INT8", "shape": [1]},
        raw=[b"a", b"b"],
    ),
    "an overflow beside a zero in three dimensions": _request(
        {"name": "x", "datatype": "FP32", "shape": [0, 2**40, 2**40]}
    ),
}
WORDS = (
    *(b"\x0a\x01x", b"\x12\x04FP32", b"\x12\x05BYTES", b"\x12\x04BOOL", b"\x1a\x01\x01", b"\x2a\x00", b"\x3a\x00"),
    *(b"shared_memory_region", b"shared_memory_offset", b"shared_memory_byte_size", b"timeout", b"priority"),
    *(b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", b"\x80\x80\x80\x80\x80\x20", b"\x00\x00\xc0\x7f"),
)
