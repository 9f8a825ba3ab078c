"""How batches are formed: work-conserving, by rows, compatible, in order; and what each caller gets back."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest
from predictor.fakes import NEVER, FakeRuntime, Rig, double, identity, x, y
from tandem.model.statistics import Statistics
from tandem_predictor.batcher import Batcher, Limits
from tandem_predictor.worker import Worker

pytestmark = pytest.mark.timeout(20)


async def test_an_idle_worker_takes_a_lone_request_at_once():
    async with Rig() as rig:
        (caller,) = await rig.submit(x(3))
        assert rig.waiting == 0
        await rig.runtime.entered()
        rig.runtime.let()
        outcome = await caller
    assert (y(outcome), outcome.batch_rows, rig.runtime.batches) == ([6], 1, [[3]])


async def test_what_arrives_while_the_worker_is_busy_becomes_one_batch():
    async with Rig() as rig:
        await rig.occupy()
        callers = await rig.submit(x(1), x(2), x(3))
        assert rig.waiting == 3
        rig.runtime.open()
        outcomes = await asyncio.gather(*callers)
    assert [y(outcome) for outcome in outcomes] == [[2], [4], [6]]
    assert [outcome.batch_rows for outcome in outcomes] == [3, 3, 3]
    assert rig.runtime.batches == [[-1], [1, 2, 3]]


@pytest.mark.parametrize(
    ("requests", "batches"),
    [
        ([1, 1, 1, 1, 1], [4, 1]),
        ([2, 2, 2], [4, 2]),
        ([3, 2], [3, 2]),
        ([3, 3, 1], [3, 4]),
        ([4, 1], [4, 1]),
        ([1, 4], [1, 4]),
        ([1, 2, 1], [4]),
    ],
)
async def test_a_batch_is_weighed_in_rows_and_never_exceeds_its_size(requests: list[int], batches: list[int]):
    async with Rig(rows=4) as rig:
        await rig.occupy()
        callers = await rig.submit(*[x(*range(rows)) for rows in requests])
        rig.runtime.open()
        outcomes = await asyncio.gather(*callers)
    assert [len(batch) for batch in rig.runtime.batches[1:]] == batches
    assert [len(y(outcome)) for outcome in outcomes] == requests


async def test_batches_keep_the_order_of_arrival():
    async with Rig(rows=2) as rig:
        await rig.occupy()
        callers = await rig.submit(*[x(value) for value in range(7)])
        rig.runtime.open()
        await asyncio.gather(*callers)
    assert rig.runtime.batches[1:] == [[0, 1], [2, 3], [4, 5], [6]]


async def test_a_small_request_does_not_overtake_a_large_one_of_its_kind():
    async with Rig(rows=4) as rig:
        await rig.occupy()
        callers = await rig.submit(x(1, 1, 1), x(2, 2), x(3))
        rig.runtime.open()
        await asyncio.gather(*callers)
    assert rig.runtime.batches[1:] == [[1, 1, 1], [2, 2, 3]]


@pytest.mark.parametrize(
    "stranger",
    [
        pytest.param({"x": np.ones((1, 2), "<f4")}, id="trailing shape"),
        pytest.param({"x": np.ones((1, 1, 1), "<f4")}, id="rank"),
        pytest.param({"x": np.ones((1, 1), "<f8")}, id="dtype"),
        pytest.param({"x": np.ones((1, 1), "<f4"), "z": np.ones((1, 1), "<f4")}, id="more inputs"),
    ],
)
async def test_only_compatible_requests_share_a_batch(stranger: dict[str, np.ndarray]):
    async with Rig() as rig:
        await rig.occupy()
        callers = await rig.submit(x(1), stranger, x(2))
        rig.runtime.open()
        first, odd, second = await asyncio.gather(*callers)
    assert (first.batch_rows, odd.batch_rows, second.batch_rows) == (2, 1, 2)
    assert odd.outputs["y"].dtype == stranger["x"].dtype
    assert odd.outputs["y"].shape == stranger["x"].shape


async def test_the_oldest_request_leads_the_next_batch_even_if_others_would_fill_it_better():
    async with Rig(rows=4) as rig:
        await rig.occupy()
        callers = await rig.submit(x(9, columns=2), x(1), x(2), x(3), x(4))
        rig.runtime.open()
        await asyncio.gather(*callers)
    assert rig.runtime.batches[1:] == [[9, 9], [1, 2, 3, 4]]


async def test_kinds_take_turns_by_the_age_of_their_oldest_request():
    async with Rig(rows=2) as rig:
        await rig.occupy()
        callers = await rig.submit(x(1, 1), x(9, columns=2), x(2))
        rig.runtime.open()
        await asyncio.gather(*callers)
    assert rig.runtime.batches[1:] == [[1, 1], [9, 9], [2]]


async def test_zero_rows_run_alone():
    async with Rig() as rig:
        await rig.occupy()
        callers = await rig.submit(x(1), x(), x(), x(2))
        rig.runtime.open()
        outcomes = await asyncio.gather(*callers)
    assert [outcome.batch_rows for outcome in outcomes] == [2, 0, 0, 2]
    assert outcomes[1].outputs["y"].shape == (0, 1)
    assert rig.runtime.batches == [[-1], [1, 2], [], []]


async def test_a_model_that_does_not_batch_runs_one_request_at_a_time():
    async with Rig(batchable=False) as rig:
        await rig.occupy()
        callers = await rig.submit(x(1), x(2, 3), x(*range(6)))
        assert rig.waiting == 3
        rig.runtime.open()
        outcomes = await asyncio.gather(*callers)
    assert rig.runtime.batches == [[-1], [1], [2, 3], [0, 1, 2, 3, 4, 5]]
    assert [outcome.batch_rows for outcome in outcomes] == [1, 1, 1]


async def test_the_outputs_of_a_model_that_does_not_batch_need_no_rows():
    async with Rig(FakeRuntime(lambda inputs: {"sum": inputs["x"].sum()}), batchable=False) as rig:
        outcome = await rig.batcher.submit(x(1, 2, 3), NEVER)
    assert outcome.outputs == {"sum": 6}


@pytest.mark.parametrize("rows", [5, 8, 9, 12, 13])
async def test_a_request_over_the_batch_size_runs_in_slices_and_comes_back_in_order(rows: int):
    async with Rig(FakeRuntime(), rows=4) as rig:
        outcome = await rig.batcher.submit(x(*range(rows)), NEVER)
    assert y(outcome) == [2 * value for value in range(rows)]
    assert [len(batch) for batch in rig.runtime.batches] == [4] * (rows // 4) + [rows % 4] * (rows % 4 > 0)


async def test_the_last_slice_takes_other_callers_along():
    async with Rig(rows=4) as rig:
        await rig.occupy()
        large, small = await rig.submit(x(*range(6)), x(7))
        rig.runtime.open()
        assert y(await large) == [0, 2, 4, 6, 8, 10]
        assert y(await small) == [14]
    assert rig.runtime.batches[1:] == [[0, 1, 2, 3], [4, 5, 7]]


async def test_slices_run_on_all_idle_workers_at_once():
    async with Rig(FakeRuntime(held=True), FakeRuntime(held=True), rows=4) as rig:
        (caller,) = await rig.submit(x(*range(8)))
        for runtime in rig.runtimes:
            await runtime.entered()
        rig.runtimes[0].open()  # its slice may well be the second; the order of the answer must not depend on it
        rig.runtimes[1].open()
        assert y(await caller) == [2 * value for value in range(8)]


async def test_every_idle_worker_takes_work():
    async with Rig(FakeRuntime(held=True), FakeRuntime(held=True)) as rig:
        callers = await rig.submit(x(1), x(2))
        for runtime in rig.runtimes:
            await runtime.entered()
        assert rig.waiting == 0
        for runtime in rig.runtimes:
            runtime.open()
        assert [y(outcome) for outcome in await asyncio.gather(*callers)] == [[2], [4]]


async def test_whichever_worker_is_free_first_takes_what_is_queued():
    async with Rig(FakeRuntime(held=True), FakeRuntime(held=True)) as rig:
        await rig.occupy()
        callers = await rig.submit(x(1), x(2))
        rig.runtimes[1].open()  # the other one stays busy
        assert [y(outcome) for outcome in await asyncio.gather(*callers)] == [[2], [4]]
        assert rig.runtimes[1].batches == [[-1], [1, 2]]


@pytest.mark.parametrize(
    "function",
    [
        pytest.param(identity, id="itself"),
        pytest.param(lambda inputs: {"y": inputs["x"][:, ::-1]}, id="a view"),
        pytest.param(lambda inputs: {"y": inputs["x"].reshape(-1, 1, 2)}, id="a reshape"),
    ],
)
async def test_outputs_that_alias_the_inputs_outlive_the_next_batches(function):
    async with Rig(FakeRuntime(function, held=True), rows=2) as rig:
        await rig.submit(x(-1, columns=2))
        callers = await rig.submit(*[x(value, columns=2) for value in range(1, 9)])
        rig.runtime.open()
        outcomes = await asyncio.gather(*callers)
    assert [outcome.batch_rows for outcome in outcomes] == [2] * 8
    assert [outcome.outputs["y"].ravel().tolist() for outcome in outcomes] == [[v, v] for v in range(1, 9)]


async def test_the_metrics_count_batches_rows_and_waits():
    async with Rig(FakeRuntime(double, held=True)) as rig:
        await rig.occupy()
        callers = await rig.submit(x(1), x(2, 3))
        rig.runtime.open()
        first, second = await asyncio.gather(*callers)
        assert (rig.metric("tandem_batch_rows_count"), rig.metric("tandem_batch_rows_sum")) == (2, 4)
        assert {rows: tally.compute_infer.count for rows, tally in rig.statistics.batches.items()} == {1: 1, 3: 1}
        assert rig.statistics.execution_count == 2
        assert rig.metric("tandem_queue_seconds_count") == 3
        assert rig.metric("tandem_inference_seconds_count") == 2
        assert rig.metric("tandem_inference_seconds_sum") > first.inference > 0
        assert rig.metric("tandem_queue_seconds_sum") > first.queue + second.queue > 0
    assert first.inference == second.inference
    assert first.queue > second.queue > 0
    assert first.seconds == first.queue + first.batch + first.inference


async def test_the_queues_of_a_models_versions_add_up_in_the_gauge():
    async with Rig() as rig:
        await rig.occupy()
        await rig.submit(x(1), x(2))
        limits, statistics = Limits(4, 64), Statistics()
        worker = Worker(FakeRuntime(), "m/2#0", 4)
        newer = Batcher([worker], batchable=True, limits=limits, metrics=rig.metrics, statistics=statistics)
        assert y(await newer.submit(x(3), NEVER)) == [6]
        newer.close()
        assert rig.waiting == 2
