"""Who is turned away, and when: a full queue, a request too large, a deadline that passed, a caller that left."""

from __future__ import annotations

import asyncio

import pytest
from predictor.fakes import NEVER, Rig, x, y
from tandem.deadline import Deadline
from tandem.errors import DeadlineExceeded, InvalidInput, Overloaded

pytestmark = pytest.mark.timeout(20)


async def test_a_full_queue_refuses_at_once_and_says_when_to_come_back():
    async with Rig(queue=2) as rig:
        await rig.occupy()
        queued = await rig.submit(x(1), x(2))
        (refused,) = await rig.submit(x(3))
        assert refused.done()
        with pytest.raises(Overloaded, match="max_queue_size") as caught:
            refused.result()
        assert caught.value.retry_after == 1
        assert rig.metric("tandem_rejected_total", reason="queue_full") == 1
        assert rig.waiting == 2
        rig.runtime.open()
        assert [y(outcome) for outcome in await asyncio.gather(*queued)] == [[2], [4]]
    assert rig.runtime.batches == [[-1], [1, 2]]


async def test_the_queue_is_weighed_in_rows():
    async with Rig(queue=4) as rig:
        await rig.occupy()
        await rig.submit(x(1, 1, 1))
        (two,) = await rig.submit(x(2, 2))
        (one,) = await rig.submit(x(3))
        assert isinstance(two.exception(), Overloaded)
        assert (one.done(), rig.waiting) == (False, 4)


async def test_a_request_of_a_model_that_does_not_batch_weighs_one():
    async with Rig(queue=2, batchable=False) as rig:
        await rig.occupy()
        await rig.submit(x(*range(9)), x(*range(9)))
        (third,) = await rig.submit(x(1))
        assert rig.waiting == 2
        assert isinstance(third.exception(), Overloaded)


async def test_rows_that_run_leave_room_in_the_queue():
    async with Rig(queue=2, rows=2) as rig:
        await rig.occupy()
        first = await rig.submit(x(1, 1))
        rig.runtime.let()
        await rig.runtime.entered()  # the first two are running now
        second = await rig.submit(x(2, 2))
        assert rig.waiting == 2
        rig.runtime.open()
        assert [y(outcome) for outcome in await asyncio.gather(*first, *second)] == [[2, 2], [4, 4]]


async def test_a_caller_that_left_the_queue_leaves_room_in_it():
    async with Rig(queue=1) as rig:
        await rig.occupy()
        (gone,) = await rig.submit(x(1))
        gone.cancel()
        await asyncio.wait({gone})
        (next_one,) = await rig.submit(x(2))
        rig.runtime.open()
        assert y(await next_one) == [4]


@pytest.mark.parametrize("busy", [False, True])
async def test_a_request_that_never_fits_the_queue_is_invalid_rather_than_early(busy: bool):
    async with Rig(queue=4) as rig:
        if busy:
            await rig.occupy()
        with pytest.raises(InvalidInput, match=r"5 rows.*4"):
            await rig.batcher.submit(x(*range(5)), NEVER)
        assert rig.waiting == 0
        assert rig.metric("tandem_rejected_total", reason="queue_full") == 0


async def test_a_sliced_request_is_queued_whole_or_not_at_all():
    async with Rig(rows=2, queue=6) as rig:
        await rig.occupy()
        (held,) = await rig.submit(x(7))
        (refused,) = await rig.submit(x(*range(6)))
        assert isinstance(refused.exception(), Overloaded)
        assert rig.waiting == 1
        rig.runtime.open()
        assert y(await held) == [14]


async def test_a_full_queue_refuses_zero_rows_too():
    async with Rig(queue=1) as rig:
        await rig.occupy()
        await rig.submit(x(1))
        (refused,) = await rig.submit(x())
        assert refused.done()


async def test_a_deadline_that_is_over_is_refused_at_once():
    async with Rig() as rig:
        await rig.occupy()
        (late,) = await rig.submit(x(1), deadline=Deadline.after(0))
        assert late.done()
        assert isinstance(late.exception(), DeadlineExceeded)
        assert rig.waiting == 0
    assert rig.runtime.batches == [[-1]]


async def test_a_deadline_that_passes_in_the_queue_fails_its_caller_while_the_worker_is_busy():
    async with Rig() as rig:
        await rig.occupy()
        expiring, mate = *await rig.submit(x(1), deadline=Deadline.after(0.01)), *await rig.submit(x(2))
        with pytest.raises(DeadlineExceeded):
            await expiring
        assert rig.waiting == 1
        rig.runtime.open()
        assert y(await mate) == [4]
    assert rig.runtime.batches == [[-1], [2]]


async def test_expired_work_is_not_run_even_when_the_loop_was_too_late_to_notice():
    deadline = Deadline.after(0.02)
    async with Rig() as rig:
        await rig.occupy()
        expiring, mate = *await rig.submit(x(1), deadline=deadline), *await rig.submit(x(2))
        rig.runtime.open()
        while not deadline.expired:  # holds the loop, on purpose
            pass
        with pytest.raises(DeadlineExceeded):
            await expiring
        assert y(await mate) == [4]
    assert rig.runtime.batches == [[-1], [2]]


async def test_a_deadline_that_passes_during_the_run_fails_only_its_own_caller():
    async with Rig() as rig:
        busy = await rig.occupy()
        expiring, mate = *await rig.submit(x(1), deadline=Deadline.after(0.03)), *await rig.submit(x(2))
        rig.runtime.let()
        await rig.runtime.entered()
        with pytest.raises(DeadlineExceeded):
            await expiring
        assert not mate.done()
        rig.runtime.let()
        assert y(await mate) == [4]
        await asyncio.gather(*busy)


async def test_a_sliced_request_that_expires_leaves_no_slice_behind():
    async with Rig(rows=1) as rig:
        (caller,) = await rig.submit(x(1, 2, 3), deadline=Deadline.after(0.05))
        assert rig.waiting == 2
        with pytest.raises(DeadlineExceeded):
            await caller
        assert rig.waiting == 0
    assert rig.runtime.batches == [[1]]


async def test_a_caller_cancelled_in_the_queue_is_never_run_and_harms_nobody():
    async with Rig() as rig:
        await rig.occupy()
        before, gone, after = await rig.submit(x(1), x(2), x(3))
        gone.cancel()
        await asyncio.wait({gone})
        assert (gone.cancelled(), rig.waiting) == (True, 2)
        rig.runtime.open()
        assert (y(await before), y(await after)) == ([2], [6])
    assert rig.runtime.batches == [[-1], [1, 3]]


async def test_a_caller_cancelled_during_the_run_does_not_harm_its_mates():
    async with Rig() as rig:
        await rig.occupy()
        before, gone, after = await rig.submit(x(1), x(2), x(3))
        rig.runtime.let()
        await rig.runtime.entered()
        gone.cancel()
        await asyncio.wait({gone})
        assert gone.cancelled()
        (next_one,) = await rig.submit(x(4))
        rig.runtime.open()
        assert [y(await caller) for caller in (before, after, next_one)] == [[2], [6], [8]]
    assert rig.runtime.batches == [[-1], [1, 2, 3], [4]]


async def test_a_cancelled_sliced_request_leaves_no_slice_behind():
    async with Rig(rows=1) as rig:
        (gone,) = await rig.submit(x(1, 2, 3))
        (mate,) = await rig.submit(x(4))
        await rig.runtime.entered()
        gone.cancel()
        await asyncio.wait({gone})
        assert (gone.cancelled(), rig.waiting) == (True, 1)
        rig.runtime.open()
        assert y(await mate) == [8]
    assert rig.runtime.batches == [[1], [4]]


async def test_a_worker_goes_on_when_every_caller_of_its_batch_has_left():
    async with Rig() as rig:
        callers = await rig.submit(x(1))
        await rig.runtime.entered()
        callers[0].cancel()
        await asyncio.wait(callers)
        (next_one,) = await rig.submit(x(2))
        rig.runtime.open()
        assert y(await next_one) == [4]
