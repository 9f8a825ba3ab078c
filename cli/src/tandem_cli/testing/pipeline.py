"""A pipeline without servers: inputs -> preprocess -> a function or a model file -> postprocess -> outputs."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeAlias

from numpy.typing import NDArray
from prometheus_client import CollectorRegistry
from tandem.deadline import Deadline
from tandem.errors import Internal
from tandem.inference import Arrays, Call, InferRequest, InferResponse, Parameter
from tandem.metadata import ModelMetadata, as_arrays, match
from tandem.metrics import TransformerMetrics
from tandem_predictor.repository import discover
from tandem_predictor.runtimes import Plan, open_runtimes
from tandem_predictor.runtimes.python import Wait
from tandem_transformer import Transformer
from tandem_transformer.pipeline import Pipeline

NAME = "model"
UNKNOWN = ModelMetadata(NAME, ("1",), "python", (), ())
Predict: TypeAlias = Callable[[Arrays], "Mapping[str, NDArray[Any]] | Awaitable[Mapping[str, NDArray[Any]]]"]


def run(
    transformer: Transformer,
    inputs: Mapping[str, NDArray[Any]],
    predictor: Predict | Path | str | None = None,
    *,
    model: ModelMetadata = UNKNOWN,
    options: Mapping[str, str] | None = None,
    parameters: Mapping[str, Parameter] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Arrays:
    """The pipeline's outputs for `inputs`, computed as the service does it: setup, preprocess, model, postprocess.

    `predictor` is a function of arrays, which may be async, or the path of a model (a .onnx file, a model.py or a
    folder that --model_dir takes); without one the model returns what it gets. `model` is what `setup` is told of a
    function.
    Raises what the author's code raises, InvalidInput where a tensor is not as declared, and Internal where a method
    returned something else than it had to.
    """
    request = InferRequest(NAME, "", _frozen(as_arrays(inputs, "inputs")), parameters=parameters or {})
    call = Call("http", NAME, Deadline(), {name.lower(): text for name, text in (headers or {}).items()}, id="test")

    async def answer() -> Arrays:
        predict, described = await _predicting(predictor, model)
        with ThreadPoolExecutor(1) as executor:
            pipeline = Pipeline(NAME, _Function(predict), executor, TransformerMetrics(CollectorRegistry(), "test"))
            if setting_up := transformer.setup(described, options or {}):
                await setting_up
            pipeline.fit(transformer, described)
            try:
                return (await pipeline.infer(request, call)).outputs
            except Internal as error:
                raise error.__cause__ or error from None
            finally:
                await pipeline.close()

    return asyncio.run(answer())


class _Function:
    """A function in the place of the predictor."""

    def __init__(self, predict: Predict) -> None:
        self._predict = predict

    async def infer(self, request: InferRequest, call: Call) -> InferResponse:
        """What the function makes of the inputs."""
        given = self._predict(dict(request.inputs))
        outputs = as_arrays(await given if isinstance(given, Awaitable) else given, "predictor")
        return InferResponse(NAME, "1", _frozen(outputs), request.id)


async def _predicting(predictor: Predict | Path | str | None, model: ModelMetadata) -> tuple[Predict, ModelMetadata]:
    """What stands in for the predictor, and what it says of itself."""
    if not isinstance(predictor, (str, Path)):
        return predictor or dict, model
    loop = asyncio.get_running_loop()

    def wait(work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, loop).result()

    return await asyncio.to_thread(_loaded, Path(predictor), wait)


def _loaded(path: Path, wait: Wait) -> tuple[Predict, ModelMetadata]:
    """The model in `path` as a function, and what it says of itself; in a thread. Raises LoadError."""
    file = path if path.is_file() else discover(path, "", allow_python=True)[-1].file
    (runtime,) = open_runtimes(file, Plan(instances=1, threads=1, wait=wait))
    metadata = ModelMetadata(NAME, ("1",), runtime.platform, tuple(runtime.inputs), tuple(runtime.outputs))
    return lambda inputs: runtime.run(match(inputs, metadata.inputs)), metadata


def _frozen(arrays: Arrays) -> Arrays:
    """Read-only views, as a service has them: who writes into one is to learn it here."""
    views = {name: array.view() for name, array in arrays.items()}
    for view in views.values():
        view.flags.writeable = False
    return views
