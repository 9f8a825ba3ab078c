"""Checks of the model: its name, its description on all doors, and a made-up request through the pair.

description -> zeros of its shapes -> both doors of the transformer -> the same outputs, and a count at the predictor
"""

from __future__ import annotations

import base64
import math
from collections.abc import Sequence
from urllib.parse import quote

import grpc
import numpy as np
from tandem import ModelMetadata, TensorSpec
from tandem.codec import json as json_codec
from tandem.codec import message as codec
from tandem.codec import wire
from tandem.doors.grpc_server import SERVICE
from tandem.errors import TandemError
from tandem.inference import Arrays, InferRequest, InferResponse
from tandem.oip import inference_pb2 as pb
from tandem.tensors import dtype_of, objects
from tandem.timings import parse

from tandem_cli.doctor.report import Doubt, NotChecked, Problem
from tandem_cli.doctor.service import INFER, Service, told, total

# a grey JPEG of 8x8 pixels as base64 text, which JSON can carry and the image transformer takes
_PICTURE = base64.b64encode(
    bytes.fromhex("ffd8ffe000104a46494600010100000100010000ffdb004300")
    + bytes([1] * 64)
    + bytes.fromhex("ffc0000b080008000801011100ffc40014000100000000000000000000000000000000")
    + bytes.fromhex("ffc40014100100000000000000000000000000000000ffda0008010100003f003fffd9")
)
_MOST = 2**22  # elements of a made-up request
_CLOSE = 1e-4  # how far outputs of the two doors may differ: they may have run in different batches
_REFUSED = ("400", "INVALID_ARGUMENT")


class Subject:
    """The pair, and what is learnt about its model on the way from check to check."""

    def __init__(self, transformer: Service, predictor: Service, wanted: str) -> None:
        self.transformer = transformer
        self.predictor = predictor
        self.wanted = wanted
        self.model = ""
        self.descriptions: dict[str, ModelMetadata] = {}  # by role
        self.outputs: dict[str, Arrays] = {}  # by door
        self.seen: float | None = None  # requests that the predictor had counted before ours

    async def name(self) -> str:
        """The model that was asked for, or the only one, is the one that is listed."""
        reply = await self.transformer.get("/v2/models")
        listed = reply.json.get("models")
        if reply.status != 200 or not isinstance(listed, list) or not all(isinstance(name, str) for name in listed):
            raise Problem(f"GET /v2/models is {reply.error}")
        if self.wanted not in ("", *listed) or not listed:
            names = ", ".join(f"'{name}'" for name in listed) or "no model"
            raise Problem(
                f"it serves {names}, not '{self.wanted}'",
                "give the pair's --model_name here, or another one to both services",
            )
        self.model = self.wanted or listed[0]
        return f"it serves '{self.model}'"

    async def description(self, service: Service) -> str:
        """The model's description is the same over HTTP and gRPC."""
        by_http = await self._described(service)
        self.descriptions[service.target.role] = by_http
        service.need("gRPC")
        try:
            asked = pb.ModelMetadataRequest(name=self.model).SerializeToString()
            answer, _ = await service.call(f"/{SERVICE}/ModelMetadata", asked, pb.ModelMetadataResponse.FromString)
        except grpc.aio.AioRpcError as error:
            raise Problem(f"HTTP describes '{self.model}', gRPC says {told(error)}") from None
        if difference := _difference(by_http, codec.decode_metadata(answer)):
            raise Problem(f"HTTP and gRPC differ in {difference}", "are the two ports of one process?")
        return f"{_tensors(by_http.inputs)} -> {_tensors(by_http.outputs)}"

    async def infer_http(self) -> str:
        """A made-up request is answered over HTTP."""
        request = self._request()
        self.seen = await self._counted()
        reply = await self.transformer.post(f"/v2/models/{self._quoted()}/infer", json_codec.encode_request(request))
        if reply.status != 200:
            raise _not_inferred(reply.error)
        try:
            response = json_codec.decode_response(reply.body, None)
        except TandemError as error:
            raise Doubt(f"the answer cannot be read: {error.message}", "JSON has no NaN; ask for binary data") from None
        return self._keep("HTTP", response, reply.headers.get("server-timing", ""))

    async def infer_grpc(self) -> str:
        """The same request is answered over gRPC, with the same outputs."""
        service = self.transformer
        service.need("gRPC")
        data = wire.encode_request(codec.encode_request(self._request()))
        if self.seen is None:
            self.seen = await self._counted()
        try:
            response, trailing = await service.call(
                INFER, data, lambda answer: codec.decode_response(wire.decode_response(answer))
            )
        except grpc.aio.AioRpcError as error:
            raise _not_inferred(told(error)) from None
        text = self._keep("gRPC", response, trailing.get("server-timing", ""))
        if "HTTP" in self.outputs and (name := unequal(self.outputs["HTTP"], response.outputs)):
            raise Problem(
                f"output '{name}' is not what HTTP gave", "does the model give the same twice, and is it one pair?"
            )
        return text

    async def same_model(self) -> str:
        """The predictor's model is the one that the transformer stands before."""
        front, back = (self.descriptions.get(role) for role in ("transformer", "predictor"))
        if front is None or back is None:
            raise NotChecked("it needs the descriptions of both")
        if list(front.versions) != list(back.versions) or front.platform != back.platform:
            theirs = f"{back.platform} {list(back.versions)}"
            raise Problem(
                f"the transformer shows {front.platform} {list(front.versions)}, the predictor {theirs}", _ANOTHER
            )
        if not (difference := _difference(front, back)):
            return "the same versions and tensors"
        if await self._asked():
            return "the same versions; the transformer has tensors of its own"
        if self.seen is None or not self.outputs:
            raise Doubt(f"they differ in {difference}", "see that the transformer's --predictor_host is this predictor")
        raise Problem(f"they differ in {difference}, and this predictor was asked nothing", _ANOTHER)

    async def behind(self) -> str:
        """What the transformer was asked has reached this predictor."""
        if self.seen is None or not self.outputs:
            raise NotChecked("it needs an answered request, and the predictor's /metrics")
        if not await self._asked():
            raise Problem("our requests went to another predictor than this", _ANOTHER)
        return "our requests reached it"

    async def _described(self, service: Service) -> ModelMetadata:
        reply = await service.get(f"/v2/models/{self._quoted()}")
        if reply.status != 200:
            both = "give both services the same --model_name, and the predictor a --model_dir that holds it"
            raise Problem(
                f"GET /v2/models/{self.model} is {reply.error}", both if reply.status == 404 else "see `ready`"
            )
        try:
            return json_codec.decode_metadata(reply.body)
        except TandemError as error:
            raise Problem(f"the description is not of the protocol: {error.message}") from None

    def _quoted(self) -> str:
        if not self.model:
            raise NotChecked("it needs the model's name")
        return quote(self.model, safe="")

    def _request(self) -> InferRequest:
        if (described := self.descriptions.get("transformer")) is None:
            raise NotChecked("it needs the model's description")
        try:
            inputs = made_up(described.inputs)
        except TandemError as error:
            raise Problem(f"the description is not of the protocol: {error.message}") from None
        return InferRequest(self.model, "", inputs, id="tandem-doctor")

    def _keep(self, door: str, response: InferResponse, timing: str) -> str:
        self.outputs[door] = response.outputs
        phases = parse(timing)
        if not phases:
            raise Doubt("answered, without Server-Timing", "a proxy between may take it away; else it is no Tandem")
        shown = ", ".join(f"{name} {seconds * 1e3:.1f} ms" for name, seconds in phases.items())
        return f"answered ({shown})"

    async def _counted(self) -> float | None:
        """Inference requests that the predictor has counted; None if it cannot be asked."""
        try:
            return total(await self.predictor.samples(), "tandem_requests_total") or 0.0
        except Problem:
            return None

    async def _asked(self) -> bool:
        now = await self._counted()
        return self.seen is not None and now is not None and now > self.seen


_ANOTHER = "the transformer's --predictor_host and --predictor here must name one and the same"


def made_up(specs: Sequence[TensorSpec]) -> Arrays:
    """Zeros for each input, a variable dimension being 1; for a lone BYTES input a picture. Raises TandemError."""
    shapes = [[1 if dim == -1 else dim for dim in spec.shape] for spec in specs]
    if sum(math.prod(shape) for shape in shapes) > _MOST or any(dim < 0 for shape in shapes for dim in shape):
        raise NotChecked(f"a request for {_tensors(specs)} is too large to be made up")
    element = _PICTURE if len(specs) == 1 else b""
    arrays: Arrays = {}
    for spec, shape in zip(specs, shapes, strict=True):
        dtype = dtype_of(spec.name, spec.datatype)
        arrays[spec.name] = (
            objects([element] * math.prod(shape)).reshape(shape) if dtype.hasobject else np.zeros(shape, dtype)
        )
    return arrays


def unequal(ours: Arrays, theirs: Arrays) -> str:
    """The name of the first output that differs, empty if none does."""
    for name in dict.fromkeys([*ours, *theirs]):
        one, other = ours.get(name), theirs.get(name)
        if one is None or other is None or one.dtype != other.dtype or one.shape != other.shape:
            return name
        exact = one.dtype.kind not in "fV"
        same = (
            np.array_equal(one, other)
            if exact
            else np.allclose(one.astype("f8"), other.astype("f8"), _CLOSE, _CLOSE, equal_nan=True)
        )
        if not same:
            return name
    return ""


def _difference(one: ModelMetadata, other: ModelMetadata) -> str:
    """The first thing in which two descriptions differ, with both sides of it."""
    for field in ("name", "versions", "platform"):
        left, right = getattr(one, field), getattr(other, field)
        if (list(left), list(right)) != (list(right), list(left)):
            return f"{field}: {left} and {right}"
    for kind in ("inputs", "outputs"):
        left, right = _tensors(getattr(one, kind)), _tensors(getattr(other, kind))
        if left != right:
            return f"{kind}: {left} and {right}"
    return ""


def _tensors(specs: Sequence[TensorSpec]) -> str:
    return ", ".join(f"{spec.name} {spec.datatype} {list(spec.shape)}" for spec in specs) or "nothing"


def _not_inferred(text: str) -> Problem:
    if text.startswith(_REFUSED):
        return Doubt(f"zeros are refused: {text}", "if the model is right to refuse them, send a request of your own")
    return Problem(f"not answered: {text}", "the logs of both services have the reason")
