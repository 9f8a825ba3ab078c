"""Who waits for whom: the delay window, opened by the first arrival, closed when full; and priorities."""

from __future__ import annotations

import asyncio

import pytest
from predictor.fakes import FOREVER, NEVER, Clock, FakeRuntime, Rig, turn, x, y
from tandem.deadline import Deadline
from tandem.errors import DeadlineExceeded

pytestmark = pytest.mark.timeout(20)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("tandem_predictor.batcher.time", clock)
    return clock


async def test_a_batch_with_room_waits_for_company_and_starts_when_it_is_full():
    async with Rig(FakeRuntime(), rows=4, delay=FOREVER) as rig:
        early = await rig.submit(x(1), x(2, 3))
        assert (rig.waiting, rig.runtime.batches) == (3, [])
        late = await rig.submit(x(4))
        outcomes = await asyncio.gather(*early, *late)
    assert rig.runtime.batches == [[1, 2, 3, 4]]
    assert [y(outcome) for outcome in outcomes] == [[2], [4, 6], [8]]


async def test_a_lone_request_runs_when_its_window_ends():
    async with Rig(FakeRuntime(), delay=0.01) as rig:
        outcome = await rig.batcher.submit(x(1), NEVER)
    assert y(outcome) == [2]
    assert outcome.queue >= 0.01


async def test_a_window_of_zero_is_no_window():
    async with Rig(FakeRuntime(), delay=0.0) as rig:
        (caller,) = await rig.submit(x(1))
        assert rig.waiting == 0
        await caller


async def test_the_window_opens_at_the_first_arrival_and_later_ones_do_not_extend_it(clock: Clock):
    async with Rig(FakeRuntime(), rows=8, delay=FOREVER) as rig:
        callers = await rig.submit(x(1))
        clock.now += FOREVER * 0.9
        callers += await rig.submit(x(2))
        assert rig.waiting == 2
        clock.now += FOREVER * 0.1
        callers += await rig.submit(x(3))
        await asyncio.gather(*callers)
    assert rig.runtime.batches == [[1, 2, 3]]


async def test_each_kind_of_request_has_its_own_window(clock: Clock):
    async with Rig(FakeRuntime(), delay=FOREVER) as rig:
        (first,) = await rig.submit(x(1))
        clock.now += FOREVER - 0.01
        (other,) = await rig.submit(x(2, columns=2))
        clock.now += 0.01  # the first window's end, which comes now; the second one's is far
        assert y(await first) == [2]
        assert (other.done(), rig.waiting) == (False, 1)


async def test_a_window_that_passed_while_the_worker_was_busy_is_not_spent_again(clock: Clock):
    async with Rig(FakeRuntime(held=True), rows=2, delay=FOREVER) as rig:
        busy = await rig.submit(x(8), x(9))  # a full batch
        await rig.runtime.entered()
        (caller,) = await rig.submit(x(1))
        clock.now += FOREVER
        rig.runtime.open()
        assert y(await caller) == [2]
        await asyncio.gather(*busy)


async def test_a_sliced_request_tells_the_times_of_its_slowest_slice(clock: Clock):
    async with Rig(rows=1) as rig:
        (caller,) = await rig.submit(x(1, 2))
        await rig.runtime.entered()
        clock.now += 100
        rig.runtime.open()
        assert (await caller).queue == 100


async def test_a_window_still_open_when_the_worker_is_free_goes_on():
    async with Rig(FakeRuntime(held=True), rows=2, delay=FOREVER) as rig:
        busy = await rig.submit(x(8), x(9))
        await rig.runtime.entered()
        (early,) = await rig.submit(x(1))
        rig.runtime.open()
        await asyncio.gather(*busy)
        await turn()
        assert rig.waiting == 1
        (late,) = await rig.submit(x(2))
        assert (y(await early), y(await late)) == ([2], [4])


async def test_what_does_not_fit_the_full_batch_keeps_its_own_window():
    async with Rig(FakeRuntime(), rows=4, delay=FOREVER) as rig:
        first, second = await rig.submit(x(1, 1, 1), x(2, 2))
        assert y(await first) == [2, 2, 2]
        assert rig.waiting == 2
        (third,) = await rig.submit(x(3, 3))
        assert (y(await second), y(await third)) == ([4, 4], [6, 6])
    assert rig.runtime.batches == [[1, 1, 1], [2, 2, 3, 3]]


async def test_a_request_that_fills_a_batch_alone_does_not_wait():
    async with Rig(FakeRuntime(), rows=2, delay=FOREVER) as rig:
        assert y(await rig.batcher.submit(x(1, 2), NEVER)) == [2, 4]


async def test_a_model_that_does_not_batch_waits_for_nobody():
    async with Rig(FakeRuntime(), batchable=False, delay=FOREVER) as rig:
        assert y(await rig.batcher.submit(x(1), NEVER)) == [2]


async def test_idle_workers_share_what_the_window_gathered():
    async with Rig(FakeRuntime(held=True), FakeRuntime(held=True), rows=8, delay=0.01) as rig:
        callers = await rig.submit(x(1), x(2))
        for runtime in rig.runtimes:
            await runtime.entered()
        for runtime in rig.runtimes:
            runtime.open()
        assert [y(outcome) for outcome in await asyncio.gather(*callers)] == [[2], [4]]


async def test_a_caller_that_leaves_during_the_window_is_never_run():
    async with Rig(FakeRuntime(), rows=2, delay=FOREVER) as rig:
        (gone,) = await rig.submit(x(1))
        gone.cancel()
        await asyncio.wait({gone})
        assert (gone.cancelled(), rig.waiting) == (True, 0)
        callers = await rig.submit(x(2), x(3))
        await asyncio.gather(*callers)
    assert rig.runtime.batches == [[2, 3]]


async def test_a_deadline_inside_the_window_is_kept():
    async with Rig(FakeRuntime(), delay=FOREVER) as rig:
        with pytest.raises(DeadlineExceeded):
            await rig.batcher.submit(x(1), Deadline.after(0.01))
        assert (rig.waiting, rig.runtime.batches) == (0, [])


async def test_expired_work_fills_no_batch_even_when_the_loop_was_too_late_to_notice():
    deadline = Deadline.after(0.02)
    async with Rig(FakeRuntime(), rows=2, delay=FOREVER) as rig:
        (expiring,) = await rig.submit(x(1), deadline=deadline)
        while not deadline.expired:  # holds the loop, so that the next request comes before the timer
            pass
        await rig.submit(x(2))
        with pytest.raises(DeadlineExceeded):
            await expiring
        assert (rig.waiting, rig.runtime.batches) == (1, [])


async def test_a_full_batch_shared_by_two_idle_workers_starts_whole():
    async with Rig(FakeRuntime(), FakeRuntime(), rows=3, delay=FOREVER) as rig:
        callers = await rig.submit(x(1), x(2), x(3))
        assert rig.waiting == 0
        await asyncio.gather(*callers)
    assert sorted(batch for runtime in rig.runtimes for batch in runtime.batches) == [[1, 2], [3]]


async def test_zero_rows_do_not_wait_for_company():
    async with Rig(FakeRuntime(), delay=FOREVER) as rig:
        await rig.submit(x())  # what has not begun when the rig is left is never run
    assert rig.runtime.batches == [[]]


async def test_a_full_batch_does_not_wait_for_the_window_of_an_incompatible_request():
    async with Rig(FakeRuntime(), rows=2, delay=FOREVER) as rig:
        await rig.submit(x(9, columns=2))
        await rig.submit(x(1), x(2))
        assert rig.waiting == 1


async def test_a_caller_that_has_just_left_does_not_fill_a_batch():
    async with Rig(FakeRuntime(), rows=2, delay=FOREVER) as rig:
        (gone,) = await rig.submit(x(1))
        gone.cancel()
        await rig.submit(x(2))
        await asyncio.wait({gone})
        assert (rig.waiting, rig.runtime.batches) == (1, [])


async def test_an_urgent_newcomer_does_not_extend_the_window_of_the_first_arrival(clock: Clock):
    async with Rig(FakeRuntime(), rows=8, delay=FOREVER) as rig:
        await rig.submit(x(1))
        clock.now += FOREVER * 0.9
        await rig.submit(x(2), priority=1)
        clock.now += FOREVER * 0.1
        await rig.submit(x(3))
        assert rig.waiting == 0
