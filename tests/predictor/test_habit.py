"""The habit: what is cheaper is learnt from trials, and kept until the next."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from predictor.fakes import FakeRuntime, Rig, double, failing_on, used_to, x, y
from tandem.errors import DeadlineExceeded, Internal
from tandem.inference import Arrays
from tandem_predictor.runtimes.habit import KEPT, TRIAL, Habit
from tandem_predictor.worker import Worker


def run(habit: Habit, together: float, apart: float, batches: int) -> list[bool]:
    """What `batches` batches were told, each of which took as long for a row as its way takes."""
    told = []
    for _ in range(batches):
        told.append(habit.apart)
        habit.learn(apart if told[-1] else together, apart=told[-1])
    return told


@pytest.mark.parametrize(
    ("together", "apart", "kept"), [(2.0, 1.0, True), (1.0, 2.0, False), (1.0, 1.04, True), (1.0, 1.06, False)]
)
def test_together_is_kept_until_the_next_trial_if_it_is_clearly_cheaper(together, apart, kept):
    habit = Habit()
    for _ in range(2):
        assert run(habit, together, apart, 2 * TRIAL) == [False] * TRIAL + [True] * TRIAL
        assert run(habit, together, apart, KEPT) == [kept] * KEPT


def test_a_model_that_has_become_another_is_found_out_by_the_next_trial():
    habit = Habit()
    run(habit, 2.0, 1.0, 2 * TRIAL + KEPT)
    run(habit, 1.0, 2.0, 2 * TRIAL)
    assert not habit.apart


def test_a_single_batch_that_took_long_decides_nothing():
    habit = Habit()
    habit.learn(100.0, apart=False)
    run(habit, 1.0, 1.1, 2 * TRIAL - 1)
    assert not habit.apart


def test_more_instances_than_a_trial_has_batches_learn_all_the_same():
    habit = Habit()
    for _ in range(2):
        for told in [habit.apart for _ in range(4 * TRIAL)]:
            habit.learn(1.0 if told else 2.0, apart=told)
    assert habit.apart
    run(habit, 2.0, 1.0, KEPT - 3 * TRIAL)  # all that are left
    for _ in range(4 * TRIAL):  # they had begun before the next trial
        habit.learn(2.0, apart=True)
    run(habit, 1.0, 2.0, TRIAL)
    assert not habit.apart


def runtime_of(
    habit: Habit | None, function: Callable[[Arrays], Arrays] = double, *, held: bool = False
) -> FakeRuntime:
    runtime = FakeRuntime(function, held=held)
    runtime.habit = habit
    return runtime


@pytest.mark.parametrize(
    ("habit", "batches"),
    [(None, [[1, 2, 3]]), (used_to(apart=False), [[1, 2, 3]]), (used_to(apart=True), [[1], [2, 3]])],
)
async def test_the_requests_of_a_batch_are_run_as_the_habit_is(habit, batches):
    runtime = runtime_of(habit)
    (ran,) = await Worker(runtime, "w", 8).run_batch([x(1), x(2, 3)], [lambda: True] * 2)
    assert runtime.batches == batches
    assert [result["y"].tolist() for result in ran.results] == [[[2]], [[4], [6]]]
    assert ran.inference_seconds > 0


async def test_its_instances_learn_together_from_whole_batches():
    habit = Habit()
    runtimes = [runtime_of(habit) for _ in range(2)]
    workers = [Worker(runtime, "w", 8) for runtime in runtimes]
    for index in range(2 * TRIAL):
        await workers[index % 2].run_batch([x(1), x(2)], [lambda: True] * 2)
        await workers[index % 2].run_batch([x(3)], [lambda: True])
    for runtime in runtimes:
        assert runtime.batches == [[1, 2], [3]] * (TRIAL // 2) + [[1], [2], [3]] * (TRIAL // 2)


async def test_apart_only_the_culprit_fails_and_nothing_is_run_for_nobody(caplog):
    runtime = runtime_of(used_to(apart=True), failing_on(2, ValueError("odd")))
    waits = [lambda: True, lambda: True, lambda: False]
    (ran,) = await Worker(runtime, "w", 8).run_batch([x(1), x(2), x(3)], waits)
    assert np.array_equal(ran.results[0]["y"], [[2]])
    assert [type(result) for result in ran.results[1:]] == [Internal, DeadlineExceeded]
    assert runtime.batches == [[1], [2]]


async def test_apart_the_first_of_a_batch_is_answered_before_the_last_is_run():
    async with Rig(runtime_of(used_to(apart=True), held=True), rows=2) as rig:
        await rig.occupy()
        first, last = await rig.submit(x(1), x(2))
        (next_one,) = await rig.submit(x(3))  # which leaves room in its batch
        for _ in range(2):  # the one that occupies, and the first
            rig.runtime.let()
            await rig.runtime.entered()
        outcome = await first
        assert (y(outcome), outcome.batch_rows, last.done()) == ([2], 2, False)
        rig.runtime.open()
        later = await last
        assert y(later) == [4]
        assert later.inference > outcome.inference > 0
        await next_one
        assert rig.metric("tandem_batch_rows_count") == 3
    assert rig.runtime.batches == [[-1], [1], [2], [3]]


async def test_apart_a_batch_is_answered_at_once_while_a_full_one_waits():
    async with Rig(runtime_of(used_to(apart=True), held=True), rows=2) as rig:
        await rig.occupy()
        first, last = await rig.submit(x(1), x(2))
        await rig.submit(x(3), x(4))
        for _ in range(2):
            rig.runtime.let()
            await rig.runtime.entered()
        assert not first.done()
        rig.runtime.open()
        assert [y(await first), y(await last)] == [[2], [4]]
