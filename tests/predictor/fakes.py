"""Small runtimes that tests hold and release, and a rig: a real batcher with real workers around them."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from types import TracebackType

import numpy as np
from prometheus_client import CollectorRegistry
from tandem import TensorSpec
from tandem.deadline import Deadline
from tandem.inference import Arrays
from tandem.metrics import PredictorMetrics
from tandem.model.statistics import Statistics
from tandem_predictor.batcher import Batcher, Limits, Outcome
from tandem_predictor.devices import CPU
from tandem_predictor.runtime import Allocate, Runtime
from tandem_predictor.runtimes.habit import TRIAL, Habit
from tandem_predictor.worker import Worker

PATIENCE = 10.0  # seconds until a test that hangs is called failed
MANY = 10_000  # runs; more than any test makes
FOREVER = 3600.0  # a delay window that no test outlives
NEVER = Deadline()
FAILED = "the model failed on this request; the predictor's log says more"  # whatever the model raised


def x(*values: float, columns: int = 1) -> Arrays:
    """A request of one row a value; read-only, as what comes off the wire."""
    rows = np.repeat(np.array(values, "<f4"), columns)
    return {"x": np.frombuffer(rows.tobytes(), "<f4").reshape(len(values), columns)}


def y(outcome: Outcome) -> list[float]:
    """The first column of the answer."""
    return outcome.outputs["y"][:, 0].tolist()


def double(inputs: Arrays) -> Arrays:
    return {"y": inputs["x"] * 2}


def identity(inputs: Arrays) -> Arrays:
    return {"y": inputs["x"]}


def failing_on(culprit: float, error: BaseException) -> Callable[[Arrays], Arrays]:
    """`double`, but a batch that holds `culprit` raises."""

    def function(inputs: Arrays) -> Arrays:
        if culprit in inputs["x"]:
            raise error
        return double(inputs)

    return function


def used_to(*, apart: bool) -> Habit:
    """A habit whose first trial has found this way to be the cheaper one."""
    habit = Habit()
    for _ in range(2 * TRIAL):
        now = habit.apart
        habit.learn(1.0 if now is apart else 2.0, apart=now)
    return habit


class FakeRuntime:
    """Runs `function`; a held one waits in `run` for `let` or `open`."""

    platform = "fake"
    device = CPU
    allocate: Allocate | None = None
    on_loop = False
    habit: Habit | None = None
    max_batch_size: int | None = None
    inputs: Sequence[TensorSpec] = (TensorSpec("x", "FP32", (-1, -1)),)
    outputs: Sequence[TensorSpec] = (TensorSpec("y", "FP32", (-1, -1)),)

    def __init__(self, function: Callable[[Arrays], Arrays] = double, *, held: bool = False) -> None:
        self.batches: list[list[float]] = []  # the values of every run, in order
        self._function = function
        self._entered = threading.Semaphore(0)
        self._permits = threading.Semaphore(0 if held else MANY)

    def run(self, inputs: Arrays) -> Arrays:
        self.batches.append(next(iter(inputs.values())).ravel().tolist())
        self._entered.release()
        if not self._permits.acquire(timeout=PATIENCE):
            raise AssertionError("nobody let the runtime go on")
        return self._function(inputs)

    def warm_up(self, rows: int) -> None:
        self.run({"x": np.zeros((rows, 1), "<f4")})

    def let(self) -> None:
        """Let one run go on."""
        self._permits.release()

    def open(self) -> None:
        """Let every run go on."""
        self._permits.release(MANY)

    async def entered(self) -> None:
        """Wait for the next run to begin."""
        assert await asyncio.to_thread(self._entered.acquire, timeout=PATIENCE), "no run began"


class AwaitedRuntime(FakeRuntime):
    """Runs on the event loop; a held one waits there."""

    on_loop = True

    def __init__(self, function: Callable[[Arrays], Arrays] = double, *, held: bool = False) -> None:
        super().__init__(function)
        self.go = asyncio.Event()
        if not held:
            self.go.set()

    async def run(self, inputs: Arrays) -> Arrays:
        self.batches.append(next(iter(inputs.values())).ravel().tolist())
        self._entered.release()
        await self.go.wait()
        return self._function(inputs)

    def open(self) -> None:
        self.go.set()


class Clock:
    """Stands in for the batcher's `time`."""

    now = 1000.0

    def perf_counter(self) -> float:
        return self.now


class Rig:
    """A batcher over `runtimes`. On leaving, nothing may be queued and no error may have gone to the loop."""

    def __init__(
        self,
        *runtimes: Runtime,
        rows: int = 4,
        queue: int = 64,
        delay: float = 0.0,
        batchable: bool = True,
        inference_timeout: float = 0.0,
    ) -> None:
        self.runtimes = runtimes or (FakeRuntime(held=True),)
        self.runtime = self.runtimes[0]
        self._registry = CollectorRegistry()
        self.metrics = PredictorMetrics(self._registry, "test").for_model("m")
        self.workers = [Worker(runtime, f"m#{index}", rows) for index, runtime in enumerate(self.runtimes)]
        self.statistics = Statistics()
        self.told: list[str | None] = []  # what readiness was told
        self.batcher = Batcher(
            self.workers,
            batchable=batchable,
            limits=Limits(rows, queue, delay, inference_timeout),
            metrics=self.metrics,
            statistics=self.statistics,
            changed=self.told.append,
        )
        self.errors: list[dict[str, object]] = []  # what only the loop's handler got to see
        self.broken = asyncio.Event()
        self._tasks: list[asyncio.Task[Outcome]] = []

    async def __aenter__(self) -> Rig:
        asyncio.get_running_loop().set_exception_handler(self._note)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for runtime in self.runtimes:
            if isinstance(runtime, FakeRuntime):
                runtime.open()
        self.batcher.close()
        for worker in self.workers:
            await asyncio.to_thread(worker.executor.shutdown)  # waits for what runs
        await turn()  # in which the loop learns of its end,
        await turn()  # and in which the batcher does
        if kind is None:
            assert self.waiting == 0
            assert self.errors == []

    async def submit(
        self, *requests: Arrays, deadline: Deadline = NEVER, priority: int = 0
    ) -> list[asyncio.Task[Outcome]]:
        """Tasks of callers, one a request; when this returns, each is queued, running or refused."""
        tasks = [asyncio.create_task(self.batcher.submit(request, deadline, priority)) for request in requests]
        self._tasks += tasks
        await turn()
        return tasks

    async def occupy(self) -> list[asyncio.Task[Outcome]]:
        """Give every worker a batch of one row to be held by."""
        tasks = await self.submit(*[x(-1.0) for _ in self.runtimes])
        for runtime in self.runtimes:
            await runtime.entered()
        return tasks

    @property
    def waiting(self) -> float:
        """The rows in the queue, as the gauge says."""
        return self.metric("tandem_queue_rows")

    def metric(self, name: str, **labels: str) -> float:
        value = self._registry.get_sample_value(name, labels or {"model_name": "m"})
        assert value is not None, name
        return value

    def _note(self, loop: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
        self.errors.append(context)
        self.broken.set()


async def turn() -> None:
    """Let everything that is ready on the loop run once."""
    loop = asyncio.get_running_loop()
    passed = loop.create_future()
    loop.call_soon(passed.set_result, None)
    await passed
