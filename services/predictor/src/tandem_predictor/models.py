"""The predictor's Endpoint: request -> validation -> batcher -> response, for every loaded model."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from tandem.doors.endpoint import ServerInfo
from tandem.errors import Unavailable
from tandem.inference import Arrays, Call, InferRequest, InferResponse
from tandem.metadata import ModelMetadata, select
from tandem.metrics import PredictorMetrics, afterwards
from tandem.model.classification import classify
from tandem.model.config import ModelConfig, ModelIndex
from tandem.model.statistics import ModelStatistics

from tandem_predictor import __version__
from tandem_predictor.item import Outcome
from tandem_predictor.repository import LoadedModel, Repository
from tandem_predictor.stacking import rows_of
from tandem_predictor.validation import validate

if TYPE_CHECKING:
    from tandem.tracing.spans import Trace

EXTENSIONS = (
    *("binary_tensor_data", "classification", "model_configuration", "model_repository", "schedule_policy"),
    "statistics",
)


class Models:
    """Inference with the models of a repository."""

    def __init__(
        self,
        repository: Repository,
        metrics: PredictorMetrics,
        reload: Callable[[str], Awaitable[None]] | None,
        extensions: Sequence[str] = (),
    ) -> None:
        self.info = ServerInfo("tandem-predictor", __version__, (*EXTENSIONS, *extensions))
        self._repository = repository
        self._metrics = metrics
        self._reload = reload  # None without --model_control=explicit

    def models(self) -> Sequence[str]:
        """The names of the models."""
        return self._repository.names

    def model_ready(self, name: str, version: str) -> bool:
        """Whether the model is loaded and warm, and answers."""
        try:
            return not self._repository.find(name, version).batcher.watchdog.hangs
        except Unavailable:
            return False

    async def metadata(self, name: str, version: str) -> ModelMetadata:
        """What the model's own file says."""
        return self._repository.find(name, version).metadata

    async def config(self, name: str, version: str) -> ModelConfig:
        """How the model is batched."""
        return self._repository.find(name, version).config

    def statistics(self, name: str, version: str) -> Sequence[ModelStatistics]:
        """Since each version was loaded."""
        if name:
            self._repository.find(name, version)
        return [
            ModelStatistics(model.metadata.name, model.version, model.statistics)
            for model in self._repository.loaded()
            if name in ("", model.metadata.name) and version in ("", model.version)
        ]

    def index(self) -> Sequence[ModelIndex]:
        """Every version that is known."""
        return self._repository.index()

    async def load(self, name: str) -> None:
        """Read the model's files again and swap the loaded versions."""
        if self._reload is None:
            raise Unavailable("models are loaded at the start only; start the predictor with --model_control=explicit")
        await self._reload(name)

    async def unload(self, name: str) -> None:
        """Let go of every version of the model."""
        if self._reload is None:
            raise Unavailable("models stay loaded; start the predictor with --model_control=explicit")
        self._repository.unload(name)

    async def infer(self, request: InferRequest, call: Call) -> InferResponse:
        """Validate, wait for a batch, and give the caller its rows."""
        model = self._repository.find(request.model_name, request.model_version)
        call.model_version = model.version
        start = time.perf_counter()
        rows = 1
        success = False
        try:
            inputs = validate(request, model.metadata, batchable=model.batcher.batchable)
            rows = rows_of(inputs) if model.batcher.batchable else 1
            response = await self._run(model, request, call, inputs)
            success = True
            return response
        finally:
            count = partial(model.statistics.request, rows=rows, success=success)
            afterwards(count, time.perf_counter() - start, call.timings)

    async def _run(self, model: LoadedModel, request: InferRequest, call: Call, inputs: Arrays) -> InferResponse:
        start = time.perf_counter()
        outcome = await model.batcher.submit(inputs, call.deadline, request.priority or model.default_priority)
        predict_seconds = self._metrics.predict_seconds.labels(model.metadata.name)
        afterwards(predict_seconds.observe, time.perf_counter() - start)
        for phase in ("queue", "batch", "inference"):
            call.timings.add(phase, getattr(outcome, phase))
        call.batch_rows = outcome.batch_rows
        if trace := call.timings.trace:
            _record(trace, outcome)
        return InferResponse(
            model_name=model.metadata.name,
            model_version=model.version,
            id=call.id,
            outputs=classify(select(outcome.outputs, request.output_names), request.outputs, model.labels),
        )


def _record(trace: Trace, outcome: Outcome) -> None:
    """The spans of what the batcher has done for one request."""
    if trace.recorded:
        trace.past("queue", outcome.started - outcome.queue, outcome.started)
        rows = {"tandem.batch.rows": outcome.batch_rows}
        batch = trace.past("batch", outcome.started, time.perf_counter(), attributes=rows)
        begun = outcome.inference_started
        trace.past("inference", begun, begun + outcome.inference, batch)
