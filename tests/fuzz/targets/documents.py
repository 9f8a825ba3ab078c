"""The other JSON that is read: what a REST predictor answers, and bodies of management. The first byte chooses.

Each is read or refused in the ways that its caller expects; a description of a model is one that we could give.
"""

from __future__ import annotations

import json
from collections.abc import Callable

from aiohttp import hdrs
from tandem import tensors
from tandem.codec import json as v2
from tandem.codec import v1
from tandem.doors.rest import management, system_memory
from tandem.errors import InvalidInput, TandemError
from tandem.memory.regions import Regions
from tandem.tensors import datatype_of

from fuzz.invariants import outcome


def check(data: bytes) -> bool:
    return READERS[data[0] % len(READERS)](data[1:]) if data else False


def _answer(body: bytes) -> bool:
    text, nul, blocks = body.partition(b"\0")
    response = outcome(v2.decode_response, text + blocks, len(text) if nul else None)
    if response:
        assert all(datatype_of(array.dtype) for array in response.outputs.values())
    return response is not None


def _predictions(body: bytes) -> bool:
    try:
        outputs = v1.decode_response(body)
    except (ValueError, KeyError, TypeError, InvalidInput):  # as V1Predictor
        return False
    assert all(datatype_of(array.dtype) for array in outputs.values())
    return True


def _description(body: bytes) -> bool:
    try:
        model = v2.decode_metadata(body)
    except InvalidInput:  # as V2Predictor
        return False
    assert v2.decode_metadata(v2.encode_metadata(model)) == model
    for spec in (*model.inputs, *model.outputs):
        assert spec.datatype in tensors.DTYPES
        assert spec.admits([max(dim, 0) for dim in spec.shape])
    return True


def _error(body: bytes) -> bool:
    try:
        text = v2.decode_error(body)
    except ValueError:
        return False
    TandemError(text).message.encode()
    return True


class Endpoint:
    """What management asks; nothing of it depends on the body."""

    def index(self):
        return ()

    async def load(self, name: str) -> None:
        assert name == "m"


class Sent:
    """A request with a body, as far as it is looked at."""

    def __init__(self, body: bytes) -> None:
        self.headers, self.content_length, self.content = {hdrs.CONTENT_TYPE: "application/json"}, None, self
        self.match_info = {"model": "m", "region": "r"}
        self._parts = [body]

    async def readany(self) -> bytes:
        return self._parts.pop() if self._parts else b""


def _handled(routes: object, name: str) -> Callable[[bytes], bool]:
    def handle(body: bytes) -> bool:
        return outcome(_finished, getattr(routes, name)(Sent(body))) is not None

    return handle


def _registered(body: bytes) -> bool:
    outcome(_finished, system_memory._Routes(Regions(public=True), 2**20).register(Sent(body)))
    return True


def _finished(coroutine):
    """What a coroutine that never waits returns; a loop for each would take most of the time."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        return end.value
    raise AssertionError("it waits")


_ROUTES = management._Routes(Endpoint(), 2**20)  # type: ignore[arg-type]
READERS = (
    _answer,
    _predictions,
    _description,
    _error,
    _handled(_ROUTES, "index"),
    _handled(_ROUTES, "load"),
    _registered,
)


def _for(reader: int, document: object) -> bytes:
    return bytes([reader]) + json.dumps(document).encode()


_SPEC = {"name": "x", "datatype": "FP32", "shape": [-1, 2]}
SEEDS = {
    "answer": _for(0, {"model_name": "m", "outputs": [{"name": "y", "datatype": "INT8", "shape": [1], "data": [1]}]}),
    "answer in a block": _for(
        0, {"outputs": [{"name": "y", "datatype": "INT8", "shape": [1], "parameters": {"binary_data_size": 1}}]}
    )
    + b"\0a",
    "predictions": _for(1, {"predictions": [[1, 2], [3, 4]]}),
    "named predictions": _for(1, {"predictions": [{"a": 1, "b": "c"}, {"a": 2, "b": "d"}]}),
    "description": _for(2, {"name": "m", "versions": ["1"], "platform": "p", "inputs": [_SPEC], "outputs": [_SPEC]}),
    "error": _for(3, {"error": "no"}),
    "FastAPI's error": _for(3, {"detail": "no"}),
    "index": _for(4, {"ready": True}),
    "load": _for(5, {"parameters": {"a": 1}}),
    "region": _for(6, {"key": "/fuzz-there-is-none", "offset": 0, "byte_size": 64}),
}
FOUND = {
    "a datatype that is none": _for(2, {"name": "m", "inputs": [_SPEC | {"datatype": "FLOAT"}]}),
    "a datatype that is no text": _for(2, {"name": "m", "inputs": [_SPEC | {"datatype": [1]}]}),
    "a shape that is a text": _for(2, {"name": "m", "outputs": [_SPEC | {"shape": "ab"}]}),
    "a size below any": _for(2, {"name": "m", "inputs": [_SPEC | {"shape": [-2]}]}),
    "a name that is a number": _for(2, {"name": 1}),
}
WORDS = (
    *(
        b'"name"',
        b'"versions"',
        b'"platform"',
        b'"inputs"',
        b'"outputs"',
        b'"datatype"',
        b'"shape"',
        b'"FP32"',
        b"null",
    ),
    *(b'"predictions"', b'"error"', b'"detail"', b'"ready"', b'"parameters"', b'"config"', b'"file:a"', b"true", b"-1"),
    *(b'"key"', b'"offset"', b'"byte_size"', b"18446744073709551615", b"9223372036854775807", b'"/a"', b'".."', b"\0"),
)
