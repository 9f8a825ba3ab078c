"""A predictor written for KServe's SDK, as it is: one request a run, in the SDK's form.

arrays -> the SDK's request -> preprocess -> predict -> postprocess -> arrays
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from typing import Any

from tandem.inference import Arrays, InferRequest
from tandem.kserve import calls, sdk, tensors
from tandem.kserve.author import Author
from tandem.metadata import TensorSpec

from tandem_predictor.devices import CPU
from tandem_predictor.runtime import Allocate, LoadError, Runtime
from tandem_predictor.settings import Settings

PLATFORM = "kserve"


def open_runtimes(settings: Settings, argv: list[str], *, instances: int) -> list[Runtime]:
    """One object an instance of the class that --model_class names; raises LoadError or Fatal."""
    options = dict(entry.split("=", 1) for entry in settings.model_options)
    setting = sdk.Setting(settings.model_name or "model", options=options, arguments=sdk.unknown(argv, Settings))
    author = Author("model_class", settings.model_class, setting)
    return [KServeRuntime(author) for _ in range(instances)]


class KServeRuntime:
    """One object of the author's class. What it does not declare of its tensors is not checked."""

    platform = PLATFORM
    device = CPU
    allocate: Allocate | None = None
    on_loop = False  # its methods may be of both kinds
    habit = None
    max_batch_size: int | None = 0  # the SDK has no batches: a request is what `predict` is given

    def __init__(self, author: Author) -> None:
        self._author = author
        self._loop = asyncio.new_event_loop()  # of the object's async methods, and of what its engine has running
        threading.Thread(target=self._loop.run_forever, name="kserve", daemon=True).start()
        self._model: Any = author.make(self._wait)
        try:
            self.inputs: Sequence[TensorSpec] = tensors.specs(self._model.get_input_types())
            self.outputs: Sequence[TensorSpec] = tensors.specs(self._model.get_output_types())
        except (KeyError, TypeError) as error:
            raise LoadError(f"{author.flag}: get_input_types or get_output_types: {error!r}") from error

    def run(self, inputs: Arrays) -> Arrays:
        """Call the object's methods as the SDK's own server does; raises TandemError."""
        model, headers, added = self._model, dict[str, str](), dict[str, str]()
        third = (added,) if model.required_response_headers else ()
        payload: object = tensors.request(InferRequest(model.name, "", inputs), from_grpc=True)
        if self._author.overrides("preprocess"):
            payload = self._step(model.preprocess, payload, headers)
        result = _unpacked(self._step(model.predict, model.validate(payload), headers, *third))
        if self._author.overrides("postprocess"):
            result = _unpacked(self._step(model.postprocess, result, headers, *third))
        return tensors.arrays(result, f"{self._author.cls.__name__}.predict")

    def warm_up(self, rows: int) -> None:
        """Nothing: `load` is the place for it, and `predict` may have effects."""

    def _step(self, method: Any, *arguments: object) -> object:
        with calls.translated(method.__qualname__):
            result = method(*arguments[: calls.takes(method)])
            return self._wait(result) if asyncio.iscoroutine(result) else result

    def _wait(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(_awaited(work), self._loop).result()


def _unpacked(result: object) -> object:
    """(response, headers), as some authors return it."""
    return result[0] if isinstance(result, tuple) and len(result) == 2 else result


async def _awaited(work: Any) -> Any:
    return await work
