"""A REST request's body. What decodes is handled or refused, encodes, and decodes to the same again.

A NUL, which no JSON holds, stands between the JSON and the binary blocks; without one, all is JSON.
"""

from __future__ import annotations

import json
from dataclasses import replace

from shared.strategies import same_maps
from tandem.codec import json as codec
from tandem.codec.shared_memory import Room
from tandem.deadline import Deadline
from tandem.inference import Call, InferRequest, InferResponse
from tandem.memory.regions import Regions
from tandem.metadata import ModelMetadata, TensorSpec
from tandem.model.classification import classify
from tandem_predictor.validation import validate

from fuzz.invariants import exact, outcome, regions, same_requests

X, Y = TensorSpec("x", "FP32", (-1, 2)), TensorSpec("y", "BYTES", (-1,))
MODELS = [ModelMetadata("m", ("1",), "", inputs, (X, Y)) for inputs in ((X,), (Y,), (X, Y))]


def check(data: bytes) -> bool:
    text, nul, blocks = data.partition(b"\0")
    known = regions()
    request = outcome(codec.decode_request, text + blocks, "m", "1", len(text) if nul else None, lookup=known.view)
    if request is None:
        return False
    outcome(_handled, request)
    for model in MODELS:
        outcome(validate, request, model, batchable=True)
    _asked_again(request)
    _answered(request)
    outcome(_placed, request, known)
    return True


def _handled(request: InferRequest) -> None:
    """What the doors and the predictor read out of a request beside its tensors."""
    Call("http", "m", Deadline(), {}).begin(request)
    Room(request, None)
    _ = request.priority
    classify(request.inputs, request.outputs)


def _asked_again(request: InferRequest) -> None:
    """As the transformer asks a REST predictor."""
    body = outcome(codec.encode_request, request)
    if body and all(exact(array) for array in request.inputs.values()):
        assert same_requests(codec.decode_request(body, "m", "1"), request)


def _answered(request: InferRequest) -> None:
    """As a model answers that gives back what it gets: as it was asked, and then all in binary blocks."""
    response = InferResponse("m", "1", request.inputs, request.id)
    answer = outcome(codec.encode_response, response, request)
    if answer and all(exact(array) for array in request.inputs.values()):
        assert same_maps(codec.decode_response(*answer).outputs, request.inputs)
    binary = codec.encode_response(response, replace(request, outputs=(), raw=True))
    assert same_maps(codec.decode_response(*binary).outputs, request.inputs)


def _placed(request: InferRequest, known: Regions) -> None:
    """Answered into shared memory, where the request asks for it: last, as inputs may lie in the same."""
    room = Room(request, known.view)
    codec.encode_response(InferResponse("m", "1", request.inputs), request, room)


def _tensor(datatype, shape, **more):
    return {"name": "x", "datatype": datatype, "shape": shape, **more}


def _body(*inputs, blocks=b"", **more):
    return json.dumps({"inputs": inputs, **more}).encode() + (b"\0" + blocks if blocks else b"")


_PLACE = {"shared_memory_region": "r", "shared_memory_byte_size": 8}
SEEDS = {
    "shared memory": _body(_tensor("FP32", [2], parameters=_PLACE), outputs=[{"name": "x", "parameters": _PLACE}]),
    "floats": _body(_tensor("FP32", [2, 2], data=[[1.5, -2], [1e-9, 3]]), id="7", outputs=[{"name": "x"}]),
    "halves": _body(_tensor("BF16", [1], data=[1.5]), _tensor("FP16", [2], data=[65504, 0]) | {"name": "h"}),
    "integers": _body(*[_tensor(kind, [1], data=[7]) | {"name": kind} for kind in ("INT8", "UINT64", "INT64")]),
    "truth": _body(_tensor("BOOL", [2, 2], data=[[True, False], [1, 0]])),
    "texts": _body(_tensor("BYTES", [2], data=["ä", ""]) | {"name": "y"}),
    "scalar": _body(
        _tensor("FP64", [], data=[1]), parameters={"timeout": 9, "priority": 1, "binary_data_output": True}
    ),
    "nothing": _body(_tensor("INT32", [0, 3], data=[])),
    "classes": _body(
        _tensor("FP32", [1, 3], data=[1, 3, 2]), outputs=[{"name": "x", "parameters": {"classification": 2}}]
    ),
    "large number": b'{"inputs":[{"name":"x","datatype":"FP32","shape":[1],"data":[18446744073709551616]}]}',
    "blocks": _body(
        _tensor("UINT8", [2], parameters={"binary_data_size": 2}),
        _tensor("BYTES", [1], parameters={"binary_data_size": 5}) | {"name": "y"},
        blocks=b"\1\2\1\0\0\0\xff",
        outputs=[{"name": "x", "parameters": {"binary_data": True}}],
    ),
}
FOUND = {
    "33 dimensions": _body(_tensor("INT8", [1] * 33, data=[1])),
    "an array behind a number": _body(_tensor("FP32", [2, 2], data=[1, 2, [3, 4]])),
    "an overflow beside a zero in three dimensions": _body(_tensor("FP32", [0, 2**40, 2**40], data=[])),
    "truth values other than 0 and 1": _body(_tensor("BOOL", [2], parameters={"binary_data_size": 2}), blocks=b"\2\0"),
    "the best of no classes": _body(
        _tensor("FP32", [2, 0], data=[]), outputs=[{"name": "x", "parameters": {"classification": 1}}]
    ),
}
WORDS = (
    *(b'"inputs"', b'"outputs"', b'"parameters"', b'"name"', b'"shape"', b'"datatype"', b'"data"', b'"id"', b"null"),
    *(b'"binary_data_size"', b'"binary_data"', b'"binary_data_output"', b'"classification"', b"true", b"false", b"\0"),
    *(b'"shared_memory_region"', b'"shared_memory_byte_size"', b'"priority"', b'"timeout"', b"\\u0000", b"\\ud800"),
    *(b'"BOOL"', b'"UINT8"', b'"UINT64"', b'"INT8"', b'"INT64"', b'"FP16"', b'"BF16"', b'"FP32"', b'"FP64"'),
    *(b'"BYTES"', b"1e999", b"-1", b"1099511627776", b"18446744073709551616", b"9223372036854775808", b"[[]]", b"0.5"),
)
