"""A pipeline whose own code decides when the predictor is asked, and what of."""

from __future__ import annotations

import asyncio
import inspect
from abc import abstractmethod
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from contextlib import AbstractContextManager
from contextvars import copy_context
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

from tandem.inference import Arrays, Call, InferRequest, InferResponse

from tandem_transformer.transformer import Transformer


class Predict(Protocol):
    """Asks the predictor."""

    async def __call__(self, inputs: Arrays) -> InferResponse:
        """Its answer; raises TandemError."""
        ...


@dataclass(frozen=True, slots=True)
class Stages:
    """What the service does for one request's sake."""

    call: Call
    predict: Predict
    executor: Executor
    seconds: Mapping[str, Callable[[], AbstractContextManager[Any]]]  # by phase, what counts its time

    async def run(self, phase: str, method: Callable[..., Any], *arguments: object) -> Any:
        """The result of an author's method: a `def` runs in the pool. Its time counts as `phase`, if that is one."""
        if phase not in self.seconds:
            return await self._run(method, *arguments)
        with self.call.timings.phase(phase), self.seconds[phase]():
            return await self._run(method, *arguments)

    async def _run(self, method: Callable[..., Any], *arguments: object) -> Any:
        if inspect.iscoroutinefunction(method):
            return await method(*arguments)
        self.call.deadline.check("it was worked on")
        work = partial(copy_context().run, _guarded, method, *arguments)
        return await asyncio.get_running_loop().run_in_executor(self.executor, work)


class Whole(Transformer):
    """Answers requests itself. Its `inputs` and `outputs` are as they are: () means that nobody knows."""

    @abstractmethod
    async def answer(self, request: InferRequest, stages: Stages) -> InferResponse:
        """The answer, whose model, version and id do not matter; raises TandemError."""


def _guarded(method: Callable[..., Any], *arguments: object) -> Any:
    try:
        return method(*arguments)
    except StopIteration as error:  # a future cannot carry it: the request would hang
        raise RuntimeError(f"{method.__qualname__} raised StopIteration") from error
