"""ModelInfer's messages as bytes, with their raw tensors left where they are: no copy in, one copy out.

bytes -> split -> message + views of the raw tensors ... message + raw tensors -> joined -> bytes

protobuf copies raw_input_contents twice on the way in and three times on the way out. The rest of a message is small,
and protobuf's own code reads and writes it. Source: Protocol Buffers, "Encoding".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar, cast

from google.protobuf.message import Message

from tandem.errors import InvalidInput
from tandem.oip import inference_pb2 as pb

M = TypeVar("M", bound=Message)
Raw = Sequence["bytes | memoryview"]

_REQUEST_FIELD, _RESPONSE_FIELD = 7, 6  # raw_input_contents, raw_output_contents
_VARINT, _FIXED64, _LENGTH, _FIXED32 = 0, 1, 2, 5  # wire types
_SHORT, _LONG = 5, 10  # bytes of a varint at most: protobuf refuses a tag or length of more, be they zeros
WORTHWHILE = 8 * 1024  # bytes; protobuf copies a smaller message in less time than Python needs to look at it
# Looked at one by one, where no other number is given; a message of more is protobuf's, whose loop is not Python's.
_MOST_FIELDS = 4096
_ONE_BYTE = [bytes((value,)) for value in range(0x80)]


@dataclass(frozen=True, slots=True)
class Frame(Generic[M]):
    """A message, and the raw tensors that are not in it."""

    message: M
    raw: Raw


def whole_request(message: pb.ModelInferRequest) -> Frame[pb.ModelInferRequest]:
    """The frame of a request that protobuf has read, raw tensors and all."""
    return Frame(message, message.raw_input_contents)


def whole_response(frame: Frame[pb.ModelInferResponse]) -> pb.ModelInferResponse:
    """The response with its raw tensors in it, for protobuf to write."""
    frame.message.raw_output_contents.extend(bytes(data) for data in frame.raw)
    return frame.message


def decode_request(data: bytes | memoryview, most: int | None = None) -> Frame[pb.ModelInferRequest]:
    """The request in `data`; raises protobuf's DecodeError, or InvalidInput if it has over `most` fields.

    An input of no bytes at all takes two on the wire and 90 as a message: who sends millions is not to be parsed.
    """
    if found := _split(data, _REQUEST_FIELD, most):
        return Frame(pb.ModelInferRequest.FromString(found[0]), found[1])
    return whole_request(pb.ModelInferRequest.FromString(cast("bytes", data)))


def decode_response(data: bytes | memoryview) -> Frame[pb.ModelInferResponse]:
    """The response in `data`; raises protobuf's DecodeError."""
    if found := _split(data, _RESPONSE_FIELD):
        return Frame(pb.ModelInferResponse.FromString(found[0]), found[1])
    message = pb.ModelInferResponse.FromString(cast("bytes", data))  # it takes views too, whatever its stubs say
    return Frame(message, message.raw_output_contents)


def encode_request(frame: Frame[pb.ModelInferRequest]) -> bytes:
    """The bytes of a request."""
    return _join(frame, _REQUEST_FIELD)


def encode_response(frame: Frame[pb.ModelInferResponse]) -> bytes:
    """The bytes of a response."""
    return _join(frame, _RESPONSE_FIELD)


def _join(frame: Frame[M], field: int) -> bytes:
    parts: list[bytes | memoryview] = [frame.message.SerializeToString()]
    for data in frame.raw:
        parts += (_varint(field << 3 | _LENGTH) + _varint(len(data)), data)
    return b"".join(parts)


def _split(data: bytes | memoryview, field: int, most: int | None = None) -> tuple[bytes, list[memoryview]] | None:
    """`data` without the entries of `field`, and those as views; None for what protobuf should look at itself."""
    if len(data) < WORTHWHILE:
        return None
    view, raw, rest = memoryview(data), list[memoryview](), list[memoryview]()
    start = offset = fields = 0
    wanted = field << 3 | _LENGTH
    try:
        while offset < len(data):
            tag, value = _read_varint(data, offset, _SHORT)
            if (fields := fields + 1) > (most or _MOST_FIELDS):
                if most:
                    raise InvalidInput(f"the message has over {most} fields, more than --max_tensors can need")
                return None
            value, end = _extent(data, tag & 7, value)
            if end > len(data):
                return None
            if tag == wanted:
                rest.append(view[start:offset])
                raw.append(view[value:end])
                start = end
            offset = end
    except (IndexError, ValueError):  # broken off, or of a wire type that is no more in use
        return None
    return (b"".join([*rest, view[start:]]), raw) if raw else None


def _extent(data: bytes | memoryview, kind: int, offset: int) -> tuple[int, int]:
    """Where the value of a field begins, and where it ends; raises ValueError for other wire types."""
    if kind == _LENGTH:
        length, start = _read_varint(data, offset, _SHORT)
        return start, start + length
    if kind == _VARINT:
        return offset, _read_varint(data, offset, _LONG)[1]
    if kind in (_FIXED64, _FIXED32):
        return offset, offset + (8 if kind == _FIXED64 else 4)
    raise ValueError(kind)


def _read_varint(data: bytes | memoryview, offset: int, most: int) -> tuple[int, int]:
    """The number at `offset`, and the offset behind it; raises ValueError if it has more than `most` bytes."""
    byte = data[offset]
    if byte < 0x80:
        return byte, offset + 1
    value, shift = byte & 0x7F, 7
    for position in range(offset + 1, offset + most):
        byte = data[position]
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position + 1
        shift += 7
    raise ValueError(offset)


def _varint(value: int) -> bytes:
    if value <= 0x7F:
        return _ONE_BYTE[value]
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)
