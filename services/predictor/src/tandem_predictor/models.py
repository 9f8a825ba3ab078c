"""The predictor's Endpoint: request -> validation -> batcher -> response, for every loaded model."""

from __future__ import annotations

import time
from collections.abc import Sequence

from tandem.doors.endpoint import ServerInfo
from tandem.errors import Unavailable
from tandem.inference import Call, InferRequest, InferResponse
from tandem.metadata import ModelMetadata, select
from tandem.metrics import PredictorMetrics

from tandem_predictor import __version__
from tandem_predictor.repository import Repository
from tandem_predictor.validation import validate


class Models:
    """Inference with the models of a repository."""

    info = ServerInfo("tandem-predictor", __version__, ("binary_tensor_data",))

    def __init__(self, repository: Repository, metrics: PredictorMetrics) -> None:
        self._repository = repository
        self._metrics = metrics

    def models(self) -> Sequence[str]:
        """The names of the loaded models."""
        return self._repository.names

    def model_ready(self, name: str, version: str) -> bool:
        """Whether the model is loaded and warm."""
        try:
            return bool(self._repository.find(name, version))
        except Unavailable:
            return False

    async def metadata(self, name: str, version: str) -> ModelMetadata:
        """What the model's own file says."""
        return self._repository.find(name, version).metadata

    async def infer(self, request: InferRequest, call: Call) -> InferResponse:
        """Validate, wait for a batch, and give the caller its rows."""
        model = self._repository.find(request.model_name, request.model_version)
        inputs = validate(request, model.metadata, batchable=model.batcher.batchable)
        start = time.perf_counter()
        outcome = await model.batcher.submit(inputs, call.deadline)
        self._metrics.predict_seconds.labels(model.metadata.name).observe(time.perf_counter() - start)
        for phase in ("queue", "batch", "inference"):
            call.timings.add(phase, getattr(outcome, phase))
        call.batch_rows = outcome.batch_rows
        return InferResponse(
            model_name=model.metadata.name,
            model_version=model.version,
            id=call.id,
            outputs=select(outcome.outputs, request.output_names),
        )
