"""A run that takes longer than --inference_timeout: its callers are told, others go on, readiness knows."""

from __future__ import annotations

import asyncio

import pytest
from predictor.fakes import NEVER, AwaitedRuntime, Clock, FakeRuntime, Rig, x, y
from tandem.errors import DeadlineExceeded, Unavailable
from tandem_predictor import watchdog
from tandem_predictor.watchdog import HANGS, Watchdog

pytestmark = pytest.mark.timeout(20)
SOON = 0.05


@pytest.mark.parametrize("kind", [FakeRuntime, AwaitedRuntime])
async def test_the_callers_of_a_run_that_hangs_are_told_and_the_model_is_not_ready_until_it_ends(
    kind: type[FakeRuntime],
):
    async with Rig(kind(held=True), inference_timeout=SOON) as rig:
        (hung,) = await rig.submit(x(1))
        with pytest.raises(DeadlineExceeded, match=r"longer than 0.05 s \(--inference_timeout\)"):
            await hung
        assert (rig.batcher.watchdog.hangs, rig.told) == (True, [HANGS])
        with pytest.raises(Unavailable, match="not ready") as refused:
            await rig.batcher.submit(x(2), NEVER)
        assert refused.value.retry_after == 1
        rig.runtime.open()
        for _ in range(100_000):
            if not rig.batcher.watchdog.hangs:
                break
            await asyncio.sleep(0)
        assert rig.told == [HANGS, None]
        assert y(await rig.batcher.submit(x(3), NEVER)) == [6]
    assert rig.runtime.batches == [[1], [3]]


async def test_what_is_queued_behind_it_is_told_at_once():
    async with Rig(FakeRuntime(held=True), inference_timeout=SOON) as rig:
        await rig.occupy()
        (queued,) = await rig.submit(x(2))
        with pytest.raises(Unavailable, match="not ready"):
            await queued


async def test_another_instance_goes_on():
    held, free = FakeRuntime(held=True), FakeRuntime()
    async with Rig(free, held, inference_timeout=SOON) as rig:  # the last is given work first
        (hung,) = await rig.submit(x(1))
        with pytest.raises(DeadlineExceeded):
            await hung
        assert (rig.batcher.watchdog.hangs, rig.told) == (False, [])
        for value in range(3):
            assert y(await rig.batcher.submit(x(value), NEVER)) == [2 * value]


async def test_without_a_timeout_a_run_takes_what_it_takes():
    async with Rig(FakeRuntime(held=True)) as rig:
        (slow,) = await rig.submit(x(1))
        await asyncio.sleep(2 * SOON)
        rig.runtime.open()
        assert y(await slow) == [2]
        assert rig.told == []


async def test_each_run_of_a_batch_that_is_retried_may_take_as_long(monkeypatch: pytest.MonkeyPatch):
    clock = Clock()
    monkeypatch.setattr(watchdog, "time", clock)

    class AWorker:
        name, started = "m#0", clock.now

    told = asyncio.Event()
    dog = Watchdog(1, SOON, lambda reason: None)
    dog.begin(AWorker, lambda error: told.set())  # type: ignore[arg-type]  # it has what is looked at
    AWorker.started += 0.5 * SOON  # the next run has begun meanwhile
    clock.now += SOON
    await asyncio.sleep(1.2 * SOON)
    assert not told.is_set()
    clock.now += SOON
    await told.wait()
