"""Frames made to hurt, on the gRPC port of either service: HTTP/2 written by hand, by the rules and against them."""

from __future__ import annotations

import socket
import struct
import zlib
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import chain, repeat

import pytest
from faults.hostile import GROWTH, PATIENCE, Ask, unharmed
from h2.connection import H2Connection
from h2.events import ConnectionTerminated, ResponseReceived, StreamEnded, StreamReset, TrailersReceived
from h2.exceptions import ProtocolError
from harness import Pair
from hpack import Encoder
from hyperframe.frame import (
    ContinuationFrame,
    DataFrame,
    Frame,
    HeadersFrame,
    PingFrame,
    PriorityFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + SettingsFrame(0).serialize()
PATH = "/inference.GRPCInferenceService/ModelInfer"
HEADERS = [
    (":method", "POST"),
    (":scheme", "http"),
    (":path", PATH),
    (":authority", "localhost"),
    ("content-type", "application/grpc"),
    ("te", "trailers"),
]
CLOSED, RESET = "closed", "reset"
INVALID, EXHAUSTED, UNIMPLEMENTED, INTERNAL = "3", "8", "12", "13"
FLOOD = 20_000  # frames


def packed(*more: tuple[str, str]) -> bytes:
    """Headers that need no table."""
    encoder = Encoder()
    encoder.header_table_size = 0
    return encoder.encode([*HEADERS, *more])


def opened(stream: int, block: bytes, *flags: str) -> bytes:
    frame = HeadersFrame(stream, block)
    frame.flags = set(flags)  # type: ignore[assignment]
    return frame.serialize()


def frames(made: Iterable[Frame], at_once: int = 500) -> Iterator[bytes]:
    """The frames as bytes, some hundred in a piece."""
    piece: list[bytes] = []
    for frame in made:
        piece.append(frame.serialize())
        if len(piece) == at_once:
            yield b"".join(piece)
            piece = []
    yield b"".join(piece)


def resets() -> Iterator[bytes]:
    """Streams that are opened and given up at once. CVE-2023-44487."""
    block = packed()
    for start in range(1, 2 * FLOOD, 1000):
        streams = range(start, start + 1000, 2)
        yield b"".join(
            opened(stream, block, "END_HEADERS") + RstStreamFrame(stream, error_code=8).serialize()
            for stream in streams
        )


def abandoned() -> Iterator[bytes]:
    """Streams that are opened and never go on."""
    block = packed()
    for start in range(1, 2 * FLOOD, 1000):
        yield b"".join(opened(stream, block, "END_HEADERS") for stream in range(start, start + 1000, 2))


def continuations() -> Iterator[bytes]:
    """A header that never ends. CVE-2024-27316."""
    yield opened(1, packed())
    block = b"".join(b"\x00\x03x-%c\x7f\x81\x7e%s" % (65 + letter, b"v" * 382) for letter in range(26))
    yield from repeat(ContinuationFrame(1, block).serialize(), FLOOD // 4)


def settings() -> Iterator[Frame]:
    for number in range(FLOOD):
        yield SettingsFrame(0, settings={4: 65_535 + number % 2, 1: 4096 * (number % 2)})


def empty_data() -> Iterator[bytes]:
    yield opened(1, packed(), "END_HEADERS")
    yield from frames(DataFrame(1) for _ in range(FLOOD))


FLOODS: dict[str, Callable[[], Iterable[bytes]]] = {
    "streams that are reset at once": resets,
    "streams that never go on": abandoned,
    "headers that never end": continuations,
    "settings": lambda: frames(settings()),
    "pings": lambda: frames(PingFrame(0, b"12345678") for _ in range(FLOOD)),
    "priorities": lambda: frames(PriorityFrame(stream, depends_on=0) for stream in range(1, FLOOD, 2)),
    "windows that grow": lambda: frames(WindowUpdateFrame(0, window_increment=1) for _ in range(FLOOD)),
    "empty data": empty_data,
    "frames of unknown kinds": lambda: repeat(b"\x00\x40\x00\xfa\x00\x00\x00\x00\x00" + bytes(2**14), 2000),
}

BROKEN: dict[str, Callable[[], Iterable[bytes]]] = {  # behind the preface
    "a frame of 16 megabytes": lambda: [b"\xff\xff\xff\x00\x00\x00\x00\x00\x01"],
    "settings of seven bytes": lambda: [b"\x00\x00\x07\x04\x00\x00\x00\x00\x00" + bytes(7)],
    "settings of a stream": lambda: [b"\x00\x00\x06\x04\x00\x00\x00\x00\x01" + bytes(6)],
    "a ping of seven bytes": lambda: [b"\x00\x00\x07\x06\x00\x00\x00\x00\x00" + bytes(7)],
    "a window that overflows": lambda: [WindowUpdateFrame(0, window_increment=2**31 - 1).serialize() * 2],
    "data of no stream": lambda: [b"\x00\x00\x04\x00\x00\x00\x00\x00\x00data"],
    "a header that no table holds": lambda: [opened(1, b"\xff\xff\xff\xff\x7f", "END_HEADERS")],
    "a table of 2**32": lambda: [opened(1, b"\x3f\xff\xff\xff\xff\x0f", "END_HEADERS")],
    "a header's length of 2**35": lambda: [opened(1, b"\x00\x7f\xff\xff\xff\xff\x7f", "END_HEADERS")],
    "a continuation of nothing": lambda: [ContinuationFrame(1, packed()).serialize()],
    "a stream of an even number": lambda: [opened(2, packed(), "END_HEADERS")],
    "text": lambda: [b"GET / HTTP/1.1\r\nHost: a\r\n\r\n" * 100],
}


def bomb() -> bytes:
    """A gigabyte of zeros, gzipped, as it stands behind a message's prefix."""
    packer = zlib.compressobj(9, wbits=-15)
    block = packer.compress(bytes(2**20)) + packer.flush(zlib.Z_FULL_FLUSH)
    return b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff" + block * 1024 + b"\x03\x00" + bytes(8)


def prefixed(data: bytes, length: int | None = None, compressed: int = 0) -> bytes:
    return struct.pack(">BI", compressed, len(data) if length is None else length) + data


GZIP = ("grpc-encoding", "gzip")
LIES: dict[str, tuple[Callable[[], bytes], tuple[tuple[str, str], ...], set[str]]] = {  # data, headers, statuses
    "4 GB": (lambda: prefixed(b"x" * 100, 2**32 - 1), (), {EXHAUSTED, RESET}),
    "2 GB": (lambda: prefixed(b"x" * 100, 2**31), (), {EXHAUSTED, RESET}),
    "one byte less than there is": (lambda: prefixed(b"x" * 100, 99), (), {INTERNAL, INVALID, RESET}),
    "compressed by nothing": (lambda: prefixed(b"x" * 100, compressed=1), (), {INTERNAL, INVALID, RESET}),
    "compressed seven times": (lambda: prefixed(b"x" * 100, compressed=7), (GZIP,), {INTERNAL, INVALID, RESET}),
    "compressed, and is not": (lambda: prefixed(b"x" * 100, compressed=1), (GZIP,), {INTERNAL, INVALID, RESET}),
    "compressed by nobody knows what": (
        lambda: prefixed(b"x" * 100, compressed=1),
        (("grpc-encoding", "nonsense"),),
        {UNIMPLEMENTED, INTERNAL, RESET},
    ),
    "two messages": (lambda: prefixed(b"") * 2, (), {INTERNAL, INVALID, UNIMPLEMENTED, RESET}),
    "ten thousand messages": (lambda: prefixed(b"") * 10_000, (), {INTERNAL, INVALID, UNIMPLEMENTED, RESET}),
}


def answered(port: int, pieces: Iterable[bytes]) -> None:
    """Send all; then the server must answer a ping, or have closed the connection. Raises TimeoutError otherwise."""
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as connection:
        with suppress(BrokenPipeError, ConnectionResetError):
            for piece in chain([PREFACE], pieces, [PingFrame(0, b"the last").serialize()]):
                connection.sendall(piece)
        kept = b""
        with suppress(ConnectionResetError):
            while b"the last" not in kept and (read := connection.recv(65536)):
                kept = kept[-8:] + read


def called(port: int, data: bytes, headers: tuple[tuple[str, str], ...], patience: float = PATIENCE) -> str:
    """How a call with this body ends: its gRPC status, RESET, or CLOSED."""
    client = H2Connection()
    client.initiate_connection()
    client.send_headers(1, [*HEADERS, *headers])
    with socket.create_connection(("127.0.0.1", port), timeout=patience) as connection, suppress(ConnectionError):
        left: bytes | None = data
        while True:
            if left is not None:
                part, left = left[: _room(client)], left[_room(client) :]
                client.send_data(1, part, end_stream=not left)
                left = left or None
            connection.sendall(client.data_to_send())
            if not (read := connection.recv(65536)):
                return CLOSED
            try:
                events = client.receive_data(read)
            except ProtocolError:
                return CLOSED
            for event in events:
                if isinstance(event, (ResponseReceived, TrailersReceived)):
                    status = dict(event.headers or []).get(b"grpc-status")
                    if status is not None:
                        return str(status.decode())
                if isinstance(event, (StreamReset, StreamEnded, ConnectionTerminated)):
                    return RESET
    return CLOSED


def _room(client: H2Connection) -> int:
    return min(client.local_flow_control_window(1), client.max_outbound_frame_size)


def both(pair: Pair, work: Callable[[int], str | None]) -> list[str | None]:
    """What `work` gives for the gRPC port of either service, at the same time."""
    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(work, [pair.transformer.grpc_port, pair.predictor.grpc_port]))


@pytest.mark.parametrize("name", FLOODS)
def test_a_flood_of_frames_drowns_nobody(guarded: Pair, asks: list[Ask], name: str) -> None:
    with unharmed(guarded, asks):
        both(guarded, lambda port: answered(port, FLOODS[name]()))


@pytest.mark.parametrize("name", BROKEN)
def test_frames_against_the_rules_end_their_connection_only(guarded: Pair, asks: list[Ask], name: str) -> None:
    with unharmed(guarded, asks):
        both(guarded, lambda port: answered(port, BROKEN[name]()))


@pytest.mark.xfail(
    strict=True, raises=TimeoutError, reason="grpc.aio leaves a call whose message never came whole without an answer"
)
@pytest.mark.parametrize("data", [b"", b"\0\0\0", prefixed(b"x" * 100, 101)], ids=["no", "half a prefix", "half"])
def test_a_call_that_ends_before_its_message_is_told(guarded: Pair, asks: list[Ask], data: bytes) -> None:
    with unharmed(guarded, asks):
        assert set(both(guarded, lambda port: called(port, data, (), patience=1.5))) <= {INTERNAL, INVALID, RESET}


@pytest.mark.parametrize("name", LIES)
def test_a_message_whose_prefix_lies_is_refused(guarded: Pair, asks: list[Ask], name: str) -> None:
    data, headers, expected = LIES[name]
    with unharmed(guarded, asks):
        assert set(both(guarded, lambda port: called(port, data(), headers))) <= expected


def test_a_gigabyte_in_a_compressed_message_is_refused(guarded: Pair, asks: list[Ask]) -> None:
    assert len(bomb()) < GROWTH
    with unharmed(guarded, asks):
        statuses = both(guarded, lambda port: called(port, prefixed(bomb(), compressed=1), (GZIP,)))
    assert set(statuses) <= {EXHAUSTED, INVALID, RESET}
