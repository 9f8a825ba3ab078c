"""Loading and unloading from outside: what is on disk decides, and what cannot be loaded leaves what is there."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from contract.client import Reply, ask
from foreign import grpcurl
from harness import DIGITS, Service, start_predictor

SERVICE = "inference.GRPCInferenceService"
TENSOR = {"name": "image", "datatype": "FP32", "shape": [1, 8, 8], "data": [0.5] * 64}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for version in ("1", "2"):
        put(tmp_path, version)
    return tmp_path


@pytest.fixture
def predictor(folder: Path) -> Iterator[Service]:
    service = start_predictor("--model_name=digits", f"--model_dir={folder}", "--model_control=explicit")
    yield service
    assert service.process.stop() == 0


def put(folder: Path, version: str) -> Path:
    (folder / version).mkdir()
    return Path(shutil.copy(DIGITS / "model.onnx", folder / version))


def load(service: Service, body: bytes = b"") -> Reply:
    return ask(f"{service.url}/v2/repository/models/digits/load", "POST", body)


def infer(service: Service, version: str) -> Reply:
    return ask(f"{service.url}/v2/models/digits/versions/{version}/infer", "POST", {"inputs": [TENSOR]})


def index(service: Service) -> list[dict[str, str]]:
    found: list[dict[str, str]] = json.loads(ask(f"{service.url}/v2/repository/index", "POST", b"").body)
    return found


def test_a_load_finds_the_versions_that_came_and_forgets_those_that_went(predictor: Service, folder: Path) -> None:
    put(folder, "3")
    shutil.rmtree(folder / "1")
    assert load(predictor).status == 200
    assert index(predictor) == [{"name": "digits", "version": v, "state": "READY"} for v in ("2", "3")]
    assert infer(predictor, "3").status == 200
    assert infer(predictor, "1").status == 404
    assert ask(f"{predictor.url}/v2/models/digits").json["versions"] == ["2", "3"]


def test_a_model_that_cannot_be_loaded_is_refused_and_the_old_one_serves_on(predictor: Service, folder: Path) -> None:
    (folder / "2" / "model.onnx").write_bytes(b"no model")
    reply = load(predictor)
    assert reply.status == 400
    assert reply.json["error"] == "model 'digits' cannot be loaded; the predictor's log says why"
    assert infer(predictor, "2").status == 200


def test_an_unloaded_model_is_unavailable_until_it_is_loaded(predictor: Service) -> None:
    assert ask(f"{predictor.url}/v2/repository/models/digits/unload", "POST", b"").status == 200
    assert [entry["state"] for entry in index(predictor)] == ["UNAVAILABLE", "UNAVAILABLE"]
    ready = ask(f"{predictor.url}/v2/repository/index", "POST", b'{"ready": true}')
    assert ready.json == []
    assert infer(predictor, "2").status == 503
    assert load(predictor).status == 200
    assert infer(predictor, "2").status == 200


@pytest.mark.parametrize("body", [b'{"parameters": {"config": "{}"}}', b'{"parameters": {"file:1/model.onnx": ""}}'])
def test_a_load_that_brings_its_own_model_is_refused(predictor: Service, body: bytes) -> None:
    reply = load(predictor, body)
    assert reply.status == 400
    assert "is not supported" in reply.json["error"]


@pytest.mark.parametrize("body", [b"[", b'{"parameters": []}', b"[]"])
def test_a_body_that_is_no_document_is_refused(predictor: Service, body: bytes) -> None:
    assert load(predictor, body).status == 400


def test_grpcurl_unloads_and_loads(predictor: Service) -> None:
    request = json.dumps({"model_name": "digits"})
    assert json.loads(grpcurl("-d", request, predictor.target, f"{SERVICE}/RepositoryModelUnload")) == {}
    assert json.loads(grpcurl("-d", request, predictor.target, f"{SERVICE}/RepositoryModelLoad")) == {}
    assert json.loads(grpcurl("-d", '{"ready": true}', predictor.target, f"{SERVICE}/RepositoryIndex")) == {
        "models": [{"name": "digits", "version": v, "state": "READY"} for v in ("1", "2")]
    }


def test_without_explicit_control_a_load_is_refused_naming_the_flag(folder: Path) -> None:
    service = start_predictor("--model_name=digits", f"--model_dir={folder}")
    try:
        for action in ("load", "unload"):
            reply = ask(f"{service.url}/v2/repository/models/digits/{action}", "POST", b"")
            assert reply.status == 503
            assert "--model_control=explicit" in reply.json["error"]
    finally:
        service.process.stop()
