"""One identity model, every datatype and shape, four encodings: each answer is what was sent, to the last bit."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from textwrap import dedent

import numpy as np
import pytest
from contract.asks import JSON_SIZE
from contract.doors import GrpcDoor, HttpDoor, doors
from harness import Pair, running_pair
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tandem.codec.message import FIELDS
from tandem.oip import inference_pb2 as pb
from tandem.tensors import DTYPES, decode_raw, encode_raw, objects

RANKS = range(4)
RAW_ONLY = ("FP16", "BF16")
Tensors = dict[str, np.ndarray]
Told = dict[str, tuple[str, list[int], bytes]]  # datatype, shape and raw bytes by name
MODEL = """
    from tandem import TensorSpec

    class Model:
        inputs = [TensorSpec(name, name, [-1] * {rank}) for name in {names}]
        outputs = inputs

        def predict(self, inputs):
            return dict(inputs)
"""


def version(rank: int, *, raw_only: bool) -> int:
    """The version of the identity model for tensors of `rank`, with or without a typed gRPC form."""
    return 1 + rank + (len(RANKS) if raw_only else 0)


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    folder: Path = tmp_path_factory.mktemp("identity")
    for rank in RANKS:
        for raw_only, names in ((False, list(FIELDS)), (True, list(RAW_ONLY))):
            place = folder / str(version(rank, raw_only=raw_only))
            place.mkdir()
            (place / "model.py").write_text(dedent(MODEL).format(rank=rank, names=names))
    flags = (f"--model_dir={folder}", "--allow_python_models", "--enable_latency_logging=false")
    with running_pair("identity", flags, ("--transformer=identity", "--enable_latency_logging=false")) as running:
        yield running


@pytest.fixture(params=["transformer", "predictor"], scope="module")
def both(pair: Pair, request: pytest.FixtureRequest) -> Iterator[tuple[HttpDoor, GrpcDoor]]:
    with doors(getattr(pair, request.param)) as opened:
        yield opened


def elements(datatype: str) -> st.SearchStrategy:
    dtype = DTYPES[datatype]
    if datatype == "BOOL":
        return st.booleans()
    if datatype == "BYTES":
        return st.text(st.characters(codec="utf-8"), max_size=6).map(str.encode)
    if datatype == "BF16":
        return st.integers(0, 2**16 - 1).filter(lambda bits: bits & 0x7F80 != 0x7F80)  # its bits; no NaN, no infinity
    if dtype.kind == "f":
        return st.floats(width=dtype.itemsize * 8, allow_nan=False, allow_infinity=False)
    return st.integers(int(np.iinfo(dtype).min), int(np.iinfo(dtype).max))


def array(datatype: str, values: list, shape: list[int]) -> np.ndarray:
    if datatype == "BYTES":
        return objects(values).reshape(shape)
    if datatype == "BF16":
        return np.array(values, "<u2").view(DTYPES["BF16"]).reshape(shape)
    return np.array(values, DTYPES[datatype]).reshape(shape)


@st.composite
def tensors(draw: st.DrawFn, *, raw_only: bool) -> tuple[int, Tensors]:
    """A version of the model and one tensor of each of its datatypes."""
    rank = draw(st.sampled_from(RANKS))
    made: Tensors = {}
    for datatype in RAW_ONLY if raw_only else FIELDS:
        shape = draw(st.lists(st.integers(0, 3), min_size=rank, max_size=rank))
        count = int(np.prod(shape, dtype=int))
        values = draw(st.lists(elements(datatype), min_size=count, max_size=count))
        made[datatype] = array(datatype, values, shape)
    return version(rank, raw_only=raw_only), made


def sent(given: Tensors) -> Told:
    return {name: (name, list(value.shape), encode_raw(value)) for name, value in given.items()}


def plain(value: np.ndarray, *, nested: bool) -> list:
    shaped = value if nested and value.ndim else value.ravel()
    if value.dtype.hasobject:
        shaped = objects([element.decode() for element in value.ravel()]).reshape(shaped.shape)
    return shaped.astype(float).tolist() if value.dtype == DTYPES["BF16"] else shaped.tolist()


def described(given: Tensors) -> list[dict]:
    return [{"name": name, "datatype": name, "shape": list(value.shape)} for name, value in given.items()]


def post(door: HttpDoor, number: int, body: bytes, headers: dict[str, str]) -> tuple[dict, bytes]:
    reply = door.ask("POST", f"/v2/models/identity/versions/{number}/infer", body, headers)
    assert reply.status == 200, reply.body
    size = int(reply.headers.get(JSON_SIZE.lower(), len(reply.body)))
    return json.loads(reply.body[:size]), reply.body[size:]


def over_json(door: HttpDoor, number: int, given: Tensors, *, nested: bool) -> Told:
    inputs = [
        head | {"data": plain(value, nested=nested)}
        for head, value in zip(described(given), given.values(), strict=True)
    ]
    answer, rest = post(door, number, json.dumps({"inputs": inputs}).encode(), {})
    assert not rest
    told: Told = {}
    for output in answer["outputs"]:
        datatype = output["datatype"]
        if datatype == "BYTES":
            value = objects([text.encode() for text in output["data"]])
        else:
            value = np.array(output["data"], DTYPES[datatype])
        told[output["name"]] = (datatype, output["shape"], encode_raw(value))
    return told


def over_binary(door: HttpDoor, number: int, given: Tensors) -> Told:
    blocks = [encode_raw(value) for value in given.values()]
    inputs = [
        head | {"parameters": {"binary_data_size": len(block)}}
        for head, block in zip(described(given), blocks, strict=True)
    ]
    head = json.dumps({"inputs": inputs, "parameters": {"binary_data_output": True}}).encode()
    answer, rest = post(door, number, head + b"".join(blocks), {JSON_SIZE: str(len(head))})
    told: Told = {}
    for output in answer["outputs"]:
        size = output["parameters"]["binary_data_size"]
        told[output["name"]] = (output["datatype"], output["shape"], rest[:size])
        rest = rest[size:]
    assert not rest
    return told


def over_raw(door: GrpcDoor, number: int, given: Tensors) -> Told:
    blocks = [bytes(encode_raw(value)) for value in given.values()]
    answer = door.infer(
        pb.ModelInferRequest(
            model_name="identity", model_version=str(number), inputs=described(given), raw_input_contents=blocks
        )
    )
    found = zip(answer.outputs, answer.raw_output_contents, strict=True)
    return {output.name: (output.datatype, list(output.shape), raw) for output, raw in found}


def over_typed(door: GrpcDoor, number: int, given: Tensors) -> Told:
    request = pb.ModelInferRequest(model_name="identity", model_version=str(number), inputs=described(given))
    for tensor, value in zip(request.inputs, given.values(), strict=True):
        getattr(tensor.contents, FIELDS[tensor.datatype]).extend(value.ravel().tolist())
    answer = door.infer(request)
    assert not answer.raw_output_contents
    told: Told = {}
    for output in answer.outputs:
        values = list(getattr(output.contents, FIELDS[output.datatype]))
        told[output.name] = (output.datatype, list(output.shape), encode_raw(array(output.datatype, values, [-1])))
    return told


def bounded(examples: int) -> Callable:
    return settings(
        derandomize=True,
        max_examples=examples,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )


@bounded(100)
@given(drawn=tensors(raw_only=False), nested=st.booleans())
def test_the_four_encodings_answer_with_exactly_what_was_sent(
    both: tuple[HttpDoor, GrpcDoor], drawn: tuple[int, Tensors], nested: bool
) -> None:
    (http, grpc), (number, values) = both, drawn
    expected = sent(values)
    assert over_json(http, number, values, nested=nested) == expected
    assert over_binary(http, number, values) == expected
    assert over_raw(grpc, number, values) == expected
    assert over_typed(grpc, number, values) == expected


@bounded(60)
@given(drawn=tensors(raw_only=True), nested=st.booleans())
def test_the_half_floats_which_have_no_typed_form_agree_in_the_other_three(
    both: tuple[HttpDoor, GrpcDoor], drawn: tuple[int, Tensors], nested: bool
) -> None:
    (http, grpc), (number, values) = both, drawn
    expected = sent(values)
    assert over_json(http, number, values, nested=nested) == expected
    assert over_binary(http, number, values) == expected
    assert over_raw(grpc, number, values) == expected


def test_the_ends_of_the_64_bit_integers_come_back_to_the_last_digit(both: tuple[HttpDoor, GrpcDoor]) -> None:
    ends = {"INT64": [-(2**63), 2**63 - 1, 2**53 + 1], "UINT64": [0, 2**64 - 1, 2**53 + 1]}
    number = version(1, raw_only=False)
    values = {name: decode_raw(name, name, [0], b"") for name in FIELDS}
    values |= {name: array(name, numbers, [3]) for name, numbers in ends.items()}
    http, grpc = both
    inputs = [head | {"data": ends.get(head["name"], [])} for head in described(values)]
    answer, _ = post(http, number, json.dumps({"inputs": inputs}).encode(), {})
    assert {o["name"]: o["data"] for o in answer["outputs"] if o["name"] in ends} == ends
    expected = sent(values)
    assert over_binary(http, number, values) == expected
    assert over_raw(grpc, number, values) == expected
    assert over_typed(grpc, number, values) == expected
