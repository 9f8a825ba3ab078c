"""Who goes before whom, and a batcher that retires."""

from __future__ import annotations

import asyncio

import pytest
from predictor.fakes import FOREVER, NEVER, FakeRuntime, Rig, x, y
from tandem.deadline import Deadline
from tandem.errors import Overloaded
from tandem_predictor.worker import Worker

pytestmark = pytest.mark.timeout(20)


async def test_among_equals_the_earliest_deadline_goes_first_and_none_last():
    async with Rig(FakeRuntime(held=True), rows=1) as rig:
        await rig.occupy()
        callers = []
        for value, seconds, priority in ((1, None, 0), (2, 90, 0), (3, 30, 0), (4, None, 0), (5, 60, 0), (6, 99, 1)):
            callers += await rig.submit(x(value), deadline=Deadline.after(seconds), priority=priority)
        rig.runtime.open()
        await asyncio.gather(*callers)
    assert rig.runtime.batches == [[-1], [6], [3], [5], [2], [1], [4]]


async def test_a_higher_priority_goes_first_and_none_is_the_lowest():
    async with Rig(rows=1) as rig:
        await rig.occupy()
        callers = []
        for value, priority in ((1, 0), (2, 9), (3, 1), (4, 9), (5, 1)):
            callers += await rig.submit(x(value), priority=priority)
        rig.runtime.open()
        await asyncio.gather(*callers)
    assert rig.runtime.batches[1:] == [[3], [5], [2], [4], [1]]


async def test_priorities_hold_between_kinds_too():
    async with Rig(rows=2) as rig:
        await rig.occupy()
        callers = await rig.submit(x(1), x(2))
        callers += await rig.submit(x(9, columns=2), priority=1)
        rig.runtime.open()
        await asyncio.gather(*callers)
    assert rig.runtime.batches[1:] == [[9, 9], [1, 2]]


async def test_a_retired_batcher_answers_what_is_queued_and_then_closes_its_workers():
    async with Rig(rows=1) as rig:
        (running,) = await rig.occupy()
        callers = await rig.submit(x(1), x(2))
        rig.batcher.retire()
        assert not any(caller.done() for caller in (running, *callers))
        rig.runtime.open()
        assert [y(outcome) for outcome in await asyncio.gather(*callers)] == [[2], [4]]
        await running
        with pytest.raises(RuntimeError, match="shutdown"):
            await rig.batcher.submit(x(3), NEVER)


async def test_an_idle_batcher_closes_as_it_retires():
    rig = Rig(FakeRuntime())
    rig.batcher.retire()
    with pytest.raises(RuntimeError, match="shutdown"):
        await rig.batcher.submit(x(1), NEVER)


def closed(worker: Worker) -> bool:
    """Whether the worker takes nothing more, so that its thread ends."""
    try:
        worker.executor.submit(int)
    except RuntimeError:
        return True
    return False


async def test_a_retired_batcher_closes_when_its_last_caller_leaves():
    async with Rig(FakeRuntime(), delay=FOREVER) as rig:
        (last,) = await rig.submit(x(1))
        rig.batcher.retire()
        last.cancel()
        await asyncio.wait({last})
        assert closed(rig.workers[0])


async def test_an_urgent_request_shares_its_batch_with_the_others():
    async with Rig(rows=3) as rig:
        await rig.occupy()
        callers = await rig.submit(x(1), x(2), x(3))
        callers += await rig.submit(x(4), priority=1)
        rig.runtime.open()
        assert [y(outcome) for outcome in await asyncio.gather(*callers)] == [[2], [4], [6], [8]]
    assert rig.runtime.batches[1:] == [[4, 1, 2], [3]]


async def test_an_urgent_request_goes_before_the_slices_of_a_large_one():
    async with Rig(rows=2) as rig:
        await rig.occupy()
        (large,) = await rig.submit(x(1, 2, 3, 4))
        (urgent,) = await rig.submit(x(8, 9), priority=1)
        rig.runtime.open()
        assert (y(await large), y(await urgent)) == ([2, 4, 6, 8], [16, 18])
    assert rig.runtime.batches[1:] == [[8, 9], [1, 2], [3, 4]]


async def test_what_could_not_be_begun_before_its_deadline_is_refused_at_once():
    async with Rig(FakeRuntime(held=True), rows=1) as rig:
        rig.batcher._learn(10.0, 1)  # as if a row took ten seconds
        await rig.occupy()
        others = await rig.submit(x(1), x(2), x(3), deadline=Deadline.after(25))
        with pytest.raises(Overloaded, match="the queue would take about 30 s, and the request's deadline is in 2"):
            await rig.batcher.submit(x(4), Deadline.after(29))
        assert rig.metric("tandem_rejected_total", reason="too_late") == 1
        in_time = await rig.submit(x(5), deadline=Deadline.after(31))
        before_others = await rig.submit(x(6), deadline=Deadline.after(29), priority=1)
        rig.runtime.open()
        await asyncio.gather(*others, *in_time, *before_others)
    assert rig.runtime.batches == [[-1], [6], [1], [2], [3], [5]]


async def test_nothing_is_refused_for_its_deadline_before_the_model_is_known():
    async with Rig(FakeRuntime(held=True), rows=1) as rig:
        await rig.occupy()
        callers = await rig.submit(x(1), x(2), x(3), deadline=Deadline.after(30))
        rig.runtime.open()
        await asyncio.gather(*callers)


@pytest.mark.parametrize(
    ("row_seconds", "idle_workers", "trips"), [(1e-5, 1, 1), (1e-5, 2, 2), (1.0, 1, 6), (3e-4, 1, 2)]
)
async def test_a_model_that_does_not_batch_and_is_quick_runs_several_requests_on_one_trip_to_its_thread(
    row_seconds: float, idle_workers: int, trips: int
):
    runtimes = [FakeRuntime() for _ in range(idle_workers)]
    async with Rig(*runtimes, batchable=False) as rig:
        rig.batcher._learn = lambda seconds, weight: None  # type: ignore[method-assign]
        rig.batcher._row_seconds = row_seconds
        started = []
        real = rig.batcher._start
        rig.batcher._start = lambda worker, batch: (started.append(len(batch)), real(worker, batch))  # type: ignore
        idle, rig.batcher._idle = rig.batcher._idle, []
        callers = await rig.submit(*[x(value) for value in range(6)])
        rig.batcher._idle = idle
        rig.batcher._dispatch()
        assert [y(outcome) for outcome in await asyncio.gather(*callers)] == [[2 * value] for value in range(6)]
    assert (len(started), sum(started)) == (trips, 6)
    assert all(len(batch) == 1 for runtime in runtimes for batch in runtime.batches)
