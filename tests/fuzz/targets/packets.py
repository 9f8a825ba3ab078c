"""The pair's local socket, its bytes cut anywhere: the same packets, and on both sides answers or the end, no faults.

The first four bytes say where the others are cut.
"""

from __future__ import annotations

import asyncio
import atexit
import functools
import random
import struct

from tandem.codec import message as codec
from tandem.codec.wire import Frame
from tandem.deadline import Deadline
from tandem.doors import local as door
from tandem.doors.packets import Packets
from tandem.errors import InvalidInput, TandemError
from tandem.inference import InferResponse
from tandem.oip import handoff_pb2 as pb
from tandem.oip import inference_pb2 as oip
from tandem.timings import Timings, is_duration
from tandem_transformer.hop.local import Connection

from fuzz.invariants import outcome

MOST = 4096  # bytes of a packet
CALLS = 3  # that wait for answers


class Wire:
    """What stands for the socket. A closed one brings no more, as with asyncio's own."""

    def __init__(self) -> None:
        self.sent, self.closed = b"", False

    def set_write_buffer_limits(self, high: int) -> None:
        assert high > 0

    def write(self, data: bytes) -> None:
        self.sent += data

    def writelines(self, parts) -> None:
        self.sent += b"".join(parts)

    def close(self) -> None:
        self.closed = True


class Collecting(Packets):
    def __init__(self) -> None:
        super().__init__(MOST)
        self.packets: list[tuple[bytes, bytes]] = []

    def received(self, head, body) -> None:
        self.packets.append((bytes(head), bytes(body)))

    def ended(self) -> None:
        pass


def check(data: bytes) -> bool:
    cuts, stream = _cuts(data[:4], data[4:]), data[4:]
    step = 1 + len(stream) // 500  # byte by byte, if they are few
    readers = [
        (Collecting(), [stream]),
        (Collecting(), cuts),
        (Collecting(), [stream[i : i + step] for i in range(0, len(stream), step)]),
    ]
    wires = [_fed(reader, parts) for reader, parts in readers]
    first = readers[0][0]
    assert all(reader.packets == first.packets for reader, _ in readers)
    assert len({wire.closed for wire in wires}) == 1
    again = _fed(sender := Collecting(), [])
    for packet in first.packets:
        sender.send(*packet)
    assert stream.startswith(again.sent)
    _runner().run(_both_sides(cuts))
    return bool(first.packets)


@functools.cache
def _runner() -> asyncio.Runner:
    """One loop for all inputs: to make one for each would take most of the time."""
    runner = asyncio.Runner()
    atexit.register(runner.close)
    return runner


def _cuts(seed: bytes, stream: bytes) -> list[bytes]:
    chance = random.Random(seed)
    at = sorted(chance.randrange(len(stream) + 1) for _ in range(chance.randrange(6)))
    return [stream[start:end] for start, end in zip([0, *at], [*at, len(stream)], strict=True)]


def _fed(reader: Packets, parts) -> Wire:
    wire = Wire()
    reader.connection_made(wire)  # type: ignore[arg-type]
    for part in parts:
        if part and not wire.closed:
            reader.data_received(part)
    return wire


async def _both_sides(parts: list[bytes]) -> None:
    await _predictor(parts)
    await _transformer(parts)


async def _predictor(parts: list[bytes]) -> None:
    """Each call gets one answer, which is a refusal at the worst."""
    local = door.LocalDoor(_echo, MOST)
    sender = Collecting()
    introduction = _fed(sender, [])
    sender.send(b"", local.token)
    connection = door._Connection(local)
    wire = _fed(connection, [introduction.sent, *parts])
    await asyncio.gather(*connection.stop(), return_exceptions=True)
    _fed(answers := Collecting(), [wire.sent])
    for head, _ in answers.packets:
        reply = pb.ReplyHead.FromString(head)
        assert not reply.status or reply.status == InvalidInput.status.value[0], reply.details
    connection.connection_lost(None)


async def _echo(
    frame: Frame[oip.ModelInferRequest], metadata, seconds
) -> tuple[Frame[oip.ModelInferResponse], Timings]:
    request = codec.decode_request(frame)
    return codec.encode_response(InferResponse("m", "1", request.inputs, request.id), raw=request.raw), Timings()


async def _transformer(parts: list[bytes]) -> None:
    """No call waits once the connection is over."""
    connection = Connection(MOST)
    _fed(connection, [])
    calls = [asyncio.ensure_future(connection.call(b"", {}, Deadline())) for _ in range(CALLS)]
    await asyncio.sleep(0)
    wire = connection.transport
    for part in parts:
        if part and not wire.closed:  # type: ignore[union-attr]
            connection.data_received(part)
    connection.connection_lost(None)
    done, waiting = await asyncio.wait(calls, timeout=5)
    assert not waiting
    for call in done:
        outcome(_ended, call)


def _ended(call) -> None:
    """Raises what no call may end in."""
    error = call.exception()
    if not error:
        assert all(is_duration(seconds) for seconds in call.result()[1].values())
    if error and not isinstance(error, TandemError) and type(error).__name__ != "Refused":
        raise error


def _packet(head: bytes, body: bytes = b"") -> bytes:
    return struct.pack("<II", len(head) + len(body), len(head)) + head + body


def _reply(**fields) -> bytes:
    return pb.ReplyHead(**fields).SerializeToString()


def _call(**fields) -> bytes:
    return pb.CallHead(**fields).SerializeToString()


_ANSWER = oip.ModelInferResponse(model_name="m", raw_output_contents=[b"a"]).SerializeToString()
_TENSOR = oip.ModelInferRequest.InferInputTensor(name="x", datatype="INT8", shape=[1])
_REQUEST = oip.ModelInferRequest(inputs=[_TENSOR], raw_input_contents=[b"a"]).SerializeToString()
SEEDS = {
    "calls": b"cuts"
    + _packet(_call(id=1, timeout=1.5, metadata={"a": "b"}), _REQUEST)
    + _packet(_call(id=1, cancel=True)),
    "answers": b"seed"
    + _packet(_reply(id=1, phases={"queue": 1.0}), _ANSWER)
    + _packet(_reply(id=2, status=3, details="no")),
    "goodbye": b"1234" + _packet(_reply()) + _packet(b"", b"body"),
    "lengths that no packet has": b"abcd" + _packet(b"good", b"one") + struct.pack("<II", MOST + 1, 0) + b"rest",
    "not all": b"zzzz" + _packet(b"a") + _packet(b"b", b"c")[:-1],
}
FOUND = {
    "an answer whose head is no message": b"abcd" + _packet(b"\x0a"),
    "a phase that took no number": b"abcd" + _packet(_reply(id=1, phases={"queue": float("nan")}), _ANSWER),
    "an answer that is no message": b"abcd" + _packet(_reply(id=1), b"\x0a"),
}
WORDS = (b"\x08\x01", b"\x08\x02", b"\x20\x01", b"\x10\x03", b"\0\0\0\0", b"\1\0\0\0", b"\2\0\0\0", b"\xff\xff\xff\xff")
