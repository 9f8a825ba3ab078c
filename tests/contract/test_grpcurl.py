"""What a person sees with grpcurl, on the transformer and on the predictor."""

from __future__ import annotations

import base64
import json

import pytest
from contract.client import photos
from foreign import grpcurl
from harness import Pair
from tandem.oip import inference_pb2

SERVICE = "inference.GRPCInferenceService"


@pytest.fixture(params=["transformer", "predictor"])
def target(request: pytest.FixtureRequest, pair: Pair) -> str:
    return getattr(pair, request.param).target


def test_list_names_the_services(target: str) -> None:
    services = grpcurl(target, "list").split()
    assert services == ["grpc.health.v1.Health", "grpc.reflection.v1alpha.ServerReflection", SERVICE]


def test_describe_shows_every_call(target: str) -> None:
    shown = grpcurl(target, "describe", SERVICE)
    for call in inference_pb2.DESCRIPTOR.services_by_name["GRPCInferenceService"].methods:
        assert f"rpc {call.name} " in shown


@pytest.mark.parametrize("service", ["", SERVICE])
def test_health_is_serving(target: str, service: str) -> None:
    request = json.dumps({"service": service})
    assert json.loads(grpcurl("-d", request, target, "grpc.health.v1.Health/Check")) == {"status": "SERVING"}


def test_server_and_model_metadata_answer(target: str) -> None:
    assert json.loads(grpcurl(target, f"{SERVICE}/ServerMetadata"))["name"].startswith("tandem-")
    described = json.loads(grpcurl("-d", '{"name": "custom-model"}', target, f"{SERVICE}/ModelMetadata"))
    assert described["name"] == "custom-model"
    assert described["versions"] == ["1"]


def test_live_and_ready_are_true(target: str) -> None:
    assert json.loads(grpcurl(target, f"{SERVICE}/ServerLive")) == {"live": True}
    assert json.loads(grpcurl(target, f"{SERVICE}/ServerReady")) == {"ready": True}
    assert json.loads(grpcurl("-d", '{"name": "custom-model"}', target, f"{SERVICE}/ModelReady")) == {"ready": True}


def test_the_transformer_infers_on_a_photo(pair: Pair) -> None:
    text = base64.b64encode(photos()["coffee"]).decode()
    tensor = {"name": "input-0", "shape": [1], "datatype": "BYTES", "contents": {"bytes_contents": [text]}}
    request = json.dumps({"model_name": "custom-model", "id": "mine", "inputs": [tensor]})
    answer = json.loads(grpcurl("-d", "@", pair.transformer.target, f"{SERVICE}/ModelInfer", stdin=request))
    assert answer["id"] == "mine"
    labels = next(output for output in answer["outputs"] if output["name"] == "labels")
    assert base64.b64decode(labels["contents"]["bytes_contents"][0]) == b"espresso"


def test_the_predictor_infers_on_raw_pixels(pair: Pair) -> None:
    raw = base64.b64encode(bytes(224 * 224 * 3)).decode()
    tensor = {"name": "image", "shape": [1, 224, 224, 3], "datatype": "UINT8"}
    request = json.dumps({"model_name": "custom-model", "inputs": [tensor], "raw_input_contents": [raw]})
    answer = json.loads(grpcurl("-d", "@", pair.predictor.target, f"{SERVICE}/ModelInfer", stdin=request))
    assert answer["outputs"][0]["shape"] == ["1", "1000"]
    assert len(base64.b64decode(answer["raw_output_contents"][0])) == 4000


def test_a_traceparent_and_the_request_id_reach_the_predictor(pair: Pair) -> None:
    trace = "0af7651916cd43dd8448eb211c80319c"
    text = base64.b64encode(photos()["coffee"]).decode()
    tensor = {"name": "input-0", "shape": [1], "datatype": "BYTES", "contents": {"bytes_contents": [text]}}
    request = json.dumps({"model_name": "custom-model", "id": "traced-1", "inputs": [tensor]})
    header = f"traceparent: 00-{trace}-b7ad6b7169203331-01"
    grpcurl("-H", header, "-d", "@", pair.transformer.target, f"{SERVICE}/ModelInfer", stdin=request)
    entry = pair.predictor.process.wait_for(lambda line: '"traced-1"' in line and json.loads(line))
    assert entry["trace_id"] == trace


def test_the_server_timing_trailer_names_the_phases_of_both_services(pair: Pair) -> None:
    text = base64.b64encode(photos()["coffee"]).decode()
    tensor = {"name": "input-0", "shape": [1], "datatype": "BYTES", "contents": {"bytes_contents": [text]}}
    request = json.dumps({"model_name": "custom-model", "inputs": [tensor]})
    shown = grpcurl("-v", "-d", "@", pair.transformer.target, f"{SERVICE}/ModelInfer", stdin=request)
    trailer = next(line for line in shown.splitlines() if line.startswith("server-timing:"))
    for phase in ("decode", "preprocess", "hop", "queue", "batch", "inference", "postprocess", "encode"):
        assert f"{phase};dur=" in trailer
