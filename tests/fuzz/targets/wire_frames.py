"""ModelInfer's messages as bytes: our frames are what protobuf's own parser reads, or both refuse.

Messages of every size are split here; servers leave small ones to protobuf.
"""

from __future__ import annotations

from unittest import mock

from google.protobuf.message import DecodeError
from tandem.codec import wire
from tandem.oip import inference_pb2 as pb

MESSAGES = (
    (pb.ModelInferRequest, "raw_input_contents", wire.decode_request, wire.encode_request),
    (pb.ModelInferResponse, "raw_output_contents", wire.decode_response, wire.encode_response),
)


def check(data: bytes) -> bool:
    with mock.patch.object(wire, "WORTHWHILE", 0):
        agreed = [_agree(data, *form) for form in MESSAGES]  # of both, whether the first is taken or not
    return any(agreed)


def _agree(data, form, field, decode, encode) -> bool:
    expected = _read(form.FromString, data)
    for given in (data, memoryview(data)):
        frame = _read(decode, given)
        assert (frame is None) == (expected is None), "one of the two refuses what the other takes"
        if frame is None:
            continue
        raw = [bytes(entry) for entry in frame.raw]
        assert raw == list(getattr(expected, field))
        message = form()
        message.CopyFrom(frame.message)
        message.ClearField(field)
        assert _told(message) == _told(_without(expected, field))
        assert _told(form.FromString(encode(wire.Frame(message, raw)))) == _told(expected)
    return expected is not None


def _read(parse, data):
    try:
        return parse(data)
    except DecodeError:
        return None


def _without(message, field):
    copy = type(message)()
    copy.CopyFrom(message)
    copy.ClearField(field)
    return copy


def _told(message) -> bytes:
    """All of a message, unknown fields and the bits of NaNs included, which == takes for different."""
    return message.SerializeToString(deterministic=True)


_INPUT = pb.ModelInferRequest.InferInputTensor(
    name="x", datatype="FP32", shape=[1, -1], contents=pb.InferTensorContents(fp32_contents=[1.5, float("nan")])
)
_MANY = pb.InferParameter(int64_param=-1)
SEEDS = {
    "request": pb.ModelInferRequest(
        model_name="m", id="7", inputs=[_INPUT], raw_input_contents=[b"abcd", b""], parameters={"a": _MANY}
    ).SerializeToString(),
    "response": pb.ModelInferResponse(
        model_name="m", model_version="1", parameters={"a": _MANY}, raw_output_contents=[b"abcd"]
    ).SerializeToString(),
    "raw entries between others": b"\x3a\x02ab\x1a\x01i\x3a\x00\x0a\x01m",
    "fields that nobody knows": b"\xf8\x07\x01\x3a\x01a\xf9\x0712345678\xfd\x071234\xfb\x07\xfc\x07",
    "lengths of two bytes": b"\x3a\xc8\x01" + b"a" * 200 + b"\x32\x81\x00b",
}
FOUND = {
    "a tag of more bytes than protobuf reads": b"\xba\x80\x80\x80\x80\x00\x01a",
    "a length of more bytes than protobuf reads": b"\x3a\x81\x80\x80\x80\x80\x00a",
}
WORDS = (b"\x3a", b"\x32", b"\x2a", b"\x22", b"\xba\x00", b"\x80\x80\x80\x80\x00", b"\xff\xff\xff\xff\x0f", b"\xf8\x07")
