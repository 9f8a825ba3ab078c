"""KServe's V1 bodies; the first byte chooses the model. What decodes is asked for in words that decode to the same."""

from __future__ import annotations

import json

from shared.strategies import same
from tandem.codec import v1
from tandem.inference import InferResponse
from tandem.metadata import ModelMetadata, TensorSpec
from tandem.tensors import DTYPES, datatype_of

from fuzz.invariants import exact, frugal, outcome

FIRST, SECOND = TensorSpec("x", "FP32", (-1, 2)), TensorSpec("y", "BYTES", (-1,))
GROWTH = 64  # MB, for some kB
MODELS = [
    ModelMetadata("m", (), "", inputs, ())
    for inputs in ((), (FIRST, SECOND), *((TensorSpec("x", datatype, (-1,)),) for datatype in DTYPES))
]


def check(data: bytes) -> bool:
    model = MODELS[data[0] % len(MODELS)] if data else MODELS[0]
    with frugal(GROWTH):
        request = outcome(v1.decode_request, data[1:], model)
    if request is None:
        return False
    answer = outcome(v1.decode_response, v1.encode_response(InferResponse("m", "", request.inputs)))
    arrays = list(request.inputs.values())
    if len(arrays) == 1 and arrays[0].dtype.hasobject and arrays[0].size:  # no values tell no datatype
        assert same(answer["predictions"], arrays[0])
    assert all(datatype_of(array.dtype) for array in arrays)
    if len(arrays) == 1 and len(model.inputs) < 2 and len(arrays[0]) and exact(arrays[0]):
        again = v1.decode_request(v1.encode_request(request.inputs), model)
        assert all(same(*pair) for pair in zip(arrays, again.inputs.values(), strict=True))
    return True


def _of(model: int, **document) -> bytes:
    return bytes([model]) + json.dumps(document).encode()


def _for(datatype: str, *instances) -> bytes:
    return _of(2 + list(DTYPES).index(datatype), instances=instances)


SEEDS = {
    "guessed floats": _of(0, instances=[[1, 2.5], [3, 4]]),
    "guessed texts": _of(0, instances=["a", {"b64": "/w=="}]),
    "guessed truth": _of(0, inputs={"a": [True], "b": [False]}),
    "objects of two inputs": _of(1, instances=[{"x": [1, 2], "y": "a"}, {"x": [3, 4], "y": {"b64": "/w=="}}]),
    "columns of two inputs": _of(1, inputs={"x": [[1, 2]], "y": ["a"]}),
    "a column": _of(2, inputs=[True, False]),
    "objects of one input": _for("BYTES", {"image": {"b64": "YQ=="}}, {"image": {"b64": ""}}),
    "nothing": _of(2 + list(DTYPES).index("BYTES"), inputs={"x": []}),
    "integers": _for("INT64", -(2**63), 2**63 - 1),
    "unsigned integers": _for("UINT64", 2**64 - 1),
    "halves": _for("FP16", 65504, 0.1),
    "BF16": _for("BF16", 1.5, 2),
}
FOUND = {
    "bytes that are no text, as an answer": _for("BYTES", {"b64": "/w=="}, "text"),
    "a number beyond FP32 where nobody has declared it": _of(0, instances=[1e300]),
    "a long text among many numbers": _for(
        "FP32", "a" * 5000, *[1] * 5000
    ),  # NumPy would make each as long as the first
    "a long text among many numbers that are guessed": _of(0, instances=["a" * 5000, *[1] * 5000]),
}
WORDS = (
    *(b'"instances"', b'"inputs"', b'"x"', b'"y"', b'"b64"', b'{"b64":"YQ=="}', b"null", b"true", b"[[]]", b"1e300"),
    *(b"18446744073709551616", b"9223372036854775808", b"-1", b'"a"', b"\\ud800", b"\\u0000"),
)
