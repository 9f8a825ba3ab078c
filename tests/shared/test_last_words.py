"""A stopping HTTP server answers what was on its way over a connection that it would close as idle."""

import asyncio

import pytest
from aiohttp import web
from tandem.doors.grpc_server import Listen
from tandem.doors.rest import server

ASK = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


async def hello(_: web.Request) -> web.Response:
    return web.Response(text="hello")


@pytest.mark.parametrize("before", [b"", ASK], ids=["a new connection", "an idle one"])
async def test_a_request_on_its_way_when_the_server_stops_is_answered(monkeypatch, before):
    monkeypatch.setattr(server, "_LAST_WORDS", 5.0)  # longer than any pause of a busy machine
    application = web.Application()
    application.router.add_get("/", hello)
    http = server.HttpServer(application, 1.0, max_header_bytes=16_384, max_connections=100)
    port = await http.start(Listen("127.0.0.1", 0))
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(before)
    if before:
        assert (await reader.readuntil(b"hello")).startswith(b"HTTP/1.1 200")
    stopping = asyncio.create_task(http.stop())
    await asyncio.sleep(0)  # it has closed the port
    writer.write(ASK)
    assert (await reader.readuntil(b"hello")).startswith(b"HTTP/1.1 200")
    stopping.cancel()
    monkeypatch.undo()
    await http.stop()
    assert await reader.read() == b""
    writer.close()
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", port)
