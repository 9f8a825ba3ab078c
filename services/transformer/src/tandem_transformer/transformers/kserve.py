"""A transformer written for KServe's SDK, as it is.

request -> the SDK's request -> preprocess -> predict -> postprocess -> response

Its `predict`, its own or the SDK's, calls the predictor through clients that the SDK keeps: here they are the hop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextvars import ContextVar
from typing import Any

import orjson
from tandem.codec import v1
from tandem.errors import InvalidInput
from tandem.inference import InferRequest, InferResponse
from tandem.kserve import calls, sdk, tensors
from tandem.kserve.author import Author
from tandem.metadata import ModelMetadata

from tandem_transformer.settings import GRPC, Settings, options
from tandem_transformer.transformers.whole import Stages, Whole

_stages: ContextVar[Stages] = ContextVar("stages")  # of the request that is worked on
_asked: ContextVar[list[InferResponse]] = ContextVar("asked")  # what the predictor has answered to it


def author(settings: Settings, argv: list[str]) -> Author:
    """The class that --transformer names; raises Fatal."""
    setting = sdk.Setting(
        settings.model_name,
        predictor_host=settings.predictor_host,
        predictor_protocol=settings.hop_protocol,
        predictor_use_ssl=settings.predictor_use_ssl,
        predictor_request_timeout_seconds=round(settings.predictor_request_timeout_seconds),
        predictor_request_retries=settings.predictor_request_retries,
        options=options(settings.transformer_options),
        arguments=sdk.unknown(argv, Settings),
    )
    return Author("transformer", settings.transformer, setting)


class KServeTransformer(Whole):
    """One object of the author's class."""

    def __init__(self, author: Author) -> None:
        self._author = author
        self._loop = asyncio.get_running_loop()
        self._metadata: ModelMetadata | None = None
        self._model: Any = None

    def setup(self, model: ModelMetadata, options: Mapping[str, str]) -> None:
        """Make the object, and give it the hop for a client."""
        made = self._author.make(lambda work: asyncio.run_coroutine_threadsafe(_awaited(work), self._loop).result())
        if self._author.setting.predictor_protocol == GRPC:
            made._grpc_client_stub = _GrpcClient(self._ask)
        elif self._author.setting.predictor_protocol == "v2":
            made._http_client_instance = _RestClient(self._ask)
        ours = {name: self._author.overrides(name) for name in ("preprocess", "predict", "postprocess")}
        self.inputs = tensors.specs(made.get_input_types()) or (() if any(ours.values()) else model.inputs)
        changed = ours["predict"] or ours["postprocess"]
        self.outputs = tensors.specs(made.get_output_types()) or (() if changed else model.outputs)
        self._model, self._metadata = made, model

    async def answer(self, request: InferRequest, stages: Stages) -> InferResponse:
        """What the author's methods make of `request`."""
        answers: list[InferResponse] = []
        _stages.set(stages)
        _asked.set(answers)
        sdk.tell(self._author.setting)
        grpc = stages.call.protocol == "grpc"
        body = tensors.request(request, from_grpc=grpc) if request.document is None else _document(request.document)
        headers, added = dict(stages.call.headers), dict[str, str]()
        result = await self._run(stages, body, headers, added)
        stages.call.reply_headers = calls.reply_headers(added)
        version = answers[-1].model_version if answers else "1"
        if request.document is not None and isinstance(result, dict):
            return InferResponse(request.model_name, version, {}, document=tensors.document(result))
        outputs = tensors.arrays(result, f"{self._author.cls.__name__}'s answer")
        return InferResponse(request.model_name, version, outputs)

    def close(self) -> None:
        """Stop the object."""
        if self._model:
            self._model.stop()

    async def _run(self, stages: Stages, body: object, headers: dict[str, str], added: dict[str, str]) -> object:
        """preprocess, validate, predict and postprocess, as the SDK's own server calls them."""
        model, third = self._model, (added,) if self._model.required_response_headers else ()
        payload = body
        if self._author.overrides("preprocess"):
            payload = await self._step(stages, "preprocess", model.preprocess, body, headers)
        payload = model.validate(payload)
        result = await self._step(stages, "predict", model.predict, payload, headers, *third)
        result = self._unpacked(result, added)
        if self._author.overrides("postprocess"):
            result = await self._step(stages, "postprocess", model.postprocess, result, headers, *third)
        return self._unpacked(result, added)

    async def _step(self, stages: Stages, phase: str, method: Any, *arguments: object) -> object:
        with calls.translated(f"{self._author.cls.__name__}.{phase}", stages.call.id):
            return await stages.run(phase, method, *arguments[: calls.takes(method)])

    def _unpacked(self, result: object, added: dict[str, str]) -> object:
        """(response, headers), as some authors return it."""
        if isinstance(result, tuple) and len(result) == 2 and isinstance(result[1], Mapping):
            added.update(result[1])
            return result[0]
        return result

    async def _ask(self, payload: object) -> Any:
        """The predictor's answer in the SDK's form."""
        if isinstance(payload, dict) and "instances" in payload and self._metadata:  # of a caller who speaks V1
            inputs = v1.decode_request(tensors.document(payload), self._metadata).inputs
        else:
            inputs = tensors.arrays(payload, f"{self._author.cls.__name__}.preprocess")
        answer = await _stages.get().predict(inputs)
        _asked.get().append(answer)
        return tensors.response(answer)


class _GrpcClient:
    """Stands for the SDK's InferenceGRPCClient."""

    def __init__(self, ask: Any) -> None:
        self._ask = ask

    async def infer(self, infer_request: object, **_: object) -> Any:
        return await self._ask(infer_request)


class _RestClient:
    """Stands for the SDK's InferenceRESTClient."""

    def __init__(self, ask: Any) -> None:
        self._ask = ask

    async def infer(self, base_url: str, data: object, **_: object) -> Any:
        return await self._ask(data)


def _document(body: bytes) -> object:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise InvalidInput(f"the body is not valid JSON: {error}") from None


async def _awaited(work: Any) -> Any:
    return await work
