"""Runs the author's methods: a `def` in the thread pool, an `async def` on the loop, an inherited one not at all."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from contextvars import copy_context
from functools import partial
from typing import Any

from tandem.authoring.results import hold
from tandem.context import Context
from tandem.errors import Internal, TandemError
from tandem.inference import Arrays
from tandem.metadata import TensorSpec, as_arrays

from tandem_transformer.transformer import Transformer

log = logging.getLogger("tandem.user")


class Step:
    """`preprocess` or `postprocess` of one transformer."""

    def __init__(self, transformer: Transformer, name: str, executor: Executor) -> None:
        method: Callable[[Arrays, Context], Any] = getattr(transformer, name)
        self.overridden = getattr(type(transformer), name) is not getattr(Transformer, name)
        self._method = method
        self._is_async = inspect.iscoroutinefunction(method)
        self._executor = executor
        self._promised = tuple(transformer.outputs) if name == "postprocess" else ()
        self._name = type(transformer).__name__
        self._source = f"{self._name}.{name}"

    async def run(self, arrays: Arrays, context: Context) -> Arrays:
        """What the method makes of `arrays`. Raises TandemError as it is, and Internal for any other exception."""
        try:
            if self._is_async:
                result = await self._method(arrays, context)
            else:
                work = partial(copy_context().run, self._work, arrays, context)  # so that it knows its span
                result = await asyncio.get_running_loop().run_in_executor(self._executor, work)
                if not isinstance(result, dict) and inspect.isawaitable(result):  # an async def in a decorator
                    result = await result
            arrays = as_arrays(result, self._source)
            if self._promised:
                hold(arrays, self._promised, self._source, f"{self._name}.outputs has")
            return arrays
        except TandemError as error:
            if isinstance(error, Internal):
                log.error("%s", error.message, extra={"id": context.id})
            raise
        except Exception as error:
            log.exception("%s failed", self._source, extra={"id": context.id})
            raise Internal(f"{self._source} failed; the transformer's log says more (id {context.id})") from error

    def blame(self, arrays: Arrays, taken: Sequence[TensorSpec], context: Context) -> None:
        """Raise Internal if the method is why the predictor refused `arrays`: they are not what the model takes."""
        if len(arrays) == len(taken) == 1:  # then the name does not matter
            arrays = {taken[0].name: next(iter(arrays.values()))}
        try:
            hold(arrays, taken, self._source, "the model takes")
        except Internal as error:
            log.error("%s", error.message, extra={"id": context.id})
            raise

    def _work(self, arrays: Arrays, context: Context) -> object:
        context.deadline.check(f"{self._source} started")  # it may have waited for a thread
        try:
            return self._method(arrays, context)
        except StopIteration as error:  # a future cannot carry it: the request would hang
            raise RuntimeError(f"{self._source} raised StopIteration") from error
