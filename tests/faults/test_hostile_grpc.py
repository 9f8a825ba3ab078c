"""Messages made to hurt, on the gRPC door of either service: refused with the right status, soon."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from faults.hostile import IMAGE, MOST, PATIENCE, Ask, unharmed
from harness import Pair
from tandem.oip import inference_pb2 as pb

MILLION = 1_000_000
INFER = "/inference.GRPCInferenceService/ModelInfer"
INVALID, NOT_FOUND = grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND
EXHAUSTED = grpc.StatusCode.RESOURCE_EXHAUSTED


def varint(value: int) -> bytes:
    encoded = b""
    while value > 0x7F:
        encoded, value = encoded + bytes([value & 0x7F | 0x80]), value >> 7
    return encoded + bytes([value])


def field(number: int, data: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(data)) + data


MODEL = field(1, b"digits")


def tensor(*more: bytes, shape: tuple[int, ...] = (1, 8, 8), datatype: bytes = b"FP32") -> bytes:
    dims = b"".join(varint(dim % 2**64) for dim in shape)
    return field(5, field(1, b"image") + field(2, datatype) + field(3, dims) + b"".join(more))


def contents(number: int, data: bytes) -> bytes:
    return field(5, field(number, data))


def elements(shape: int, data: bytes) -> Callable[[], bytes]:
    return lambda: MODEL + tensor(shape=(shape,), datatype=b"BYTES") + field(7, data)


RAW = field(7, IMAGE.tobytes())
MESSAGES: dict[str, Callable[[], bytes]] = {
    "no message": lambda: b"\xff" * 1000,
    "a field cut off": lambda: MODEL + tensor()[:-5],
    "a length of 2**63": lambda: MODEL + b"\x2a" + b"\xff" * 8 + b"\x7f" + bytes(100),
    "a varint of twenty bytes": lambda: MODEL + b"\x28" + b"\xff" * 20,
    "groups nested deep": lambda: b"\x0b" * 100_000,
    "messages nested deep": lambda: field(5, field(4, field(2, field(3, b"\x2a" * 50_000)))),
    "a field of number 0": lambda: b"\x02\x01a",
    "an invalid name": lambda: MODEL + field(5, field(1, b"\xff\xfe")),
    "inputs by the million": lambda: MODEL + b"\x2a\x00" * MILLION,
    "outputs by the million": lambda: MODEL + tensor() + b"\x32\x00" * MILLION,
    "raw contents by the million": lambda: MODEL + tensor() + b"\x3a\x00" * MILLION,
    "parameters by the hundred thousand": lambda: (
        MODEL + tensor() + RAW + b"".join(field(4, field(1, b"%d" % n) + b"\x12\x02\x10\x01") for n in range(100_000))
    ),
    "a tensor's parameters by the hundred thousand": lambda: (
        MODEL + tensor(*[field(4, field(1, b"%d" % n) + b"\x12\x02\x10\x01") for n in range(100_000)]) + RAW
    ),
    "a parameter a million times": lambda: MODEL + tensor(shape=(2,)) + RAW + b"\x22\x00" * MILLION,
    "a dimension of 2**63 - 1": lambda: MODEL + tensor(shape=(2**63 - 1,)) + RAW,
    "a dimension of -2**63": lambda: MODEL + tensor(shape=(-(2**63),)) + RAW,
    "a product that overflows to 64": lambda: MODEL + tensor(shape=(2**32, 2**32, 64)) + RAW,
    "a zero beside a huge dimension": lambda: MODEL + tensor(shape=(0, 2**62)) + field(7, b""),
    "a huge shape for one byte": lambda: MODEL + tensor(shape=(2**28,), datatype=b"UINT8") + field(7, b"\0"),
    "a million dimensions": lambda: MODEL + tensor(shape=(1,) * MILLION) + RAW,
    "a name of a megabyte": lambda: MODEL + field(5, field(1, b"n" * MILLION)) + RAW,
    "an id of a megabyte": lambda: MODEL + field(3, b"i" * MILLION) + tensor() + RAW,
    "a datatype of a megabyte": lambda: MODEL + tensor(datatype=b"F" * MILLION) + RAW,
    "contents in a million values for one": lambda: MODEL + tensor(contents(6, bytes(4 * MILLION)), shape=(1,)),
    "contents of a million empty texts": lambda: MODEL + tensor(field(5, b"\x42\x00" * MILLION), datatype=b"BYTES"),
    "contents of a million small numbers": lambda: MODEL + tensor(contents(3, bytes(MILLION)), datatype=b"INT64"),
    "contents of every kind": lambda: MODEL + tensor(*[contents(n, bytes(8)) for n in range(1, 8)]),
    "contents and raw contents": lambda: MODEL + tensor(contents(6, IMAGE.tobytes())) + RAW,
    "elements of 2**32 - 1 bytes": elements(1, b"\xff\xff\xff\xff1234"),
    "elements one too long": elements(1, b"\x05\0\0\x001234"),
    "elements one too short": elements(1, b"\x03\0\0\x001234"),
    "a million empty elements for one": elements(1, bytes(4 * MILLION)),
    "a million empty elements": elements(MILLION, bytes(4 * MILLION)),
    "no elements for a million": elements(MILLION, b""),
}

NAMES = ["..", "../../etc/passwd", "%2e%2e", "digits\0", "\0", "n" * MILLION, "\u202e", "digits/", "\U0001f600" * 2000]


def codes(pair: Pair, request: bytes, metadata: tuple[tuple[str, str | bytes], ...] = ()) -> Iterator[grpc.StatusCode]:
    """What both services answer, which are asked at the same time."""

    def asked(target: str) -> grpc.StatusCode:
        with grpc.insecure_channel(target) as channel:
            try:
                channel.unary_unary(INFER)(request, timeout=PATIENCE, metadata=metadata)
            except grpc.RpcError as error:
                return error.code()
            return grpc.StatusCode.OK

    with ThreadPoolExecutor(2) as pool:
        yield from pool.map(asked, [pair.transformer.target, pair.predictor.target])


@pytest.mark.parametrize("name", MESSAGES)
def test_a_message_made_to_hurt_is_refused(guarded: Pair, asks: list[Ask], name: str) -> None:
    request = MESSAGES[name]()
    with unharmed(guarded, asks):
        assert set(codes(guarded, request)) <= {INVALID, EXHAUSTED}


@pytest.mark.parametrize("name", NAMES, ids=lambda name: ascii(name[:20]))
def test_a_name_that_leads_elsewhere_is_not_found(guarded: Pair, asks: list[Ask], name: str) -> None:
    model = pb.ModelInferRequest(model_name=name).SerializeToString() + tensor() + RAW
    version = pb.ModelInferRequest(model_name="digits", model_version=name).SerializeToString() + tensor() + RAW
    with unharmed(guarded, asks):
        assert {*codes(guarded, model), *codes(guarded, version)} == {NOT_FOUND}


def test_a_message_over_the_limit_is_refused(guarded: Pair, asks: list[Ask]) -> None:
    with unharmed(guarded, asks):
        assert set(codes(guarded, MODEL + field(7, bytes(4 * MOST)))) == {EXHAUSTED}


@pytest.mark.parametrize("algorithm", [grpc.Compression.Gzip, grpc.Compression.Deflate])
def test_a_compressed_message_is_read_as_it_is(guarded: Pair, asks: list[Ask], algorithm: grpc.Compression) -> None:
    with unharmed(guarded, asks), grpc.insecure_channel(guarded.transformer.target, compression=algorithm) as channel:
        answer = channel.unary_unary(INFER)(MODEL + tensor() + RAW, timeout=PATIENCE)
    assert pb.ModelInferResponse.FromString(answer).outputs


@pytest.mark.parametrize("count", [10, 200, 2000])
def test_metadata_without_measure_is_refused(guarded: Pair, asks: list[Ask], count: int) -> None:
    metadata = tuple((f"x-{number}", "v" * 5000) for number in range(count))
    with unharmed(guarded, asks):
        assert set(codes(guarded, MODEL + tensor() + RAW, metadata)) <= {EXHAUSTED, grpc.StatusCode.UNAVAILABLE}
