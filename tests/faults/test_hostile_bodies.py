"""Bodies that are other than they say, on the HTTP door of either service: compressed, in chunks, or never there."""

from __future__ import annotations

import gzip
import json
import selectors
import socket
import time
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from itertools import chain, repeat

import pytest
from faults.hostile import (
    CLOSED,
    IMAGE,
    INFER,
    MOST,
    PATIENCE,
    Ask,
    everywhere,
    found_in,
    head,
    post,
    read_all,
    statuses,
    unharmed,
)
from harness import Pair

GIGABYTE = 2**30
CHUNKED = b"Transfer-Encoding: chunked\r\nX-Request-Timeout-Ms: 700"
TENSOR = {"name": "image", "shape": [1, 8, 8], "datatype": "FP32", "data": IMAGE.ravel().tolist()}
GOOD = json.dumps({"inputs": [TENSOR]}).encode()
CROWD = 200  # connections of a slow attacker


def zeros(header: bytes, wbits: int = -15) -> bytes:
    """A gigabyte of zeros in a megabyte: one mebibyte, compressed so that it can be repeated."""
    packer = zlib.compressobj(9, wbits=wbits)
    block = packer.compress(bytes(2**20)) + packer.flush(zlib.Z_FULL_FLUSH)
    return header + block * (GIGABYTE // 2**20) + b"\x03\x00"


GZIP = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
NAMED = b"\x1f\x8b\x08\x08\x00\x00\x00\x00\x00\xff"  # a gzip header with a file's name behind it
CODED: dict[str, tuple[str, Callable[[], bytes]]] = {  # Content-Encoding, body
    "a gigabyte of zeros in gzip": ("gzip", lambda: zeros(GZIP)),
    "a gigabyte of zeros in deflate": ("deflate", lambda: zeros(b"\x78\x9c")),
    "a gigabyte of zeros in bare deflate": ("deflate", lambda: zeros(b"")),
    "a gigabyte of zeros in gzip in gzip": ("gzip", lambda: gzip.compress(zeros(GZIP))),
    "gzip in gzip": ("gzip, gzip", lambda: gzip.compress(zeros(GZIP))),
    "gzip a hundred times": (", ".join(["gzip"] * 100), lambda: gzip.compress(GOOD)),
    "gzip a thousand times": (", ".join(["gzip"] * 1000), lambda: gzip.compress(GOOD)),
    "a list of nothing": (",,,,", lambda: GOOD),
    "empty members by the ten thousand": ("gzip", lambda: gzip.compress(b"", mtime=0) * 50_000),
    "a name of megabytes in its header": ("gzip", lambda: NAMED + b"n" * (MOST - 100)),
    "half a header": ("gzip", lambda: GZIP[:5]),
    "half a body": ("gzip", lambda: gzip.compress(GOOD)[:-20]),
    "a wrong checksum": ("gzip", lambda: gzip.compress(GOOD)[:-8] + bytes(8)),
    "more behind its end": ("gzip", lambda: gzip.compress(GOOD) + b"x" * 100_000),
    "no gzip": ("gzip", lambda: GOOD),
    "no deflate": ("deflate", lambda: b"\xff" * 1000),
    "gzip with a dictionary": ("deflate", lambda: b"\x78\xbb\0\0\0\1" + b"\0" * 1000),
}


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


def chunks(*pieces: bytes) -> Callable[[], Iterable[bytes]]:
    return lambda: chain([head(f"POST {INFER} HTTP/1.1", CHUNKED)], pieces)


def endless(piece: bytes) -> Callable[[], Iterable[bytes]]:
    """Up to 64 times the limit."""
    return lambda: chain([head(f"POST {INFER} HTTP/1.1", CHUNKED)], repeat(piece, 64 * MOST // len(piece)))


CHUNKS: dict[str, Callable[[], Iterable[bytes]]] = {
    "a hundred thousand chunks of a byte": chunks(chunk(b"x") * 100_000, chunk(b"")),
    "a hundred thousand chunks of two bytes": chunks(*[chunk(b"ab") * 1000] * 100, chunk(b"")),
    "chunks without an end": endless(chunk(bytes(2**16))),
    "chunks of a byte without an end": endless(chunk(b"x") * 20_000),
    "a chunk of 2**64 - 1": chunks(b"ffffffffffffffff\r\n" + bytes(100)),
    "a chunk of 2**64": chunks(b"10000000000000000\r\n" + bytes(100)),
    "a chunk of a size of a megabyte": chunks(b"0" * 2**20 + b"1\r\n"),
    "a chunk of less than nothing": chunks(b"-1\r\n\r\n"),
    "a size with a prefix": chunks(b"0x5\r\nhello\r\n0\r\n\r\n"),
    "a size with white space before it": chunks(b" 5\r\nhello\r\n0\r\n\r\n"),
    "no size": chunks(b"\r\nhello\r\n0\r\n\r\n"),
    "a chunk longer than it says": chunks(b"3\r\nhello\r\n0\r\n\r\n"),
    "a chunk shorter than it says": chunks(b"6\r\nhello\r\n0\r\n\r\n"),
    "lines that end in LF": chunks(b"5\nhello\n0\n\n"),
    "an extension with a NUL": chunks(b"5;a=\0\r\nhello\r\n0\r\n\r\n"),
    "a thousand trailers": chunks(chunk(GOOD) + b"0\r\n" + b"a: b\r\n" * 5000 + b"\r\n"),
    "a trailer of a megabyte": chunks(chunk(GOOD) + b"0\r\na: " + b"b" * 2**20 + b"\r\n\r\n"),
}


@pytest.mark.parametrize("name", CODED)
def test_a_body_that_is_not_what_its_coding_says_is_refused(guarded: Pair, asks: list[Ask], name: str) -> None:
    coding, body = CODED[name]
    request = post(INFER, body(), f"Content-Encoding: {coding}".encode())
    with unharmed(guarded, asks):
        for (status,) in everywhere(guarded, lambda: request):
            assert status in {400, 413, 415}


@pytest.mark.parametrize("name", CHUNKS)
def test_chunks_that_are_not_as_they_say_are_refused(guarded: Pair, asks: list[Ask], name: str) -> None:
    with unharmed(guarded, asks):
        for (status,) in everywhere(guarded, CHUNKS[name]):
            assert status in {400, 413, 431, 504, CLOSED}


def test_a_good_body_in_chunks_of_a_byte_is_taken(guarded: Pair, asks: list[Ask]) -> None:
    body = b"".join(chunk(GOOD[index : index + 1]) for index in range(len(GOOD)))
    with unharmed(guarded, asks):
        assert statuses(guarded.transformer.http_port, chunks(body, chunk(b""))()) == [200]


def test_a_chunk_extension_of_megabytes_is_read_past_and_not_kept(guarded: Pair, asks: list[Ask]) -> None:
    pieces = b"%x;a=" % len(GOOD), *repeat(b"x" * 2**20, 64), b"\r\n" + GOOD + b"\r\n0\r\n\r\n"
    with unharmed(guarded, asks):
        assert everywhere(guarded, chunks(*pieces)) == [[200], [200]]


def connected(port: int, sent: bytes) -> Iterator[socket.socket]:
    for _ in range(CROWD // 2):
        connection = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
        connection.sendall(sent)
        yield connection


def test_connections_whose_body_never_comes_are_told_at_the_deadline(guarded: Pair, asks: list[Ask]) -> None:
    lengths = b"Content-Length: 1000000\r\n\r\n", b"Transfer-Encoding: chunked\r\n\r\nfffff\r\n"
    begun = [head(f"POST {INFER} HTTP/1.1")[:-2] + length + b'{"inputs"' for length in lengths]
    with unharmed(guarded, asks), ExitStack() as stack:
        port = guarded.transformer.http_port
        slow = [stack.enter_context(connection) for sent in begun for connection in connected(port, sent)]
        assert len(slow) == CROWD
        for connection in slow:
            assert found_in(read_all(connection)) == [504]


def test_headers_that_come_byte_by_byte_keep_nobody_from_his_answer(guarded: Pair, asks: list[Ask]) -> None:
    port, trickle = guarded.transformer.http_port, head(f"POST {INFER} HTTP/1.1", b"X-Slow: " + b"s" * 10_000)
    with unharmed(guarded, asks), ExitStack() as stack, selectors.DefaultSelector() as closed:
        slow = [stack.enter_context(connection) for connection in (*connected(port, b"P"), *connected(port, b"PO"))]
        for connection in slow:  # none of them is closed
            closed.register(connection, selectors.EVENT_READ)
        end, sent = time.monotonic() + 1, 2
        while time.monotonic() < end and not closed.select(0.01):  # the server has said nothing, nor gone
            for connection in slow[CROWD // 2 :]:
                connection.sendall(trickle[sent : sent + 1])
            sent += 1
        assert 10 < sent < 1000
