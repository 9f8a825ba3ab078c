"""The transformer's Endpoint: preprocess -> predict -> postprocess, for the one model that it serves.

request -> match -> preprocess -> predictor.infer -> postprocess -> select -> response
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from functools import partial
from typing import Protocol

from tandem.context import Context
from tandem.doors.endpoint import ServerInfo
from tandem.errors import InvalidInput, NotFound, Unavailable
from tandem.inference import Arrays, Call, InferRequest, InferResponse, RequestedOutput
from tandem.metadata import ModelMetadata, match, select
from tandem.metrics import StepSeconds, TransformerMetrics, afterwards
from tandem.model.classification import classify
from tandem.model.config import ModelConfig, ModelIndex
from tandem.model.statistics import ModelStatistics, Statistics

from tandem_transformer import __version__
from tandem_transformer.steps import Step
from tandem_transformer.transformer import Transformer
from tandem_transformer.transformers.whole import Stages, Whole

log = logging.getLogger("tandem.user")

EXTENSIONS = ("binary_tensor_data", "classification", "model_configuration", "schedule_policy", "statistics")


class Predictor(Protocol):
    """What the pipeline needs of a predictor, whatever protocol it speaks."""

    async def infer(self, request: InferRequest, call: Call) -> InferResponse:
        """The predictor's answer; raises the TandemError that stands for its failure."""
        ...


@dataclass(frozen=True, slots=True)
class _Fitted:
    """A transformer that was set up for a model."""

    transformer: Transformer
    model: ModelMetadata
    preprocess: Step
    postprocess: Step


class Pipeline:
    """One model's way from request to response. `fit` gives it the transformer, again when the model changes."""

    info = ServerInfo("tandem-transformer", __version__, EXTENSIONS)

    def __init__(self, name: str, predictor: Predictor, executor: Executor, metrics: TransformerMetrics) -> None:
        self._name = name
        self._predictor = predictor
        self._executor = executor
        self._preprocess_seconds = metrics.preprocess_seconds.labels(name)
        self._predict_seconds = metrics.predict_seconds.labels(name)
        self._postprocess_seconds = metrics.postprocess_seconds.labels(name)
        self._hop_seconds = metrics.hop_seconds
        self._steps = StepSeconds(metrics.step_seconds, name)
        self._hops = {shared: metrics.hop_total.labels(way) for shared, way in ((False, "socket"), (True, "shm"))}
        self._statistics = Statistics()
        self.called = 0.0  # when the predictor was, last, as time.perf_counter() has it
        self._fitted: _Fitted | None = None
        self._retired: list[Transformer] = []  # calls in flight may still use them

    def fit(self, transformer: Transformer, model: ModelMetadata) -> None:
        """Use `transformer`, which was set up for `model`, from the next request on."""
        if self._fitted:
            self._retired.append(self._fitted.transformer)
        steps = [Step(transformer, name, self._executor) for name in ("preprocess", "postprocess")]
        self._fitted = _Fitted(transformer, model, *steps)

    async def close(self) -> None:
        """Close every transformer, once no request is left."""
        for transformer in [*self._retired, *([self._fitted.transformer] if self._fitted else [])]:
            try:
                if closing := transformer.close():
                    await closing
            except Exception:  # user code; the others are closed all the same
                log.exception("%s.close failed", type(transformer).__name__)

    def models(self) -> Sequence[str]:
        """The one model."""
        return (self._name,)

    def model_ready(self, name: str, version: str) -> bool:
        """Whether the predictor has been met and the transformer set up for its model."""
        self._require(name)
        if self._fitted and version and version not in (self._fitted.model.versions or (version,)):
            raise NotFound(f"version '{version[:20]}' of model '{name}' is not found")
        return self._fitted is not None

    async def metadata(self, name: str, version: str) -> ModelMetadata:
        """The pair's: the transformer's own tensors where it declares them, else the predictor's."""
        self.model_ready(name, version)
        transformer, model = self._current().transformer, self._current().model
        whole = isinstance(transformer, Whole)
        return ModelMetadata(
            name=self._name,
            versions=model.versions,
            platform=model.platform,
            inputs=tuple(transformer.inputs) or (() if whole else model.inputs),
            outputs=tuple(transformer.outputs) or (() if whole else model.outputs),
            properties=model.properties,
            documents=whole,
        )

    async def config(self, name: str, version: str) -> ModelConfig:
        """The pair's tensors; batches are the predictor's affair, so requests keep their own shapes here."""
        described = await self.metadata(name, version)
        return ModelConfig(
            name=self._name,
            platform=described.platform,
            backend="tandem",
            max_batch_size=0,
            max_queue_delay_us=0,
            inputs=described.inputs,
            outputs=described.outputs,
        )

    def statistics(self, name: str, version: str) -> Sequence[ModelStatistics]:
        """The requests that came through here; batches are counted by the predictor."""
        if name:
            self.model_ready(name, version)
        return [ModelStatistics(self._name, model.version, self._statistics) for model in self.index()]

    def index(self) -> Sequence[ModelIndex]:
        """The one model, in the predictor's newest version."""
        if self._fitted is None:
            return [ModelIndex(self._name, "", ready=False, reason="the predictor has not answered yet")]
        versions = self._fitted.model.versions
        return [ModelIndex(self._name, versions[-1] if versions else "1", ready=True)]

    async def load(self, name: str) -> None:
        """Not here."""
        raise Unavailable("the transformer holds no models; ask the predictor, started with --model_control=explicit")

    async def unload(self, name: str) -> None:
        """Not here."""
        await self.load(name)

    async def infer(self, request: InferRequest, call: Call) -> InferResponse:
        """Answer `request`; every failure is the TandemError that tells whose fault it was."""
        self._require(request.model_name)
        start = time.perf_counter()
        success = False
        try:
            response = await self._run(request, call)
            success = True
            return response
        finally:
            count = partial(self._statistics.request, rows=1, success=success)
            afterwards(count, time.perf_counter() - start, call.timings)
            if call.timings.steps:
                afterwards(self._steps.count, call.timings)

    async def _run(self, request: InferRequest, call: Call) -> InferResponse:
        fitted = self._current()
        if isinstance(fitted.transformer, Whole):
            return await self._run_whole(fitted.transformer, fitted, request, call)
        context = self._context(request, call)
        inputs = request.inputs
        if fitted.preprocess.overridden:
            if declared := fitted.transformer.inputs or fitted.model.inputs:
                inputs = match(inputs, declared)
            with call.timings.phase("preprocess"), self._preprocess_seconds.time():
                inputs = await fitted.preprocess.run(inputs, context)
        try:
            answer = await self._predict(request, inputs, fitted, call)
        except InvalidInput:
            if fitted.preprocess.overridden and request.model_version in ("", *fitted.model.versions[-1:]):
                fitted.preprocess.blame(inputs, fitted.model.inputs, context)
            raise
        call.model_version = answer.model_version
        outputs = answer.outputs
        if fitted.postprocess.overridden:
            with call.timings.phase("postprocess"), self._postprocess_seconds.time():
                outputs = await fitted.postprocess.run(outputs, context)
        outputs = select(outputs, request.output_names)
        return InferResponse(
            model_name=self._name,
            model_version=answer.model_version or "1",  # a V1 predictor has no versions
            id=call.id,
            parameters=answer.parameters,
            outputs=classify(outputs, request.outputs) if fitted.postprocess.overridden else outputs,
        )

    async def _run_whole(self, whole: Whole, fitted: _Fitted, request: InferRequest, call: Call) -> InferResponse:
        async def predict(inputs: Arrays) -> InferResponse:
            return await self._predict(request, inputs, fitted, call)

        seconds = {"preprocess": self._preprocess_seconds.time, "postprocess": self._postprocess_seconds.time}
        answer = await whole.answer(request, Stages(call, predict, self._executor, seconds))
        call.model_version = answer.model_version
        outputs = classify(select(answer.outputs, request.output_names), request.outputs)
        return replace(answer, model_name=self._name, id=call.id, outputs=outputs)

    async def _predict(self, request: InferRequest, inputs: Arrays, fitted: _Fitted, call: Call) -> InferResponse:
        """Ask the predictor. What the caller wants of its outputs is passed on only if nothing is computed of them."""
        computed = fitted.postprocess.overridden or isinstance(fitted.transformer, Whole)
        wanted: tuple[RequestedOutput, ...] = () if computed else request.outputs
        asked = InferRequest(
            model_name=self._name,
            model_version=request.model_version,
            id=call.id,
            inputs=inputs,
            outputs=wanted,
            parameters=request.parameters,
        )
        self.called = start = time.perf_counter()
        hop = None
        try:
            answer = await self._predictor.infer(asked, call)
            hop = call.timings.get("hop")
            return answer
        finally:
            afterwards(self._count_hop, time.perf_counter() - start, call.shared_memory, hop)

    def _count_hop(self, seconds: float, shared_memory: bool, hop: float | None) -> None:
        self._predict_seconds.observe(seconds)
        self._hops[shared_memory].inc()
        if hop is not None:
            self._hop_seconds.observe(hop)

    def _context(self, request: InferRequest, call: Call) -> Context:
        return Context(
            id=call.id,
            model_name=self._name,
            model_version=request.model_version,
            headers=call.headers,
            parameters=request.parameters,
            deadline=call.deadline,
            logger=log,
            timings=call.timings,
        )

    def _require(self, name: str) -> None:
        if name != self._name:
            raise NotFound(f"model '{name[:100]}' is not found; this server holds: {self._name}")

    def _current(self) -> _Fitted:
        if self._fitted is None:
            raise Unavailable("not ready: the predictor has not answered yet", retry_after=1)
        return self._fitted
