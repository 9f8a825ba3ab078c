"""The link: whether the predictor is ready, and a transformer set up for the model that it shows."""

from __future__ import annotations

import asyncio
import logging
import math
import threading
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from tandem.errors import Internal, InvalidInput, NotFound, Unavailable
from tandem.lifecycle import Readiness
from tandem.metadata import ModelMetadata, TensorSpec
from tandem_transformer import Transformer, link
from transformer.fakes import FakePeer, model

MODEL = model(TensorSpec("x", "FP32", (-1, 3)))
OTHER = model(TensorSpec("x", "FP32", (-1, 4)))
AT_FIRST = "the predictor has not answered yet"


class Bench:
    """A link, the peer that it looks at and what it makes of it."""

    def __init__(self, executor: ThreadPoolExecutor) -> None:
        self.peer = FakePeer(MODEL)
        self.readiness = Readiness()
        self.part = self.readiness.part("predictor", AT_FIRST)
        self.set_up: list[tuple[ModelMetadata, dict[str, str], str]] = []  # model, options, thread
        self.fitted: list[ModelMetadata] = []
        self.failure: Exception | None = None  # of the next setups
        self.pending = self.up = False
        self.intervals = 0  # that have passed: it asks for what is pending after each, and at each look
        self.quiet = math.inf  # intervals, after which something is pending
        self.link = link.Link(
            self.peer,
            "m",
            make=self._make,
            fit=lambda _transformer, shown: self.fitted.append(shown),
            options={"top_k": "3"},
            pending=self._pending,
            tell=self._tell,
            executor=executor,
        )

    def _pending(self) -> bool:
        self.intervals += 1
        return self.pending or self.intervals > self.quiet

    def _tell(self, up: bool) -> None:
        self.up = up

    @asynccontextmanager
    async def watching(self, *, follow: bool = True) -> AsyncIterator[FakePeer]:
        task = asyncio.create_task(self.link.watch(self.part, follow=follow))
        try:
            yield self.peer
        finally:
            task.cancel()
            await asyncio.wait([task])
            assert task.cancelled()

    def _make(self) -> Transformer:
        bench = self

        class Noting(Transformer):
            def setup(self, shown, options):
                bench.set_up.append((shown, dict(options), threading.current_thread().name))
                if bench.failure:
                    raise bench.failure

        return Noting()


@pytest.fixture
def bench(monkeypatch) -> Iterator[Bench]:
    monkeypatch.setattr(link, "INTERVAL", 0)  # the peer's answers set the pace
    with ThreadPoolExecutor(1, thread_name_prefix="pool") as executor:
        yield Bench(executor)


async def test_it_is_not_ready_until_the_predictor_is(bench):
    async with bench.watching() as peer:
        assert (bench.readiness.reason, bench.up) == (AT_FIRST, False)
        await peer.says(Unavailable("the predictor cannot be reached"))
        assert (bench.readiness.reason, bench.up) == ("the predictor cannot be reached", False)
        await peer.says(False)
        assert (bench.readiness.reason, bench.up) == ("the predictor is not ready", False)
        assert not bench.fitted
        await peer.says(True)
        assert (bench.readiness.reason, bench.up) == (None, True)
        await peer.says(False)
        assert (bench.readiness.reason, bench.up) == ("the predictor is not ready", False)


async def test_the_transformer_is_set_up_with_model_and_options_in_the_executor_before_it_is_fitted(bench):
    async with bench.watching() as peer:
        await peer.says(True)
    ((shown, options, thread),) = bench.set_up
    assert (shown, options, bench.fitted) == (MODEL, {"top_k": "3"}, [MODEL])
    assert thread == "pool_0"


async def test_waiters_are_woken_when_it_becomes_ready(bench):
    async with bench.watching() as peer:
        waiting = asyncio.create_task(bench.readiness.until_ready())
        await peer.says(True)
        await asyncio.wait_for(waiting, 5)


async def test_a_predictor_that_comes_back_with_the_same_model_changes_nothing(bench):
    async with bench.watching() as peer:
        for answer in (True, True, Unavailable("gone"), True):
            await peer.says(answer)
    assert len(bench.set_up) == len(bench.fitted) == 1
    assert bench.readiness.ready


async def test_a_predictor_that_comes_back_with_another_model_gets_a_new_transformer(bench):
    async with bench.watching() as peer:
        for answer, shown in ((True, MODEL), (Unavailable("gone"), OTHER), (True, OTHER), (True, OTHER)):
            peer.shown = shown
            await peer.says(answer)
    assert bench.fitted == [MODEL, OTHER]
    assert bench.readiness.ready


async def test_a_model_that_changes_while_the_predictor_stays_ready_gets_a_new_transformer(bench):
    async with bench.watching() as peer:
        await peer.says(True)
        peer.shown = OTHER
        await peer.says(True)
        await peer.says(True)
    assert bench.fitted == [MODEL, OTHER]


@pytest.mark.parametrize(
    ("failure", "reason"),
    [
        (ValueError("/models/secret is wrong"), "the transformer's setup failed: ValueError"),
        (FileNotFoundError(2, "No such file", "/etc/labels"), "the transformer's setup failed: FileNotFoundError"),
        (InvalidInput("the model takes no images"), "the model takes no images"),
        (Internal("no"), "no"),
    ],
)
async def test_a_setup_that_fails_keeps_it_not_ready_with_a_reason_until_it_succeeds(bench, failure, reason):
    bench.failure = failure
    async with bench.watching() as peer:
        await peer.says(True)
        assert (bench.readiness.reason, bench.up, bench.fitted) == (reason, False, [])
        await peer.says(True)
        assert bench.readiness.reason == reason
        bench.failure = None
        await peer.says(True)
        assert (bench.readiness.reason, bench.up, bench.fitted) == (None, True, [MODEL])


async def test_the_log_tells_why_setup_failed(bench, caplog):
    bench.failure = ValueError("/models/secret is wrong")
    async with bench.watching() as peer:
        await peer.says(True)
    (record,) = [record for record in caplog.records if record.exc_info]
    told = "setting up the transformer failed: ValueError: /models/secret is wrong"
    assert (record.levelno, record.getMessage().partition(" (")[0]) == (logging.ERROR, told)
    assert Path(__file__).name in record.getMessage()
    assert record.exc_info[1] is bench.failure


async def test_a_setup_that_goes_on_failing_is_logged_once(bench, caplog):
    bench.failure = ValueError("still wrong")
    async with bench.watching() as peer:
        for _ in range(5):
            await peer.says(True)
    assert len([record for record in caplog.records if record.exc_info]) == 1


async def test_a_failed_setup_for_a_changed_model_keeps_the_old_transformer_and_says_so(bench):
    async with bench.watching() as peer:
        await peer.says(True)
        await peer.says(False)
        peer.shown, bench.failure = OTHER, ValueError("no")
        await peer.says(True)
    assert bench.fitted == [MODEL]
    assert bench.readiness.reason == "the transformer's setup failed: ValueError"


@pytest.mark.parametrize("error", [NotFound("model 'm' is not found"), Unavailable("not ready: loading")])
async def test_metadata_that_cannot_be_had_is_the_reason(bench, error):
    bench.peer.shown = error
    async with bench.watching() as peer:
        await peer.says(True)
        assert (bench.readiness.reason, bench.up) == (error.message, False)
        peer.shown = MODEL
        await peer.says(True)
        assert bench.readiness.ready


async def test_without_following_it_has_to_be_met_once_and_is_ready_ever_after(bench):
    async with bench.watching(follow=False) as peer:
        await peer.says(False)
        assert bench.readiness.reason == "the predictor is not ready"
        await peer.says(True)
        assert bench.readiness.ready
        await peer.says(Unavailable("the predictor cannot be reached"))
        assert bench.readiness.ready
        assert not bench.up  # the channel's own metric still tells


async def test_each_look_names_the_model_and_says_whether_requests_are_in_flight(bench):
    async with bench.watching() as peer:
        await peer.says(True)
        bench.pending = True
        await peer.says(True)
        await peer.says(True)
    assert bench.peer.looks[0] == ("m", False)
    assert bench.peer.looks[-1] == ("m", True)


@pytest.mark.parametrize(
    ("answer", "pending", "connected", "intervals"),
    [
        (True, False, True, link.SELDOM),
        (False, False, True, 1),
        (Unavailable("the predictor cannot be reached"), False, True, 1),
        (True, True, True, 1),
        (True, False, False, 1),
    ],
)
async def test_it_looks_seldom_while_all_is_well_and_soon_otherwise(bench, answer, pending, connected, intervals):
    async with bench.watching() as peer:
        await peer.says(answer)
        bench.pending, peer.connected, before = pending, connected, bench.intervals
        await peer.says(answer)
    assert bench.intervals - before == intervals + 1


async def test_it_looks_soon_for_what_becomes_pending_while_it_rests(bench):
    async with bench.watching() as peer:
        bench.quiet = 2  # the look asks first, then the end of the first interval; that of the second finds it
        await peer.says(True)
    assert bench.peer.looks == [("m", False), ("m", True)]
    assert bench.intervals == 4 < link.SELDOM + 2


async def test_the_log_has_a_line_a_change_and_none_a_look(bench, caplog):
    caplog.set_level(logging.INFO, "tandem.link")
    async with bench.watching() as peer:
        for answer in (False, False, True, True, True, False):
            await peer.says(answer)
    lines = [record.getMessage() for record in caplog.records if record.getMessage().startswith("predictor: ")]
    assert lines == [
        "predictor: the predictor is not ready",
        "predictor: ready",
        "predictor: the predictor is not ready",
    ]


async def test_an_async_setup_runs_on_the_loop(bench, monkeypatch):
    class Asked(Transformer):
        async def setup(self, shown, options):
            bench.set_up.append((shown, dict(options), threading.current_thread().name))

    monkeypatch.setattr(bench.link, "_make", Asked)
    async with bench.watching() as peer:
        await peer.says(True)
    assert bench.set_up == [(MODEL, {"top_k": "3"}, threading.current_thread().name)]
