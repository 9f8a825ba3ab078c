"""Keeps the pipeline in step with the predictor: whether it is ready, and whether its model has changed."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from typing import Protocol

from tandem.authoring import modules
from tandem.errors import TandemError
from tandem.lifecycle import Part
from tandem.metadata import ModelMetadata

from tandem_transformer.transformer import Transformer

log = logging.getLogger("tandem.link")

INTERVAL = 0.25  # seconds; below the predictor's --drain_idle, which our looks may prolong
SELDOM = 4  # intervals between two looks while all is well: a look costs both services a millisecond or two


class Peer(Protocol):
    """What is asked of the predictor beside inference."""

    @property
    def connected(self) -> bool:
        """Whether it is there, as far as can be told without asking."""
        ...

    async def ready(self, name: str, *, pending: bool) -> bool:
        """Whether it takes requests for the model."""
        ...

    async def metadata(self, name: str) -> ModelMetadata:
        """The model's tensors."""
        ...


class Link:
    """Polls the predictor and sets up a transformer for each model that it shows."""

    def __init__(
        self,
        peer: Peer,
        name: str,
        *,
        make: Callable[[], Transformer],
        fit: Callable[[Transformer, ModelMetadata], None],
        options: Mapping[str, str],
        pending: Callable[[], bool],
        tell: Callable[[bool], None],
        executor: Executor,
    ) -> None:
        self._peer = peer
        self._name = name
        self._make = make
        self._fit = fit
        self._options = options
        self._pending = pending
        self._tell = tell  # whether the predictor answers
        self._executor = executor
        self._model: ModelMetadata | None = None
        self.failure: Exception | None = None  # of the latest setup
        self._told = ""

    async def watch(self, part: Part, *, follow: bool) -> None:
        """Look at the predictor until cancelled; `part` says why requests would fail, if they would.

        Without `follow`, it only has to be met once: afterwards its readiness is its own affair.
        """
        last = part.reason
        while True:
            reason = await self._look()
            self._tell(reason is None)
            if reason != last:
                log.info("predictor: %s", reason or "ready")
                last = reason
            part.set(reason if follow or self._model is None else None)
            await self._rest(well=reason is None)

    async def _rest(self, *, well: bool) -> None:
        """Until the next look: soon if the predictor is not well or gone, or has to hear that requests will come."""
        for _ in range(SELDOM if well else 1):
            await asyncio.sleep(INTERVAL)
            if self._pending() or not self._peer.connected:
                return

    async def _look(self) -> str | None:
        try:
            if not await self._peer.ready(self._name, pending=self._pending()):
                return "the predictor is not ready"
            await self._meet(await self._peer.metadata(self._name))
        except TandemError as error:
            return error.message
        except Exception as error:  # the user's setup may raise anything
            if repr(error) != self._told:  # it is tried again at every look; once is enough in the log
                log.exception("setting up the transformer failed: %s", modules.told(error))
                self._told = repr(error)
            return f"the transformer's setup failed: {type(error).__name__}"
        return None

    async def _meet(self, model: ModelMetadata) -> None:
        if model == self._model:
            return
        transformer = self._make()
        try:
            await self._set_up(transformer, model)
        except Exception as error:
            self.failure = error
            raise
        self.failure = None
        self._fit(transformer, model)
        self._model = model
        log.info("set up %s", type(transformer).__name__, extra={"model": model.name, "inputs": len(model.inputs)})

    async def _set_up(self, transformer: Transformer, model: ModelMetadata) -> None:
        if inspect.iscoroutinefunction(transformer.setup):
            await transformer.setup(model, self._options)
            return
        work = asyncio.get_running_loop().run_in_executor(self._executor, transformer.setup, model, self._options)
        if awaitable := await work:  # an async def in a decorator
            await awaitable
