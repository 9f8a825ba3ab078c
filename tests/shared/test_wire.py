"""Frames against protobuf itself, the slow reference: the same bytes mean the same, broken ones included."""

from __future__ import annotations

import pytest
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st
from shared.strategies import QUICK
from tandem.codec import wire
from tandem.codec.wire import Frame
from tandem.oip import inference_pb2 as pb

tensors = st.builds(
    pb.ModelInferRequest.InferInputTensor,
    name=st.text(max_size=4),
    datatype=st.sampled_from(["FP32", "BYTES"]),
    shape=st.lists(st.integers(-1, 2**40), max_size=3),
    contents=st.builds(pb.InferTensorContents, bytes_contents=st.lists(st.binary(max_size=200), max_size=2)),
)
messages = st.builds(
    pb.ModelInferRequest,
    model_name=st.text(max_size=300),
    id=st.text(max_size=5),
    inputs=st.lists(tensors, max_size=3),
    parameters=st.dictionaries(st.text(max_size=3), st.builds(pb.InferParameter, int64_param=st.integers(-9, 9))),
    raw_input_contents=st.lists(st.binary(max_size=300), max_size=4),
)


def outcome(decode, data):
    """The whole message, or None if it cannot be read."""
    try:
        return decode(data)
    except DecodeError:
        return None


def framed(data):
    frame = wire.decode_request(data)
    message = pb.ModelInferRequest()
    message.CopyFrom(frame.message)
    if not message.raw_input_contents:
        message.raw_input_contents.extend(bytes(entry) for entry in frame.raw)
    return message


@pytest.fixture(autouse=True, scope="module")
def small_messages_are_split_too():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(wire, "WORTHWHILE", 0)
        yield


@QUICK
@given(messages)
def test_a_request_is_read_as_protobuf_reads_it(message):
    assert framed(message.SerializeToString()) == message


@QUICK
@given(messages, st.data())
def test_broken_bytes_are_read_as_protobuf_reads_them(message, data):
    encoded = bytearray(message.SerializeToString() or b"\0")
    for _ in range(data.draw(st.integers(1, 3))):
        encoded[data.draw(st.integers(0, len(encoded) - 1))] = data.draw(st.integers(0, 255))
    end = data.draw(st.integers(0, len(encoded)))
    broken = bytes(encoded[:end])
    assert outcome(framed, broken) == outcome(pb.ModelInferRequest.FromString, broken)


@QUICK
@given(st.binary(max_size=60))
def test_any_bytes_are_read_as_protobuf_reads_them(data):
    assert outcome(framed, data) == outcome(pb.ModelInferRequest.FromString, data)


@QUICK
@given(messages)
def test_what_is_written_is_what_protobuf_reads(message):
    whole = pb.ModelInferRequest.FromString(message.SerializeToString())
    raw = [memoryview(entry) for entry in message.raw_input_contents]
    del message.raw_input_contents[:]
    assert pb.ModelInferRequest.FromString(wire.encode_request(Frame(message, raw))) == whole


@QUICK
@given(st.lists(st.binary(max_size=300), max_size=4), st.text(max_size=5))
def test_a_response_goes_there_and_back(raw, text):
    encoded = wire.encode_response(Frame(pb.ModelInferResponse(id=text), raw))
    assert pb.ModelInferResponse.FromString(encoded) == pb.ModelInferResponse(id=text, raw_output_contents=raw)
    frame = wire.decode_response(encoded)
    assert (frame.message.id, [bytes(entry) for entry in frame.raw]) == (text, raw)
    assert wire.whole_response(Frame(pb.ModelInferResponse(id=text), raw)).raw_output_contents == raw


def test_the_raw_tensors_are_views_of_the_bytes_that_came():
    data = pb.ModelInferRequest(raw_input_contents=[b"abc", b"def"], id="behind").SerializeToString()
    assert [view.obj is data for view in wire.decode_request(data).raw] == [True, True]


def test_a_field_that_protobuf_does_not_know_stays_where_it_is():
    data = pb.ModelInferRequest(id="a", raw_input_contents=[b"abc"]).SerializeToString() + b"\xf8\x07\x01"
    frame = wire.decode_request(data)
    assert frame.message.SerializeToString() == b"\x1a\x01a\xf8\x07\x01"


def test_a_message_of_more_fields_than_anybody_needs_is_left_to_protobuf():
    data = b"\x3a\x00" * 5000  # raw_input_contents without a byte, which Python would take one by one
    assert wire.decode_request(data).raw == [b""] * 5000


@pytest.mark.parametrize("data", [b"\x3a\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", b"\x3a\x05ab", b"\x3a\x01a\x0b"])
def test_bytes_that_break_off_are_refused(data):
    with pytest.raises(DecodeError):
        wire.decode_request(data)
