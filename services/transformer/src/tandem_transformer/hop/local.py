"""The transformer's side of the local socket: small calls to the predictor beside it, at a fraction of what gRPC costs.

bytes of a ModelInferRequest -> packet -> the predictor -> packet -> its answer, or the TandemError for its status

Whoever has no connection, because the predictor is elsewhere or foreign or about to stop, calls over gRPC.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Mapping

import grpc
from google.protobuf.message import DecodeError
from tandem.codec import wire
from tandem.codec.wire import Frame
from tandem.deadline import Deadline
from tandem.doors.packets import Packets
from tandem.errors import DeadlineExceeded, PayloadTooLarge, TandemError, Unavailable
from tandem.oip import handoff_pb2 as pb
from tandem.oip import handoff_pb2_grpc as pb_grpc
from tandem.oip import inference_pb2 as oip
from tandem.timings import PHASES, is_duration

log = logging.getLogger("tandem.handoff")

Answer = tuple[Frame[oip.ModelInferResponse], Mapping[str, float]]  # and the predictor's phases, in seconds
MOST = 64 * 1024  # bytes of a call; larger ones go over gRPC, which lets others pass
AGAIN = 30.0  # seconds until a predictor without a socket for us is asked again
SOON = 0.25  # seconds until one that was lost is


class Refused(Exception):
    """The predictor answered with a status other than OK."""

    def __init__(self, head: pb.ReplyHead) -> None:
        super().__init__(head.details)
        self.head = head


class LocalSocket:
    """Keeps one connection for as long as there is a predictor to connect to. Lives on the event loop."""

    def __init__(self, channel: grpc.aio.Channel, most: int) -> None:
        self._channel = channel
        self._stub = pb_grpc.HandoffStub(channel)
        self._most = most  # bytes of an answer
        self._connection: Connection | None = None

    @property
    def connection(self) -> Connection | None:
        """The connection, while the predictor takes calls on it."""
        found = self._connection
        return found if found and found.usable and not found.slow else None

    async def keep(self) -> None:
        """Be connected, again whenever the predictor is another, until cancelled."""
        while True:
            await self._channel.channel_ready()
            try:
                found = await self._stub.Locate(pb.LocateRequest(), timeout=5)
                self._connection = await connect(found.socket, found.token, self._most)
            except grpc.aio.AioRpcError as error:
                pause = SOON if error.code() is grpc.StatusCode.UNAVAILABLE else AGAIN
            except OSError as error:
                log.info("no local socket to the predictor: all calls go over gRPC", extra={"reason": str(error)})
                pause = AGAIN
            else:
                log.info("small calls go over a local socket")
                await self._hold(self._connection)
                pause = SOON
            await asyncio.sleep(pause)

    async def _hold(self, connection: Connection) -> None:
        try:
            await connection.over.wait()
        finally:
            self._connection = None
            connection.close()


async def connect(name: str, token: bytes, most: int) -> Connection:
    """A connection to the abstract socket `name`; raises OSError."""
    plain = socket.socket(socket.AF_UNIX)
    try:
        plain.setblocking(False)
        plain.connect(f"\0{name}")  # at once or not at all
        _, connection = await asyncio.get_running_loop().create_unix_connection(lambda: Connection(most), sock=plain)
    except BaseException:
        plain.close()
        raise
    connection.send(b"", token)
    return connection


class Connection(Packets):
    """Calls in any number at the same time; answers come in any order."""

    def __init__(self, most: int) -> None:
        super().__init__(2**32)  # the predictor is trusted with the length; an answer of over `most` fails its call
        self._bound = most
        self.usable = True  # until the predictor is about to stop, or gone
        self.over = asyncio.Event()
        self._calls: dict[int, asyncio.Future[Answer]] = {}
        self._last = 0

    async def call(self, body: bytes, metadata: Mapping[str, str], deadline: Deadline) -> Answer:
        """The predictor's answer; raises Refused, DeadlineExceeded, or Unavailable if the connection is lost."""
        loop = asyncio.get_running_loop()
        self._last = number = self._last + 1
        future: asyncio.Future[Answer] = loop.create_future()
        self._calls[number] = future
        left = deadline.remaining
        self.send(pb.CallHead(id=number, timeout=left, metadata=metadata).SerializeToString(), body)
        timer = loop.call_later(left, _expire, future) if left is not None else None
        try:
            return await future
        finally:
            if timer:
                timer.cancel()
            if self._calls.pop(number, None):  # there was no answer, and there is nobody for it any more
                self.send(pb.CallHead(id=number, cancel=True).SerializeToString())

    def received(self, head: memoryview, body: memoryview) -> None:
        """An answer, or that there will be no more; what is neither ends the connection, and with it every call."""
        try:
            reply = pb.ReplyHead.FromString(bytes(head))
            if not reply.id:
                self.usable = False
            elif future := self._calls.get(reply.id):
                if not future.done():
                    self._settle(future, reply, body)
                del self._calls[reply.id]
        except DecodeError:
            log.error("the predictor's answer on the local socket is no message")
            self.close()

    def _settle(self, future: asyncio.Future[Answer], reply: pb.ReplyHead, body: memoryview) -> None:
        if reply.status:
            future.set_exception(Refused(reply))
        elif len(body) > self._bound:
            future.set_exception(PayloadTooLarge(f"the predictor's answer is larger than max {self._bound} bytes"))
        else:
            future.set_result((wire.decode_response(body), _phases(reply)))

    def ended(self) -> None:
        """The predictor has gone, and with it the answers that are due."""
        self.usable = False
        for future in self._calls.values():
            _fail(future, Unavailable("the predictor cannot be reached", retry_after=1))
        self._calls.clear()
        self.over.set()


def _phases(reply: pb.ReplyHead) -> Mapping[str, float]:
    """In their order, which a map does not keep."""
    told = dict(reply.phases)
    return {name: told[name] for name in PHASES if name in told and is_duration(told[name])}


def _expire(future: asyncio.Future[Answer]) -> None:
    _fail(future, DeadlineExceeded("the request's deadline passed while the predictor worked on it"))


def _fail(future: asyncio.Future[Answer], error: TandemError) -> None:
    if not future.done():
        future.set_exception(error)
