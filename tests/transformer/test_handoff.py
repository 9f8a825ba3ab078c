"""A call's block of shared memory: who may look at it, and when it is free again."""

from __future__ import annotations

import gc
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor

import grpc
import numpy as np
import pytest
from tandem.codec.message import encode_request
from tandem.codec.shared_memory import REGION, SIZE, Place
from tandem.errors import InvalidInput
from tandem.inference import InferRequest
from tandem.memory.blocks import PAGE, Blocks
from tandem.memory.region import create
from tandem_transformer.hop.handoff import WORTHWHILE, Handoff, Lease, _Shared

LARGE = np.arange(WORTHWHILE, dtype=np.uint8)


def lease(blocks: Blocks, size: int = PAGE) -> Lease:
    start = blocks.take(size)
    assert start is not None
    return Lease(blocks, memoryview(bytearray(size)), "r", start)


def test_a_block_is_given_back_when_its_lease_is_gone():
    blocks = Blocks(0, PAGE)
    held = lease(blocks)
    assert blocks.take(1) is None
    del held
    assert blocks.take(1) == 0


def test_a_block_is_kept_as_long_as_somebody_looks_at_an_output():
    blocks = Blocks(0, PAGE)
    held = lease(blocks)
    held.room = held.place(0, 100)
    view = np.frombuffer(held.lookup("r", 10, 50).toreadonly(), np.uint8).reshape(5, 10)[1:]
    del held
    assert blocks.take(1) is None
    del view
    gc.collect()
    assert blocks.take(1) == 0


def test_a_block_that_may_still_be_read_is_never_given_again():
    blocks = Blocks(0, 2 * PAGE)
    held = lease(blocks)
    held.lose()
    held.lose()
    del held
    assert blocks.take(1) == PAGE
    assert blocks.take(1) is None
    assert blocks.worn


@pytest.mark.parametrize(("region", "offset", "size"), [("r", 99, 2), ("r", 49, 1), ("other", 50, 1), ("r", 100, 1)])
def test_an_output_outside_its_room_is_refused(region, offset, size):
    held = lease(Blocks(0, PAGE))
    held.room = Place("r", 50, 50)
    with pytest.raises(InvalidInput):
        held.lookup(region, offset, size)


@pytest.fixture
async def handoff() -> AsyncIterator[Handoff]:
    async with grpc.aio.insecure_channel("127.0.0.1:1") as channel:
        made = Handoff(channel, ThreadPoolExecutor(1), insist=False)
        region = create(2**20)
        made._shared = _Shared(region, "r", Blocks(100, region.size))  # as if a predictor had mapped it
        yield made
        region.close()


def frame(**inputs):
    return encode_request(InferRequest("m", "", inputs))


async def test_large_tensors_are_lent_and_small_ones_stay(handoff):
    lent, held = handoff.lend(frame(a=LARGE, b=LARGE[:10], c=LARGE + 1))
    places = [dict(tensor.parameters) for tensor in lent.message.inputs]
    assert [REGION in place for place in places] == [True, False, True]
    assert [bytes(data) for data in lent.raw] == [bytes(range(10))]
    assert places[0][SIZE].int64_param == LARGE.nbytes
    assert np.array_equal(np.frombuffer(held.bytes[: LARGE.nbytes], np.uint8), LARGE)
    assert np.array_equal(np.frombuffer(held.bytes[-LARGE.nbytes :], np.uint8), LARGE + 1)


async def test_small_tensors_alone_are_not_lent(handoff):
    sent = frame(a=LARGE[:10])
    assert handoff.lend(sent) == (sent, None)


async def test_room_is_made_for_outputs_as_large_as_the_last(handoff):
    handoff.learn(20_000)
    lent, held = handoff.lend(frame(a=LARGE[:10]))
    assert lent.message.parameters[REGION].string_param == "r"
    assert held.room.size == 20_000
    handoff.learn(0)
    assert handoff.lend(frame(a=LARGE[:10]))[1] is None


async def test_without_room_the_frame_stays_as_it_is(handoff):
    sent = frame(a=np.zeros(2**20, np.uint8))
    lent, held = handoff.lend(sent)
    assert (lent, held) == (sent, None)
    assert not lent.message.inputs[0].parameters


async def test_a_region_that_the_predictor_has_forgotten_is_used_no_more(handoff):
    lent = handoff.lend(frame(a=LARGE))[1]
    handoff.forget(lease(Blocks(0, PAGE)))  # of the same name
    assert handoff.lend(frame(a=LARGE))[1] is None
    assert lent is not None
