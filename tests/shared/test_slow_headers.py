"""A header that does not come to its end within the time of an idle connection closes it."""

import asyncio
import time

import pytest
from aiohttp import web
from tandem.doors.grpc_server import Listen
from tandem.doors.rest import server

MOST = 0.3  # seconds, in place of 75


@pytest.mark.parametrize("before", [b"", b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"], ids=["first", "second"])
async def test_a_header_that_comes_byte_by_byte_is_cut_off(monkeypatch, before):
    monkeypatch.setattr(server, "KEEPALIVE_SECONDS", MOST)
    http = server.HttpServer(web.Application(), 1.0, max_header_bytes=16_384, max_connections=100)
    reader, writer = await asyncio.open_connection("127.0.0.1", await http.start(Listen("127.0.0.1", 0)))
    try:
        writer.write(before)
        if before:
            await reader.readuntil(b"\r\n\r\n")
        begun = time.monotonic()
        for byte in b"GET / HTTP/1.1\r\nX-Slow: " + b"s" * 1000:
            writer.write(bytes([byte]))
            try:
                if not await asyncio.wait_for(reader.read(1000), 0.02):
                    break
            except TimeoutError:
                continue
            except ConnectionError:
                break
        assert MOST * 0.9 < time.monotonic() - begun < MOST * 10
    finally:
        writer.close()
        await http.stop()
