"""A whole pair in this process, on free ports of 127.0.0.1: for tests, and for a debugger.

start a thread with an event loop -> predictor ready -> transformer ready -> the test's body -> both drained -> end
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

import uvloop
from numpy.typing import ArrayLike, NDArray
from tandem import settings
from tandem.authoring import modules
from tandem.client import Client
from tandem.lifecycle import Fatal
from tandem.logs import ConsoleFormatter
from tandem_predictor.app import Predictor
from tandem_predictor.settings import Settings as PredictorSettings
from tandem_transformer import Transformer
from tandem_transformer.app import Gateway
from tandem_transformer.settings import Settings as TransformerSettings
from tandem_transformer.transformer import fitting

from tandem_cli.flags import share

PATIENCE = 60.0  # seconds for loading, setting up and the first meeting
ALWAYS = (
    *("--host=127.0.0.1", "--http_port=0", "--grpc_port=0", "--predictor.http_port=0", "--predictor.grpc_port=0"),
    *("--allow_python_models", "--drain_idle=0"),
)
S = TypeVar("S")


def pair(
    model_dir: Path | str,
    transformer: type[Transformer] | str = "identity",
    *,
    model_name: str = "model",
    flags: Sequence[str] = (),
) -> Pair:
    """A pair that serves the model in `model_dir` behind `transformer`, in a `with` or an `async with`.

    `transformer` is a class, or what --transformer takes; `flags` are those of `tandem up`. Raises Fatal, whose text
    is the line that the service would have ended with: a bad flag, a class that does not fit, a model that cannot be
    loaded, a setup that failed.
    """
    named = [] if isinstance(transformer, type) else [f"--transformer={transformer}"]
    given = (*ALWAYS, f"--model_dir={model_dir}", f"--model_name={model_name}", *named, *flags)
    return Pair(given, fitting(transformer, "transformer") if isinstance(transformer, type) else None)


class Pair:
    """A running pair. Its addresses are known once it is entered."""

    def __init__(self, flags: Sequence[str], make: Callable[[], Transformer] | None) -> None:
        shared = share(flags)
        if shared.warnings:
            raise Fatal(shared.warnings[0])
        self._predictor_settings = _read(PredictorSettings, "tandem-predictor", shared.predictor)
        self._transformer_settings = _read(TransformerSettings, "tandem-transformer", shared.transformer)
        self._make = make
        self._log = _Log()
        self._thread = threading.Thread(target=self._serve, name="pair", daemon=True)
        self._started: Future[None] = Future()
        self._loop: asyncio.AbstractEventLoop | None = None
        self.model_name = self._transformer_settings.model_name
        self.http_url = self.grpc_url = ""

    @property
    def logs(self) -> list[str]:
        """The log lines of both services so far, tracebacks and all."""
        return self._log.lines

    def infer(self, inputs: Mapping[str, ArrayLike], timeout: float = 30.0) -> Mapping[str, NDArray[Any]]:
        """The pair's answer to `inputs`. Raises the TandemError that it answered with."""
        with Client(self.http_url) as client:
            return client.infer(self.model_name, inputs, timeout=timeout)

    async def infer_async(self, inputs: Mapping[str, ArrayLike]) -> Mapping[str, NDArray[Any]]:
        """The same from a coroutine."""
        return await asyncio.to_thread(self.infer, inputs)

    def __enter__(self) -> Pair:
        """Start both; returns once requests would be answered."""
        self._log.attach()
        try:
            self._thread.start()
            self._started.result(2 * PATIENCE)  # it gives up by itself before
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop the transformer, then the predictor."""
        self._end()

    async def __aenter__(self) -> Pair:
        """As `with` does, without holding the caller's loop."""
        return await asyncio.to_thread(self.__enter__)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """The same."""
        await asyncio.to_thread(self._end)

    def _end(self) -> None:
        if self._loop and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join(PATIENCE)  # an author's code may be deaf
        self._log.detach()

    def _serve(self) -> None:
        try:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(self._live())
        except BaseException as error:
            if self._started.done():
                raise
            self._started.set_exception(error)

    async def _until_ready(self, gateway: Gateway, serving: asyncio.Task[None]) -> None:
        """Raises what keeps it from being ready, or Fatal if nothing is known of that."""
        readying, ending = asyncio.create_task(_ready(gateway, serving)), asyncio.create_task(self._stopping.wait())
        try:
            await asyncio.wait([readying, ending], timeout=PATIENCE, return_when=asyncio.FIRST_COMPLETED)
            if not readying.done():
                raise Fatal(f"the pair is not ready after {PATIENCE:g} s; pair.logs says more")
            readying.result()
        finally:
            readying.cancel()
            ending.cancel()

    async def _live(self) -> None:
        self._loop, self._stopping = asyncio.get_running_loop(), asyncio.Event()
        predictor = Predictor(self._predictor_settings, Path(self._predictor_settings.model_dir))
        await predictor.start()
        try:
            hop = f"127.0.0.1:{predictor.doors.grpc_port}"
            gateway = Gateway(replace(self._transformer_settings, predictor_host=hop), self._make)
            serving = asyncio.create_task(gateway.start())
            try:
                await self._until_ready(gateway, serving)
                self.http_url = f"http://127.0.0.1:{gateway.doors.http_port}"
                self.grpc_url = f"127.0.0.1:{gateway.doors.grpc_port}"
                self._started.set_result(None)
                await self._stopping.wait()
            finally:
                await gateway.shutdown()
        finally:
            await predictor.shutdown()


class _Log(logging.Handler):
    """Keeps the lines that Tandem's loggers write, from level INFO on."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []
        self.setFormatter(ConsoleFormatter())
        self._logger = logging.getLogger("tandem")
        self._level = self._logger.level

    def emit(self, record: logging.LogRecord) -> None:
        """Keep one."""
        self.lines.append(self.format(record))

    def attach(self) -> None:
        """From now on."""
        self._level = self._logger.level
        self._logger.setLevel(logging.INFO)
        self._logger.addHandler(self)

    def detach(self) -> None:
        """No longer."""
        self._logger.removeHandler(self)
        self._logger.setLevel(self._level)


async def _ready(gateway: Gateway, serving: asyncio.Task[None]) -> None:
    """Wait until the transformer takes requests; raises Fatal if it never will."""
    readiness = gateway.doors.readiness
    while not readiness.ready:
        if failure := gateway.failure:
            raise Fatal(f"the transformer's setup failed: {modules.told(failure)}") from failure
        change = asyncio.ensure_future(readiness.change())
        await asyncio.wait([change, serving], return_when=asyncio.FIRST_COMPLETED)
        change.cancel()
        if serving.done():
            serving.result()


def _read(cls: Callable[..., S], program: str, arguments: Sequence[str]) -> S:
    parsed, problems = settings.parse(cls, program, "", arguments, {})  # type: ignore[arg-type]  # a dataclass
    if problems:
        raise Fatal(problems[0])
    return cls(**parsed.values)
