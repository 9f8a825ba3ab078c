"""How the author's methods are run, and what becomes of their results and exceptions."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from tandem.context import Context
from tandem.deadline import Deadline
from tandem.errors import DeadlineExceeded, Internal, InvalidInput, NotFound
from tandem_transformer import Transformer
from tandem_transformer.steps import Step

X = {"x": np.ones(2, np.float32)}


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1, thread_name_prefix="pool") as executor:
        yield executor


class Given(Transformer):
    """Gives or raises what it is made with."""

    def __init__(self, result: object) -> None:
        self.result = result

    def preprocess(self, inputs, context):
        if isinstance(self.result, Exception):
            raise self.result
        return self.result


class GivenAsync(Given):
    async def preprocess(self, inputs, context):
        return Given.preprocess(self, inputs, context)


class Whereabouts(Transformer):
    """Notes the thread in which each method runs."""

    def __init__(self) -> None:
        self.threads: list[str] = []

    def preprocess(self, inputs, context):
        self.threads.append(threading.current_thread().name)
        return inputs

    async def postprocess(self, outputs, context):
        self.threads.append(threading.current_thread().name)
        return outputs


async def test_a_def_runs_in_the_pool_and_an_async_def_on_the_loop(pool):
    transformer = Whereabouts()
    for name in ("preprocess", "postprocess"):
        assert await Step(transformer, name, pool).run(X, Context()) == X
    assert transformer.threads == ["pool_0", threading.current_thread().name]


async def test_the_loop_goes_on_while_a_def_works(pool):
    gate = threading.Event()

    class Gated(Transformer):
        def preprocess(self, inputs, context):
            assert gate.wait(10)
            return inputs

    running = asyncio.create_task(Step(Gated(), "preprocess", pool).run(X, Context()))
    await asyncio.get_running_loop().run_in_executor(None, gate.set)  # the loop must be alive to do this
    assert await running == X


@pytest.mark.parametrize(
    ("cls", "overridden"),
    [
        (Transformer, (False, False)),
        (Whereabouts, (True, True)),
        (Given, (True, False)),
        (type("Heir", (Given,), {}), (True, False)),
    ],
)
def test_a_method_counts_as_overridden_only_where_a_class_defines_it(cls, overridden, pool):
    transformer = cls.__new__(cls)
    assert tuple(Step(transformer, name, pool).overridden for name in ("preprocess", "postprocess")) == overridden


async def test_the_context_reaches_the_method_and_its_timer_the_timings(pool):
    class Curious(Transformer):
        def preprocess(self, inputs, context):
            with context.timer("lookup"):
                return {"id": np.array([context.id, context.headers["a"]])}

    context = Context(id="q", headers={"a": "b"})
    result = await Step(Curious(), "preprocess", pool).run(X, context)
    assert result["id"].tolist() == [b"q", b"b"]
    assert dict(context.timings.items())["lookup"] > 0


@pytest.mark.parametrize("cls", [Given, GivenAsync])
async def test_text_becomes_bytes_of_utf8(cls, pool):
    result = await Step(cls({"t": np.array([["Käse", ""]])}), "preprocess", pool).run(X, Context())
    assert result["t"].tolist() == [["Käse".encode(), b""]]
    assert result["t"].dtype == object


@pytest.mark.parametrize("cls", [Given, GivenAsync])
@pytest.mark.parametrize(
    ("result", "message"),
    [
        (None, "returned NoneType, expected a dict of NumPy arrays"),
        (X["x"], "returned ndarray, expected a dict of NumPy arrays"),
        ([X["x"]], "returned list, expected a dict of NumPy arrays"),
        ({"x": [1, 2]}, "returned 'x' as list, expected numpy.ndarray"),
        ({**X, "y": 1.5}, "returned 'y' as float, expected numpy.ndarray"),
    ],
)
async def test_a_result_of_another_kind_is_internal_and_says_what_was_expected(cls, result, message, pool, caplog):
    with pytest.raises(Internal) as caught:
        await Step(cls(result), "preprocess", pool).run(X, Context(id="q-1"))
    assert caught.value.message == f"{cls.__name__}.preprocess {message}"
    (record,) = [record for record in caplog.records if record.name == "tandem.user"]
    assert (record.levelno, record.id, record.getMessage()) == (logging.ERROR, "q-1", caught.value.message)


@pytest.mark.parametrize("cls", [Given, GivenAsync])
@pytest.mark.parametrize("raised", [ValueError("/etc/secret"), KeyError("x"), MemoryError(), AssertionError()])
async def test_an_exception_is_internal_with_the_id_and_its_traceback_only_in_the_log(cls, raised, pool, caplog):
    with pytest.raises(Internal) as caught:
        await Step(cls(raised), "preprocess", pool).run(X, Context(id="q-2"))
    text = f"{cls.__name__}.preprocess failed; the transformer's log says more (id q-2)"
    assert (caught.value.message, caught.value.http_status) == (text, 500)
    (record,) = [record for record in caplog.records if record.name == "tandem.user"]
    assert (record.levelno, record.id) == (logging.ERROR, "q-2")
    assert record.exc_info
    assert record.exc_info[1] is raised


@pytest.mark.parametrize("cls", [Given, GivenAsync])
@pytest.mark.parametrize("raised", [InvalidInput("too dark"), NotFound("no such shelf")])
async def test_a_tandem_error_stays_what_it_is_and_is_no_matter_for_the_log(cls, raised, pool, caplog):
    with pytest.raises(type(raised)) as caught:
        await Step(cls(raised), "preprocess", pool).run(X, Context())
    assert caught.value is raised
    assert not caplog.records


async def test_stop_iteration_is_an_exception_like_any_other(pool):
    asyncio.get_running_loop().set_exception_handler(lambda _loop, _context: None)  # asyncio's own complaint
    with pytest.raises(Internal, match="failed"):
        await asyncio.wait_for(Step(Given(StopIteration()), "preprocess", pool).run(X, Context()), 1)


async def test_work_whose_time_is_over_when_a_thread_is_free_is_not_begun(pool):
    transformer, gate, taken = Whereabouts(), threading.Event(), threading.Event()
    pool.submit(lambda: (taken.set(), gate.wait(10)))
    assert taken.wait(10)
    waiting = asyncio.create_task(Step(transformer, "preprocess", pool).run(X, Context(deadline=Deadline(at=0.0))))
    await asyncio.get_running_loop().run_in_executor(None, gate.set)
    with pytest.raises(DeadlineExceeded, match=r"before Whereabouts\.preprocess started$"):
        await waiting
    assert not transformer.threads


async def test_a_cancelled_request_is_cancelled_and_nothing_else(pool, caplog):
    entered = asyncio.Event()

    class Endless(Transformer):
        async def preprocess(self, inputs, context):
            entered.set()
            await asyncio.get_running_loop().create_future()

    running = asyncio.create_task(Step(Endless(), "preprocess", pool).run(X, Context()))
    await entered.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert not caplog.records


async def test_arrays_of_byte_strings_become_arrays_of_bytes_as_text_does(pool):
    result = await Step(Given({"t": np.array([b"cat", b"dog"])}), "preprocess", pool).run(X, Context())
    assert (result["t"].dtype, result["t"].tolist()) == (object, [b"cat", b"dog"])


async def test_an_async_def_that_a_decorator_hides_is_awaited_all_the_same(pool):
    def decorated(method):
        def called(*args):
            return method(*args)

        return called

    class Hidden(Transformer):
        @decorated
        async def preprocess(self, inputs, context):
            await asyncio.sleep(0)
            return inputs

    assert await Step(Hidden(), "preprocess", pool).run(X, Context()) == X
