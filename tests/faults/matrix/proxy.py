"""A TCP proxy on the loopback that can reset its connections, and hold large answers back."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading

LARGE = 4096  # bytes that come at once; gRPC's own frames are smaller
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER of no time: the connection ends with RST


class Proxy:
    """Stands in front of `target`, a port. Everything happens on the event loop of a thread of its own."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._loop = asyncio.new_event_loop()
        self._writers: set[asyncio.StreamWriter] = set()
        self._pumps: set[asyncio.Task[None]] = set()
        self._passing = asyncio.Event()
        self._passing.set()
        self.held = threading.Event()  # a large answer is
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self._server = self._do(asyncio.start_server(self._connected, "127.0.0.1", 0))
        self.port: int = self._server.sockets[0].getsockname()[1]

    def hold(self) -> None:
        """Hold back the next large answer, and what comes behind it."""
        self.held.clear()
        self._loop.call_soon_threadsafe(self._passing.clear)

    def release(self) -> None:
        self._loop.call_soon_threadsafe(self._passing.set)

    def reset(self) -> None:
        """End every connection with RST, to both sides."""
        self._do(self._reset())

    def close(self) -> None:
        self._do(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _do(self, work):
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            other_reader, other_writer = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            writer.transport.abort()
            return
        self._writers |= {writer, other_writer}
        for pump in (self._pump(reader, other_writer, LARGE**2), self._pump(other_reader, writer, LARGE)):
            task = asyncio.ensure_future(pump)
            self._pumps.add(task)
            task.add_done_callback(self._pumps.discard)

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, large: int) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(2**16):
                if len(data) >= large and not self._passing.is_set():
                    self.held.set()
                    await self._passing.wait()
                writer.write(data)
                await writer.drain()
        self._writers.discard(writer)
        writer.close()

    async def _reset(self) -> None:
        for writer in list(self._writers):
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            writer.transport.abort()
        self._writers.clear()
        await self._ended()

    async def _close(self) -> None:
        self._server.close()
        for writer in list(self._writers):
            writer.transport.abort()
        await self._ended()

    async def _ended(self) -> None:
        """Until no pump is left; those of closed connections read their end."""
        self._passing.set()
        if self._pumps:
            await asyncio.wait(self._pumps)
