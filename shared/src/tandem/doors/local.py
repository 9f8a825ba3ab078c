"""The predictor's local socket: ModelInfer for the transformer beside it, at a fraction of what gRPC costs.

packet -> CallHead, ModelInferRequest -> the same inference as behind the gRPC door -> ReplyHead, ModelInferResponse
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import sys
from collections.abc import Awaitable, Callable, Mapping

from google.protobuf.message import DecodeError

from tandem.codec import wire
from tandem.codec.wire import Frame
from tandem.doors.packets import Packets
from tandem.doors.translation import INTERNAL, parsed
from tandem.errors import Internal, PayloadTooLarge, TandemError
from tandem.oip import handoff_pb2 as pb
from tandem.oip import inference_pb2 as oip
from tandem.timings import Timings

log = logging.getLogger("tandem.handoff")

Infer = Callable[
    [Frame[oip.ModelInferRequest], Mapping[str, str], float | None],
    Awaitable[tuple[Frame[oip.ModelInferResponse], Timings]],
]
MOST = 2**20  # bytes of a call; larger ones come over gRPC
_INTRODUCTION = 5.0  # seconds within which a connection has to show its token


class LocalDoor:
    """Listens in Linux' abstract namespace: containers of a pod share it, and nothing of it is left on a disk."""

    def __init__(self, infer: Infer, max_send: int) -> None:
        self.infer = infer
        self.max_send = max_send  # bytes of an answer
        self.name = f"tandem-{secrets.token_hex(16)}"
        self.token = secrets.token_bytes(16)
        self.connections: set[_Connection] = set()
        self._server: asyncio.Server | None = None

    @property
    def is_open(self) -> bool:
        """Whether it can be connected to."""
        return self._server is not None

    async def open(self) -> None:
        """Listen, where there are abstract sockets."""
        if sys.platform == "linux":
            loop = asyncio.get_running_loop()
            self._server = await loop.create_unix_server(lambda: _Connection(self), f"\0{self.name}")

    async def close(self, grace: float) -> None:
        """Take no more calls, and wait for the others, `grace` seconds at most."""
        if self._server:
            self._server.close()
            self._server = None
        tasks = [task for connection in self.connections for task in connection.stop()]
        if tasks:
            await asyncio.wait(tasks, timeout=grace)
        for connection in list(self.connections):
            connection.close()


class _Connection(Packets):
    """A transformer's. Its calls are cancelled when it ends."""

    def __init__(self, door: LocalDoor) -> None:
        super().__init__(MOST)
        self._door = door
        self._known = False  # has shown the token
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._patience = asyncio.get_running_loop().call_later(_INTRODUCTION, self.close)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by asyncio."""
        super().connection_made(transport)
        self._door.connections.add(self)

    def pause_writing(self) -> None:
        """Called by asyncio: who does not read its answers gets no more calls read."""
        super().pause_writing()
        if self.transport:
            self.transport.pause_reading()

    def resume_writing(self) -> None:
        """Called by asyncio."""
        super().resume_writing()
        if self.transport:
            self.transport.resume_reading()

    def received(self, head: memoryview, body: memoryview) -> None:
        """The token, then calls and cancellations."""
        if not self._known:
            self._introduce(bytes(body))
            return
        try:
            call = pb.CallHead.FromString(bytes(head))
        except DecodeError:
            self.close()
            return
        if call.cancel:
            if task := self._tasks.get(call.id):
                task.cancel()
            return
        task = asyncio.get_running_loop().create_task(self._serve(call, body))
        self._tasks[call.id] = task
        task.add_done_callback(lambda _: self._tasks.pop(call.id, None))

    def ended(self) -> None:
        """The transformer has gone: nobody waits for its calls."""
        self._patience.cancel()
        self._door.connections.discard(self)
        for task in self._tasks.values():
            task.cancel()

    def stop(self) -> list[asyncio.Task[None]]:
        """Tell the transformer to send no more; what is worked on still."""
        self.send(pb.ReplyHead().SerializeToString())
        return list(self._tasks.values())

    def _introduce(self, token: bytes) -> None:
        self._known = secrets.compare_digest(token, self._door.token)
        self._patience.cancel()
        if not self._known:
            self.close()

    def _bounded(self, answer: bytes) -> bytes:
        if len(answer) > (most := self._door.max_send):
            raise PayloadTooLarge(f"the response is larger than max {most} bytes (--max_message_bytes)")
        return answer

    async def _serve(self, call: pb.CallHead, body: memoryview) -> None:
        """Answer one call; whatever goes wrong, there is an answer, unless the caller has left."""
        reply, answer = pb.ReplyHead(id=call.id), b""
        try:
            request = parsed(body, wire.decode_request)
            timeout = call.timeout if call.HasField("timeout") else None
            frame, timings = await self._door.infer(request, dict(call.metadata), timeout)
            answer = self._bounded(wire.encode_response(frame))
            phases = reply.phases
            for name, seconds in timings.items():
                phases[name] = seconds
        except TandemError as error:
            _refuse(reply, error)
        except Exception:
            log.exception("a call failed")
            _refuse(reply, Internal(INTERNAL))
        self.send(reply.SerializeToString(), answer)


def _refuse(reply: pb.ReplyHead, error: TandemError) -> None:
    reply.status, reply.details, reply.retry_after = error.status.value[0], error.message, error.retry_after or 0
