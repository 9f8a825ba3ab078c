"""One worker: a batch in one call, the culprit found by running each alone, its own thread."""

from __future__ import annotations

import asyncio
import threading
import time
from concurrent.futures import CancelledError
from functools import partial

import numpy as np
import pytest
from predictor.fakes import FAILED, AwaitedRuntime, FakeRuntime, double, failing_on, x
from tandem.errors import Internal, InvalidInput
from tandem.inference import Arrays
from tandem_predictor.worker import Ran, Running, Worker, at_once


def columns(ran: Ran) -> list[list[float]]:
    return [result["y"].ravel().tolist() for result in ran.results]


def told(ran: Ran) -> list[tuple[type, str]]:
    """The kind and the text of each request's error."""
    return [(type(result), result.message) for result in ran.results]


def logged(caplog: pytest.LogCaptureFixture) -> list[BaseException]:
    """The exceptions whose tracebacks are in the log of models."""
    return [record.exc_info[1] for record in caplog.records if record.name == "tandem.model" and record.exc_info]


async def test_a_batch_is_one_call_of_the_runtime():
    runtime = FakeRuntime()
    (ran,) = await Worker(runtime, "w", 4).run_batch([x(1), x(2, 3), x(4)])
    assert columns(ran) == [[2], [4, 6], [8]]
    assert runtime.batches == [[1, 2, 3, 4]]


async def test_a_lone_request_reaches_the_runtime_uncopied():
    seen = []
    request = x(1, 2)
    await Worker(FakeRuntime(lambda inputs: seen.append(inputs["x"]) or double(inputs)), "w", 4).run_batch([request])
    assert seen[0] is request["x"]


async def test_the_times_of_a_batch_are_parts_of_the_time_that_it_took():
    worker, start = Worker(FakeRuntime(), "w", 4), time.perf_counter()
    (ran,) = await worker.run_batch([x(1), x(2)])
    assert 0 < ran.batch_seconds + ran.inference_seconds <= time.perf_counter() - start
    assert min(ran.batch_seconds, ran.inference_seconds) > 0


async def test_only_the_culprit_of_a_failing_batch_fails(caplog):
    error = ValueError("odd")
    runtime = FakeRuntime(failing_on(2, error))
    (ran,) = await Worker(runtime, "w", 8).run_batch([x(1), x(2), x(3, 4)])
    assert (type(ran.results[1]), ran.results[1].message) == (Internal, FAILED)
    assert logged(caplog) == [error]
    assert [ran.results[0]["y"].tolist(), ran.results[2]["y"].tolist()] == [[[2]], [[6], [8]]]
    assert runtime.batches == [[1, 2, 3, 4], [1], [2], [3, 4]]
    assert ran.inference_seconds > 0


async def test_every_request_has_its_own_error_when_all_are_culprits(caplog):
    runtime = FakeRuntime(lambda inputs: (_ for _ in ()).throw(ValueError(f"not {inputs['x'].ravel().tolist()}")))
    (ran,) = await Worker(runtime, "w", 4).run_batch([x(1), x(2)])
    assert told(ran) == [(Internal, FAILED)] * 2
    assert ran.results[0] is not ran.results[1]
    assert [str(error) for error in logged(caplog)] == ["not [1.0]", "not [2.0]"]


async def test_a_refusal_of_the_models_own_reaches_the_caller_as_it_is(caplog):
    error = InvalidInput("row is odd")
    (ran,) = await Worker(FakeRuntime(failing_on(1, error)), "w", 4).run_batch([x(1)])
    assert ran.results == [error]
    assert not caplog.records


async def test_a_failing_lone_request_is_run_once():
    runtime = FakeRuntime(failing_on(1, ValueError("odd")))
    (ran,) = await Worker(runtime, "w", 4).run_batch([x(1)])
    assert told(ran) == [(Internal, FAILED)]
    assert runtime.batches == [[1]]


@pytest.mark.parametrize("requests", [[x(1, 2)], [x(1, 2), x(3, 4)]], ids=["alone", "in a batch"])
@pytest.mark.parametrize("keep", [slice(1, None), slice(0, 0), slice(None, -1)])
async def test_a_wrong_row_count_fails_every_request_rather_than_giving_it_anothers_rows(requests, keep: slice):
    (ran,) = await Worker(FakeRuntime(lambda inputs: {"y": inputs["x"][keep]}), "w", 4).run_batch(requests)
    assert [type(result) for result in ran.results] == [Internal] * len(requests)


async def test_the_requests_are_served_alone_where_they_cannot_be_stacked():
    (ran,) = await Worker(FakeRuntime(), "w", 2).run_batch([x(1, 2), x(3, 4)])  # four rows, room for two
    assert columns(ran) == [[2, 4], [6, 8]]


async def test_outputs_that_alias_the_inputs_survive_the_next_batch():
    worker = Worker(FakeRuntime(lambda inputs: {"y": inputs["x"]}), "w", 4)
    (first,) = await worker.run_batch([x(1), x(2)])
    (second,) = await worker.run_batch([x(3), x(4)])
    assert (columns(first), columns(second)) == ([[1], [2]], [[3], [4]])


async def test_a_whole_run_passes_inputs_and_outputs_through():
    outputs = {"n": np.array(3), "y": np.zeros((0, 7))}
    ran = await Worker(FakeRuntime(lambda _: outputs), "w", 1).run_whole(x(1, 2))
    assert ran.results == [outputs]
    assert ran.results[0] is outputs
    assert ran.inference_seconds > 0


@pytest.mark.parametrize("run", ["run_batch", "run_whole"])
async def test_the_model_sees_read_only_arrays(run: str):
    seen = []
    worker = Worker(FakeRuntime(lambda inputs: seen.append(inputs["x"].flags.writeable) or double(inputs)), "w", 4)
    request = {"x": np.ones((1, 1), "<f4")}
    await getattr(worker, run)([request] if run == "run_batch" else request)
    assert seen == [False]
    assert request["x"].flags.writeable


async def test_a_fault_of_the_model_is_logged_with_the_name_of_the_worker(caplog):
    await Worker(FakeRuntime(lambda inputs: {"y": inputs["x"][1:]}), "digits/1#0", 4).run_batch([x(1)])
    (line,) = [record.getMessage() for record in caplog.records]
    assert line == "digits/1#0: the model returned 0 rows of 'y' for a batch of 1 rows"


async def test_a_failing_whole_run_gives_its_error_and_the_time_that_it_took(caplog):
    error = ValueError("odd")
    ran = await Worker(FakeRuntime(failing_on(1, error)), "w", 1).run_whole(x(1))
    assert told(ran) == [(Internal, FAILED)]
    assert logged(caplog) == [error]
    assert ran.inference_seconds > 0


async def started(worker: Worker, *requests: Arrays) -> Ran:
    """What becomes of `requests`, started as the batcher does it."""
    future: asyncio.Future[Running] = asyncio.get_running_loop().create_future()
    worker.start(partial(worker.run_batch, requests, []), future.set_result)
    (ran,) = (await future).result()
    return ran


async def test_a_worker_has_one_thread_of_its_name():
    names = set()
    worker = Worker(FakeRuntime(lambda inputs: names.add(threading.current_thread().name) or inputs), "digits/1#0", 4)
    for _ in range(8):
        await started(worker, x(1))
    worker.close()
    assert names == {"digits/1#0_0"}


async def test_what_waits_on_the_event_loop_runs_there():
    seen = []
    runtime = AwaitedRuntime(lambda inputs: seen.append(threading.current_thread()) or double(inputs))
    assert columns(await started(Worker(runtime, "w", 4), x(1), x(2, 3))) == [[2], [4, 6]]
    assert seen == [threading.main_thread()]


@pytest.mark.parametrize("error", [ValueError("odd"), SystemExit(3), asyncio.CancelledError("odd")], ids=repr)
async def test_only_the_culprit_of_an_awaited_batch_fails(error: BaseException, caplog):
    ran = await started(Worker(AwaitedRuntime(failing_on(2, error)), "w", 4), x(1), x(2), x(3))
    assert [type(result) for result in ran.results] == [dict, Internal, dict]
    assert ran.results[1].message == FAILED
    assert columns(Ran([ran.results[0], ran.results[2]])) == [[2], [6]]


async def test_an_awaited_run_ends_with_the_event_loop():
    runtime = AwaitedRuntime(held=True)
    running = asyncio.create_task(Worker(runtime, "w", 4).run_batch([x(1), x(2)]))
    await runtime.entered()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert runtime.batches == [[1, 2]]


async def test_closing_lets_the_running_batch_end_and_starts_no_other():
    runtime = FakeRuntime(held=True)
    worker = Worker(runtime, "w", 4)
    running = worker.executor.submit(at_once, partial(worker.run_batch, [x(1)], []))
    await runtime.entered()
    next_one = worker.executor.submit(at_once, partial(worker.run_batch, [x(2)], []))
    closing = threading.Thread(target=worker.close)
    closing.start()
    with pytest.raises(CancelledError):
        next_one.result()
    closing.join()  # at once: a model is unloaded on the event loop
    assert not running.done()
    runtime.let()
    assert columns(running.result()[0]) == [[2]]
    assert runtime.batches == [[1]]


async def test_a_model_may_take_a_lone_requests_inputs_out_of_the_dict():
    (ran,) = await Worker(FakeRuntime(lambda inputs: {"y": inputs.pop("x")}), "w", 4).run_batch([x(1)])
    assert not isinstance(ran.results[0], Exception)


async def test_a_model_may_take_a_batchs_inputs_out_of_the_dict():
    (ran,) = await Worker(FakeRuntime(lambda inputs: {"y": inputs.pop("x")}), "w", 4).run_batch([x(1), x(2)])
    assert columns(ran) == [[1], [2]]


async def test_a_failing_run_reports_the_time_that_it_took():
    (ran,) = await Worker(FakeRuntime(failing_on(1, ValueError("odd"))), "w", 4).run_batch([x(1)])
    assert ran.inference_seconds > 0
