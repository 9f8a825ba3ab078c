"""A small HTTP client for tests: status, headers and decoded JSON; and image requests over each door."""

from __future__ import annotations

import base64
import http.client
import json
from dataclasses import dataclass
from typing import Any

import grpc
import numpy as np
from harness import PHOTOS, Pair
from tandem.oip import inference_pb2 as pb
from tandem.oip import inference_pb2_grpc as pb_grpc

LABELS = {
    "cat_chelsea": "tiger cat",
    "coffee": "espresso",
    "camera_tripod": "tripod",
    "rocket": "missile",
    "palace_china": "palace",
}


@dataclass
class Reply:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def ask(
    url: str, method: str = "GET", body: bytes | dict[str, Any] | None = None, headers: dict[str, str] | None = None
) -> Reply:
    host, _, path = url.removeprefix("http://").partition("/")
    connection = http.client.HTTPConnection(host, timeout=30)
    try:
        data = json.dumps(body).encode() if isinstance(body, dict) else body
        connection.request(method, f"/{path}", data, headers or {})
        answer = connection.getresponse()
        return Reply(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())
    finally:
        connection.close()


@dataclass
class Scores:
    probabilities: np.ndarray
    labels: list[list[str]]
    classes: np.ndarray

    def __eq__(self, other: object) -> bool:
        assert isinstance(other, Scores)
        same_order = self.labels == other.labels and np.array_equal(self.classes, other.classes)
        return same_order and bool(np.abs(self.probabilities - other.probabilities).max() <= 1e-4)

    def row(self, index: int) -> Scores:
        rows = slice(index, index + 1)
        return Scores(self.probabilities[rows], self.labels[rows], self.classes[rows])

    __hash__ = None  # type: ignore[assignment]


def photos() -> dict[str, bytes]:
    return {name: (PHOTOS / f"{name}.jpg").read_bytes() for name in LABELS}


def rest_request(images: list[bytes], shape: list[int] | None = None) -> dict[str, Any]:
    data = [base64.b64encode(image).decode() for image in images]
    shape = [len(images)] if shape is None else shape
    return {"inputs": [{"name": "input-0", "shape": shape, "datatype": "BYTES", "data": data}]}


def over_rest(pair: Pair, request: dict[str, Any]) -> Scores:
    reply = ask(pair.infer_url, "POST", request)
    assert reply.status == 200, reply.body
    outputs = {output["name"]: output for output in reply.json["outputs"]}
    shape = outputs["output-0"]["shape"]
    labels = np.array(outputs["labels"]["data"], object).reshape(shape).tolist()
    return Scores(
        np.array(outputs["output-0"]["data"], np.float32).reshape(shape),
        labels,
        np.array(outputs["classes"]["data"]).reshape(shape),
    )


def typed_request(images: list[bytes], shape: list[int] | None = None) -> pb.ModelInferRequest:
    request = pb.ModelInferRequest(model_name="custom-model")
    tensor = request.inputs.add(name="input-0", datatype="BYTES", shape=[len(images)] if shape is None else shape)
    tensor.contents.bytes_contents.extend(images)
    return request


def raw_request(images: list[bytes], shape: list[int] | None = None) -> pb.ModelInferRequest:
    request = pb.ModelInferRequest(model_name="custom-model")
    request.inputs.add(name="input-0", datatype="BYTES", shape=[len(images)] if shape is None else shape)
    request.raw_input_contents.append(b"".join(len(image).to_bytes(4, "little") + image for image in images))
    return request


def over_grpc(pair: Pair, request: pb.ModelInferRequest) -> Scores:
    with grpc.insecure_channel(pair.transformer.target) as channel:
        response = pb_grpc.GRPCInferenceServiceStub(channel).ModelInfer(request, timeout=30)
    shape = tuple(response.outputs[0].shape)
    assert [output.name for output in response.outputs] == ["output-0", "labels", "classes"]
    if not response.raw_output_contents:
        scores, labels, classes = (output.contents for output in response.outputs)
        return Scores(
            np.array(scores.fp32_contents, np.float32).reshape(shape),
            np.array([label.decode() for label in labels.bytes_contents], object).reshape(shape).tolist(),
            np.array(classes.int64_contents).reshape(shape),
        )
    scores, labels, classes = response.raw_output_contents
    return Scores(
        np.frombuffer(scores, np.float32).reshape(shape),
        np.array(elements(labels), object).reshape(shape).tolist(),
        np.frombuffer(classes, np.int64).reshape(shape),
    )


def elements(raw: bytes) -> list[str]:
    found = []
    while raw:
        size = int.from_bytes(raw[:4], "little")
        found.append(raw[4 : 4 + size].decode())
        raw = raw[4 + size :]
    return found
