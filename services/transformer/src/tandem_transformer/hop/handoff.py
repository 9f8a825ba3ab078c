"""The transformer's side of the handoff: large tensors lie in memory that the predictor has mapped too.

frame -> a block of the region: the inputs, and room for the outputs -> the predictor reads and writes there
-> views of the outputs -> the block is free again when nobody looks at them any more

A region whose beginning the predictor has read back is the same memory on both sides. Without one, or without room in
it, tensors go over the socket.
"""

from __future__ import annotations

import asyncio
import logging
import weakref
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import grpc
import numpy as np
from numpy.typing import NDArray
from tandem.codec.message import encode_parameters
from tandem.codec.shared_memory import ALIGNED, Place
from tandem.codec.wire import Frame
from tandem.errors import InvalidInput
from tandem.memory import region as memory
from tandem.memory.blocks import Blocks
from tandem.memory.region import NONCE, NoRegion, OwnRegion
from tandem.oip import handoff_pb2 as pb
from tandem.oip import handoff_pb2_grpc as pb_grpc
from tandem.oip import inference_pb2 as oip

T = TypeVar("T")

log = logging.getLogger("tandem.handoff")

WORTHWHILE = 16 * 1024  # bytes; for less, a block costs more than it spares. A guess: see docs/performance.md
FIRST, MOST = 8 * 2**20, 512 * 2**20  # bytes of a region
_AGAIN = 30.0  # seconds until a predictor that does not share our memory is asked again
_SOON = 0.25  # seconds until one that was lost is
_REFUSED = (grpc.StatusCode.UNIMPLEMENTED, grpc.StatusCode.FAILED_PRECONDITION, grpc.StatusCode.PERMISSION_DENIED)


class Lease:
    """A block of the region for one call. It is given back when the last array over it is gone."""

    def __init__(self, blocks: Blocks, memory_of: memoryview, region: str, start: int) -> None:
        block = np.frombuffer(memory_of, np.uint8)
        self.bytes: memoryview = block.data  # keeps `block`, as does every view of it
        self.region = region
        self._start = start
        self._blocks = blocks
        self._give = weakref.finalize(block, blocks.give, start, len(memory_of))
        self._give.atexit = False
        self.room = Place(region, start, 0)

    def place(self, offset: int, size: int) -> Place:
        """Bytes of the block as the predictor knows them."""
        return Place(self.region, self._start + offset, size)

    def lookup(self, region: str, offset: int, size: int) -> memoryview:
        """The bytes of an output; raises InvalidInput if they are not in the room that was given for them."""
        if region != self.region or offset < self.room.offset or offset + size > self.room.offset + self.room.size:
            raise InvalidInput("an output is outside the memory that was given for it")
        return self.bytes[offset - self._start : offset - self._start + size]

    def lose(self) -> None:
        """The predictor may still be reading: nobody gets this block again."""
        if self._give.detach():
            self._blocks.lose(len(self.bytes))


@dataclass(frozen=True, slots=True)
class _Shared:
    """A region that the predictor has mapped, and the name that it knows it by."""

    region: OwnRegion
    name: str
    blocks: Blocks


class Handoff:
    """Negotiates the region, anew whenever the predictor is, and hands out leases. Lives on the event loop."""

    def __init__(self, channel: grpc.aio.Channel, executor: Executor, *, insist: bool) -> None:
        self._channel = channel
        self._stub = pb_grpc.HandoffStub(channel)
        self._executor = executor
        self._level = logging.WARNING if insist else logging.INFO
        self._shared: _Shared | None = None
        self._size = FIRST
        self._renew = asyncio.Event()
        self._outputs = 0  # bytes that the last answer's outputs took

    def lend(self, frame: Frame[oip.ModelInferRequest]) -> tuple[Frame[oip.ModelInferRequest], Lease | None]:
        """`frame` with its large tensors in shared memory, and the lease on it; `frame` itself if that cannot be."""
        large = [_aligned(len(data)) if len(data) >= WORTHWHILE else 0 for data in frame.raw]
        room = self._outputs if self._outputs >= WORTHWHILE else 0
        if not self._shared or not (needed := sum(large) + room) or not (lease := self._lease(self._shared, needed)):
            return frame, None
        offset, rest = 0, []
        for tensor, data, size in zip(frame.message.inputs, frame.raw, large, strict=True):
            if size:
                lease.bytes[offset : offset + len(data)] = data
                encode_parameters(lease.place(offset, len(data)).parameters, tensor.parameters)
                offset += size
            else:
                rest.append(data)
        if room:
            lease.room = lease.place(offset, room)
            encode_parameters(lease.room.parameters, frame.message.parameters)
        return Frame(frame.message, rest), lease

    def learn(self, outputs: int) -> None:
        """The outputs of an answer took that many bytes: so much room is made for the next."""
        self._outputs = outputs

    def forget(self, lease: Lease) -> None:
        """The predictor does not know the region of `lease` any more."""
        if self._shared and self._shared.name == lease.region:
            self._shared = None
            self._renew.set()

    async def keep(self) -> None:
        """Have a region for as long as there is a predictor that takes one, until cancelled."""
        await self._blocking(memory.sweep)
        while True:
            await self._channel.channel_ready()
            try:
                pause = await self._session()
            except grpc.aio.AioRpcError as error:
                pause = _AGAIN if error.code() in _REFUSED else _SOON
                if error.code() in _REFUSED:
                    log.log(self._level, "no shared memory with the predictor: tensors go over the socket")
            except NoRegion as error:
                log.log(self._level, "no shared memory: tensors go over the socket", extra={"reason": str(error)})
                pause = _AGAIN
            await asyncio.sleep(pause)

    async def _session(self) -> float:
        """One region, from its making until the predictor or we want it no more; the pause until the next."""
        self._renew.clear()
        budget = min(MOST, memory.free() // 4)
        self._size = min(self._size, budget)
        region: OwnRegion = await self._blocking(partial(memory.create, max(self._size, NONCE)))
        call = self._stub.Attach(pb.AttachRequest(key=region.key, byte_size=region.size))
        try:
            answer = await call.read()
            if not isinstance(answer, pb.AttachResponse) or answer.nonce != region.nonce:
                log.log(self._level, "the predictor has other memory: tensors go over the socket")
                return _AGAIN
            self._shared = _Shared(region, answer.region, Blocks(NONCE, region.size))
            log.info("large tensors go through shared memory", extra={"bytes": region.size})
            await self._until_over(call)
        finally:
            self._shared = None
            call.cancel()
            region.close()
        return 0.0 if self._renew.is_set() else _SOON

    async def _until_over(self, call: grpc.aio.UnaryStreamCall[pb.AttachRequest, pb.AttachResponse]) -> None:
        """Until the predictor ends the stream or a new region is wanted."""
        ended, renewed = asyncio.ensure_future(call.read()), asyncio.ensure_future(self._renew.wait())
        try:
            await asyncio.wait((ended, renewed), return_when=asyncio.FIRST_COMPLETED)
        finally:
            renewed.cancel()
            ended.cancel()
            await asyncio.gather(ended, renewed, return_exceptions=True)

    def _lease(self, shared: _Shared, size: int) -> Lease | None:
        start = shared.blocks.take(size)
        if start is None:
            self._enlarge(shared, size)
            return None
        if shared.blocks.worn:
            self._renew.set()
        return Lease(shared.blocks, shared.region.view(start, size), shared.name, start)

    def _enlarge(self, shared: _Shared, size: int) -> None:
        """Ask for a region in which several blocks of `size` have room, if one is to be had."""
        wanted = min(max(2 * shared.region.size, 8 * size), MOST, memory.free() // 4)
        if shared.blocks.worn or wanted > shared.region.size:
            self._size = max(wanted, shared.region.size)
            self._renew.set()

    async def _blocking(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._executor, work)


def room_of(output: NDArray[np.generic]) -> int:
    """The bytes that an output takes in shared memory; texts are not counted, they go over the socket."""
    return 0 if output.dtype.hasobject else _aligned(output.nbytes)


def _aligned(size: int) -> int:
    return -(-size // ALIGNED) * ALIGNED
