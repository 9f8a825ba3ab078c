"""Requests whose head is no HTTP, or too much of it, on the HTTP door of either service."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import chain, repeat

import pytest
from faults.hostile import CLOSED, INFER, Ask, everywhere, head, statuses, unharmed
from harness import Pair

LIVE = "GET /v2/health/live HTTP/1.1"
MEGABYTE = b"a" * 2**20


def live(*headers: bytes) -> Callable[[], Iterable[bytes]]:
    return lambda: [head(LIVE, *headers)]


def raw(*pieces: bytes) -> Callable[[], Iterable[bytes]]:
    return lambda: pieces


def posted(*headers: bytes, body: bytes = b"{}") -> Callable[[], Iterable[bytes]]:
    return lambda: [head(f"POST {INFER} HTTP/1.1", *headers) + body]


REFUSED: dict[str, Callable[[], Iterable[bytes]]] = {
    "five thousand headers": live(*[b"X-%d: y" % index for index in range(5000)]),
    "headers without an end": lambda: chain([f"{LIVE}\r\n".encode()], repeat(b"X-Y: z\r\n" * 1000, 1000)),
    "a header of a megabyte": live(b"X-Y: " + MEGABYTE),
    "a header of megabytes without an end": lambda: chain([f"{LIVE}\r\nX-Y: ".encode()], repeat(MEGABYTE, 64)),
    "a header's name of a megabyte": live(MEGABYTE + b": y"),
    "a path of a megabyte": raw(head("GET /" + "a" * 2**20 + " HTTP/1.1")),
    "a query of a megabyte": raw(head("GET /v2?" + "a" * 2**20 + " HTTP/1.1")),
    "a method of a megabyte": raw(head("G" * 2**20 + " / HTTP/1.1")),
    "a version of a megabyte": raw(head("GET / HTTP/1." + "1" * 2**20)),
    "two lengths that differ": posted(b"Content-Length: 2", b"Content-Length: 1"),
    "one length twice": posted(b"Content-Length: 2", b"Content-Length: 2"),
    "a list of lengths": posted(b"Content-Length: 2, 2"),
    "a length beyond 64 bits": posted(b"Content-Length: 18446744073709551618"),
    "a length over the limit": posted(b"Content-Length: 1000000000000"),
    "a length below zero": posted(b"Content-Length: -1"),
    "a length with a sign": posted(b"Content-Length: +2"),
    "a length in hexadecimal": posted(b"Content-Length: 0x2"),
    "a length of text": posted(b"Content-Length: two"),
    "an empty length": posted(b"Content-Length: "),
    "a length and chunks": posted(b"Content-Length: 2", b"Transfer-Encoding: chunked", body=b"2\r\n{}\r\n0\r\n\r\n"),
    "chunks and a length": posted(b"Transfer-Encoding: chunked", b"Content-Length: 2", body=b"2\r\n{}\r\n0\r\n\r\n"),
    "chunks that are not last": posted(b"Transfer-Encoding: chunked, identity"),
    "chunks twice": posted(b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked"),
    "chunks misspelt": posted(b"Transfer-Encoding: xchunked"),
    "chunks behind a control character": posted(b"Transfer-Encoding: \x0bchunked"),
    "an unknown transfer coding": posted(b"Transfer-Encoding: gzip"),
    "a folded header": live(b"X-Y: one\r\n two"),
    "a folded length": posted(b"Content-Length:\r\n 2"),
    "a NUL in a header": live(b"X-Y: one\0two"),
    "a NUL in a header's name": live(b"X\0Y: one"),
    "a NUL in the path": raw(head("GET /v2\0/health HTTP/1.1")),
    "a space before the colon": live(b"X-Y : one"),
    "a space before the header": raw(f"{LIVE}\r\n Host: a\r\n\r\n".encode()),
    "a header without a colon": live(b"nonsense"),
    "a header without a name": live(b": nonsense"),
    "a bare CR in a header": live(b"X-Y: one\rtwo"),
    "a bare LF behind the request line": raw(LIVE.encode() + b"\nHost: a\n\n"),
    "no host": raw(f"{LIVE}\r\nConnection: close\r\n\r\n".encode()),
    "two hosts": live(b"Host: other"),
    "HTTP/0.9": raw(b"GET /v2/health/live\r\n\r\n"),
    "HTTP/9.9": raw(head("GET /v2/health/live HTTP/9.9")),
    "an HTTP/2 preface": raw(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(1000)),
    "a TLS greeting": raw(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500)),
    "an unknown method": raw(head("BREW / HTTP/1.1")),
    "CONNECT": raw(head("CONNECT example.org:443 HTTP/1.1")),
    "CONNECT to nothing": raw(head("CONNECT : HTTP/1.1")),
    "a path without a slash": raw(head("GET v2/health/live HTTP/1.1")),
    "an absolute address that is none": raw(head("GET http://[::1 HTTP/1.1")),
    "a port beyond all": raw(head("GET http://localhost:99999/v2 HTTP/1.1")),
    "an expectation that is not known": posted(b"Expect: nothing", b"Content-Length: 2"),
    "zeros": raw(bytes(2**20)),
    "0xff": raw(b"\xff" * 2**20),
    "empty lines": raw(b"\r\n" * 2**16 + b"\0"),
}

HARMLESS: dict[str, tuple[Callable[[], Iterable[bytes]], list[int]]] = {  # and the statuses, which HTTP asks for
    "an absolute address": (raw(head("GET http://elsewhere.example/v2/health/live HTTP/1.1")), [200]),
    "a path with dots": (raw(head("GET /v2/../v2/health/live HTTP/1.1")), [404]),
    "a path of slashes": (raw(head("GET //v2//health//live HTTP/1.1")), [404]),
    "a path of half an escape": (raw(head("GET /v2/%zz HTTP/1.1")), [404]),
    "an upgrade to HTTP/2": (live(b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABkAARAAAAA"), [200]),
    "an upgrade to WebSocket, and megabytes behind it": (
        lambda: chain([head(LIVE, b"Connection: upgrade", b"Upgrade: websocket")], repeat(MEGABYTE, 64)),
        [200],
    ),
    "garbage behind a good request": (raw(f"{LIVE}\r\nHost: a\r\n\r\n".encode() + b"\x00\xff" * 5000), [400]),
    "a request within a body's bytes": (
        raw(f"{LIVE}\r\nHost: a\r\nContent-Length: 4\r\n\r\n".encode() + b"GET " + head("/ HTTP/1.1")),
        [400],
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_head_that_is_no_http_is_refused(guarded: Pair, asks: list[Ask], name: str) -> None:
    with unharmed(guarded, asks):
        for answers in everywhere(guarded, REFUSED[name]):
            assert len(answers) == 1
            assert answers[0] in {400, 404, 405, 411, 413, 417, 431, 501, CLOSED}


@pytest.mark.parametrize("name", HARMLESS)
def test_an_odd_head_gets_the_answer_that_http_asks_for(guarded: Pair, asks: list[Ask], name: str) -> None:
    pieces, expected = HARMLESS[name]
    with unharmed(guarded, asks):
        assert everywhere(guarded, pieces) == [expected, expected]


def test_ten_thousand_pipelined_requests_are_answered_in_turn(guarded: Pair, asks: list[Ask]) -> None:
    """Nobody reads the answers until all is sent: the server stops reading rather than keep them."""
    request = f"{LIVE}\r\nHost: a\r\n\r\n".encode()
    with unharmed(guarded, asks):
        found = statuses(guarded.transformer.http_port, [request * 10_000 + head(LIVE)])
    assert set(found) == {200}
    assert len(found) == 10_001
