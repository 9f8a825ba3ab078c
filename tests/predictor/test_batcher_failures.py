"""What a failing model does to its callers, to their mates and to the queue; and the whole batcher under stress."""

from __future__ import annotations

import asyncio
import random
import threading
import time

import numpy as np
import pytest
from predictor.fakes import FAILED, NEVER, FakeRuntime, Rig, double, failing_on, identity, turn, x, y
from tandem.deadline import Deadline
from tandem.errors import DeadlineExceeded, Internal, InvalidInput, TandemError

pytestmark = pytest.mark.timeout(20)


async def outcome_or_crash(rig: Rig, caller: asyncio.Task) -> bool:
    """Whether the caller got its answer, rather than the event loop's error handler."""
    broken = asyncio.create_task(rig.broken.wait())
    await asyncio.wait({caller, broken}, return_when=asyncio.FIRST_COMPLETED)
    broken.cancel()
    await asyncio.wait({broken})
    await turn()
    return caller.done()


def logged(caplog: pytest.LogCaptureFixture) -> list[BaseException]:
    """The exceptions whose tracebacks are in the log of models."""
    return [record.exc_info[1] for record in caplog.records if record.name == "tandem.model" and record.exc_info]


@pytest.mark.parametrize("error", [ValueError("odd"), InvalidInput("row is odd"), MemoryError(), Internal("broken")])
async def test_a_failing_batch_is_retried_one_by_one_so_that_only_the_culprit_fails(
    error: Exception, caplog: pytest.LogCaptureFixture
):
    async with Rig(FakeRuntime(failing_on(2, error), held=True)) as rig:
        await rig.occupy()
        first, culprit, third = await rig.submit(x(1), x(2), x(3, 3))
        rig.runtime.open()
        assert (y(await first), y(await third)) == ([2], [6, 6])
        (told,) = await asyncio.gather(culprit, return_exceptions=True)
    assert rig.runtime.batches == [[-1], [1, 2, 3, 3], [1], [2], [3, 3]]
    if isinstance(error, TandemError):
        assert told is error
    else:
        assert (type(told), told.message) == (Internal, FAILED)
        assert logged(caplog) == [error]


async def test_who_is_run_again_alone_is_answered_before_the_next_is_run():
    async with Rig(FakeRuntime(failing_on(2, ValueError("odd")), held=True)) as rig:
        await rig.occupy()
        first, culprit = await rig.submit(x(1), x(2))
        for _ in range(3):  # the one that occupies, the batch, and the first of it alone
            rig.runtime.let()
            await rig.runtime.entered()
        assert y(await first) == [2]
        assert not culprit.done()


async def test_whose_deadline_passes_before_its_turn_is_told_so_even_when_the_loop_was_too_late_to_notice():
    async with Rig(FakeRuntime(failing_on(2, ValueError("odd")), held=True)) as rig:
        await rig.occupy()
        await rig.submit(x(1), x(2), priority=1)
        (late, _) = await rig.submit(x(3), x(4), deadline=Deadline.after(0.2))
        rig.runtime.let()
        await rig.runtime.entered()  # the batch
        threading.Timer(0.3, rig.runtime.open).start()
        time.sleep(0.5)  # noqa: ASYNC251 - the event loop hears of the deadline and of the batch at the same time
        assert isinstance((await asyncio.gather(late, return_exceptions=True))[0], DeadlineExceeded)


@pytest.mark.parametrize("leaves", ["by itself", "by its deadline"])
async def test_a_failing_batch_is_not_retried_for_who_does_not_wait_any_more(leaves: str):
    async with Rig(FakeRuntime(failing_on(2, ValueError("odd")), held=True)) as rig:
        await rig.occupy()
        first, culprit = await rig.submit(x(1), x(2), priority=1)
        (gone,) = await rig.submit(x(3), deadline=NEVER if leaves == "by itself" else Deadline.after(0.2))
        rig.runtime.let()
        await rig.runtime.entered()  # the batch
        rig.runtime.let()
        await rig.runtime.entered()  # the first of it, alone
        if leaves == "by itself":
            gone.cancel()
        await asyncio.wait([gone])
        rig.runtime.open()
        assert y(await first) == [2]
        assert isinstance((await asyncio.gather(culprit, return_exceptions=True))[0], Internal)
    assert rig.runtime.batches == [[-1], [1, 2, 3], [1], [2]]


async def test_a_failing_lone_request_is_not_tried_again():
    async with Rig(FakeRuntime(failing_on(1, ValueError("odd")))) as rig:
        with pytest.raises(Internal, match=f"^{FAILED}$"):
            await rig.batcher.submit(x(1), NEVER)
        assert y(await rig.batcher.submit(x(2), NEVER)) == [4]
    assert rig.runtime.batches == [[1], [2]]


async def test_a_failing_request_of_a_model_that_does_not_batch_fails_alone():
    async with Rig(FakeRuntime(failing_on(1, ValueError("odd"))), batchable=False) as rig:
        bad, good = await rig.submit(x(1), x(2))
        assert y(await good) == [4]
        assert (type(bad.exception()), bad.exception().message) == (Internal, FAILED)


@pytest.mark.parametrize(
    ("function", "text"),
    [
        pytest.param(lambda inputs: {"y": inputs["x"][1:]}, "0 rows of 'y' for a batch of 1", id="too few"),
        pytest.param(lambda inputs: {"y": np.repeat(inputs["x"], 2, 0)}, "2 rows of 'y'", id="too many"),
        pytest.param(lambda inputs: {"y": inputs["x"].sum()}, "a scalar of 'y'", id="a scalar"),
        pytest.param(lambda inputs: {"y": inputs["x"], "z": inputs["x"][1:]}, "of 'z'", id="the second output"),
    ],
)
async def test_a_wrong_row_count_fails_and_is_never_split(function, text: str):
    async with Rig(FakeRuntime(function, held=True)) as rig:
        await rig.submit(x(-1))
        callers = await rig.submit(x(1), x(2))
        rig.runtime.open()
        for error in await asyncio.gather(*callers, return_exceptions=True):
            assert isinstance(error, Internal)
            assert text in error.message


async def test_a_model_that_cannot_count_in_batches_still_serves_each_request_alone():
    async with Rig(FakeRuntime(lambda inputs: {"y": inputs["x"][:1]}, held=True)) as rig:
        await rig.occupy()
        callers = await rig.submit(x(1), x(2))
        rig.runtime.open()
        assert [y(outcome) for outcome in await asyncio.gather(*callers)] == [[1], [2]]


async def test_a_failing_slice_fails_its_whole_request_and_nobody_else():
    async with Rig(FakeRuntime(failing_on(3, ValueError("odd")), held=True), rows=2) as rig:
        await rig.occupy()
        large, small = await rig.submit(x(*range(7)), x(8))
        rig.runtime.open()
        with pytest.raises(Internal, match=f"^{FAILED}$"):
            await large
        assert y(await small) == [16]
        assert rig.waiting == 0


async def test_two_failing_slices_at_the_same_time_are_one_failure(caplog: pytest.LogCaptureFixture):
    error = ValueError("odd")
    runtimes = [FakeRuntime(failing_on(1, error), held=True) for _ in range(2)]
    async with Rig(*runtimes, rows=2) as rig:
        (caller,) = await rig.submit(x(1, 1, 1, 1))
        for runtime in runtimes:
            await runtime.entered()
        for runtime in runtimes:
            runtime.open()
        (told,) = await asyncio.gather(caller, return_exceptions=True)
        assert (type(told), told.message) == (Internal, FAILED)
    assert logged(caplog) == [error, error]  # each slice's


@pytest.mark.parametrize("batchable", [True, False])
@pytest.mark.parametrize("error", [StopIteration("no more"), asyncio.CancelledError(), GeneratorExit()], ids=repr)
async def test_whatever_a_model_raises_fails_its_caller(error: BaseException, batchable: bool):
    async with Rig(FakeRuntime(failing_on(1, error)), batchable=batchable) as rig:
        (caller,) = await rig.submit(x(1))
        assert await outcome_or_crash(rig, caller)
        assert (type(caller.exception()), caller.exception().message) == (Internal, FAILED)


def test_a_model_that_exits_does_not_end_the_server():
    async def serve() -> None:
        async with Rig(FakeRuntime(failing_on(1, SystemExit("bye")))) as rig:
            (caller,) = await rig.submit(x(1))
            await asyncio.wait({caller})
            assert (type(caller.exception()), caller.exception().message) == (Internal, FAILED)

    asyncio.run(serve())


async def test_a_time_out_inside_the_model_is_not_the_callers_deadline():
    async with Rig(FakeRuntime(failing_on(1, TimeoutError("the feature store does not answer")))) as rig:
        (caller,) = await rig.submit(x(1))
        await asyncio.wait({caller})
        assert (type(caller.exception()), caller.exception().message) == (Internal, FAILED)


async def test_closing_fails_what_is_still_queued():
    async with Rig() as rig:
        await rig.occupy()
        (queued,) = await rig.submit(x(1))
        rig.runtime.let()
        rig.batcher.close()  # on the loop, as the service does
        assert await outcome_or_crash(rig, queued)
        assert isinstance(queued.exception(), Exception)


async def test_many_callers_each_get_exactly_their_own_rows_while_a_third_of_them_leaves():
    chance = random.Random(2024)
    runtimes = [FakeRuntime(function, held=True) for function in (identity, identity, lambda i: {"y": i["x"].copy()})]
    requests = [  # 0 to 11 rows of values that occur once, in two trailing shapes; above 8 they are sliced
        x(*range(100 * index, 100 * index + chance.randrange(12)), columns=chance.choice((1, 2)))
        for index in range(450)
    ]
    async with Rig(*runtimes, rows=8, queue=10_000) as rig:
        callers: list[asyncio.Task] = []
        for index, request in enumerate(requests):
            callers += await rig.submit(request)
            if index == 150:
                for runtime in runtimes:
                    runtime.open()
            if chance.random() < 1 / 3:
                chance.choice(callers[-20:]).cancel()
        await asyncio.wait(callers)
        stayed = [pair for pair in zip(callers, requests, strict=True) if not pair[0].cancelled()]
        for caller, request in stayed:
            np.testing.assert_array_equal(caller.result().outputs["y"], request["x"])
        assert y(await rig.batcher.submit(x(7), NEVER)) == [7]
    assert 250 < len(stayed) < 449
    shared = [caller for caller, request in stayed if caller.result().batch_rows > len(request["x"])]
    assert len(shared) > 10  # or nobody's rows could have been mixed up
    assert max(len(batch) for runtime in runtimes for batch in runtime.batches) == 16  # 8 rows of two columns


async def test_every_worker_takes_part_under_load_and_no_row_is_lost():
    runtimes = [FakeRuntime(double, held=True) for _ in range(3)]
    async with Rig(*runtimes, rows=4, queue=1000) as rig:
        callers = await rig.submit(*[x(value) for value in range(200)])
        for runtime in runtimes:
            await runtime.entered()
            runtime.open()
        outcomes = await asyncio.gather(*callers)
    assert [y(outcome) for outcome in outcomes] == [[2 * value] for value in range(200)]
    seen = [value for runtime in runtimes for batch in runtime.batches for value in batch]
    assert sorted(seen) == list(range(200))
