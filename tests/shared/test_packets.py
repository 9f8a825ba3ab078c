"""Packets come out as they went in, however the bytes between are cut; what is no packet ends the connection."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tandem.doors.packets import MOST_HEAD, Packets

MOST = 300_000


class Collecting(Packets):
    def __init__(self):
        super().__init__(MOST)
        self.transport = Wire()
        self.packets = []

    def received(self, head, body):
        self.packets.append((bytes(head), bytes(body)))

    def ended(self):
        pass


class Wire:
    """What the test looks at instead of a socket."""

    def __init__(self):
        self.sent, self.closed = b"", False

    def write(self, data):
        self.sent += data

    def writelines(self, parts):
        self.sent += b"".join(parts)

    def close(self):
        self.closed = True


def sent(packets):
    sender = Collecting()
    for head, body in packets:
        sender.send(head, body)
    return sender.transport.sent


@given(st.lists(st.tuples(st.binary(max_size=40), st.binary(max_size=400)), max_size=6), st.data())
def test_any_cuts_give_the_same_packets(packets, data):
    stream = sent(packets)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    receiver = Collecting()
    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        receiver.data_received(stream[start:end])
    assert receiver.packets == packets
    assert not receiver.transport.closed


def test_a_large_body_arrives_in_pieces():
    packets = [(b"head", bytes(range(256)) * 1000), (b"", b""), (b"x", b"")]
    stream, receiver = sent(packets), Collecting()
    for start in range(0, len(stream), 1000):
        receiver.data_received(stream[start : start + 1000])
    assert receiver.packets == packets


@pytest.mark.parametrize("lengths", [(MOST + 1, 0), (10, 11), (MOST, MOST_HEAD + 1), (2**32 - 1, 2**32 - 1)])
def test_lengths_that_no_packet_has_end_the_connection(lengths):
    receiver = Collecting()
    receiver.data_received(sent([(b"good", b"one")]) + struct.pack("<II", *lengths) + b"rest")
    assert receiver.packets == [(b"good", b"one")]
    assert receiver.transport.closed
