"""The default pair on real photographs: the same labels and scores through every door and encoding."""

from __future__ import annotations

import base64
import json
import subprocess
from pathlib import Path

import pytest
from contract.client import (
    LABELS,
    Scores,
    ask,
    over_grpc,
    over_rest,
    photos,
    raw_request,
    rest_request,
    typed_request,
)
from harness import DEFAULT_MODEL, FLOATS_MODEL, SHARED, Pair, running_pair, start_predictor
from parts import require

SEED = SHARED / "seed" / "input.json"


@pytest.fixture(scope="module")
def five(pair: Pair) -> Scores:
    return over_rest(pair, rest_request(list(photos().values())))


def test_five_photos_in_one_request_get_their_labels(five: Scores) -> None:
    assert [row[0] for row in five.labels] == list(LABELS.values())


@pytest.mark.parametrize("index", range(5))
def test_one_photo_a_request_scores_as_in_a_batch_over_every_encoding(pair: Pair, five: Scores, index: int) -> None:
    image = [list(photos().values())[index]]
    assert over_rest(pair, rest_request(image)) == five.row(index)
    assert over_grpc(pair, typed_request(image)) == five.row(index)
    assert over_grpc(pair, raw_request(image)) == five.row(index)


def test_base64_text_in_a_grpc_tensor_is_understood_too(pair: Pair, five: Scores) -> None:
    text = [base64.b64encode(image) for image in photos().values()]
    assert over_grpc(pair, typed_request(text)) == five


def test_a_scalar_shape_is_one_image(pair: Pair, five: Scores) -> None:
    image = [photos()["cat_chelsea"]]
    assert over_rest(pair, rest_request(image, shape=[])) == five.row(0)
    assert over_grpc(pair, raw_request(image, shape=[])) == five.row(0)


def test_the_input_may_have_any_name(pair: Pair, five: Scores) -> None:
    request = rest_request([photos()["cat_chelsea"]])
    request["inputs"][0]["name"] = "INPUT__0"
    assert over_rest(pair, request) == five.row(0)


def test_a_model_that_takes_normalised_floats_gives_the_same_scores(five: Scores) -> None:
    with running_pair("custom-model", (f"--model_dir={FLOATS_MODEL}",)) as floats:
        assert over_rest(floats, rest_request(list(photos().values()))) == five


def test_the_seed_request_by_curl_finds_the_labrador(pair: Pair) -> None:
    if not SEED.exists():
        pytest.skip("the seed request is not laid beside this checkout (../shared/seed/input.json)")
    command = [require("curl"), "-sS", "-w", "%{http_code}", "-H", "Content-Type: application/json"]
    done = subprocess.run([*command, "-d", f"@{SEED}", pair.infer_url], capture_output=True, text=True, check=True)
    body, status = done.stdout[:-3], done.stdout[-3:]
    assert status == "200"
    outputs = {output["name"]: output for output in json.loads(body)["outputs"]}
    assert outputs["output-0"]["shape"] == [1, 5]
    assert outputs["labels"]["data"][0] == "Labrador retriever"
    image = base64.b64decode(json.loads(SEED.read_text())["inputs"][0]["data"][0])
    rest = over_rest(pair, json.loads(SEED.read_text()))
    assert over_grpc(pair, typed_request([image], [])) == rest
    assert over_grpc(pair, raw_request([image], [])) == rest


def test_the_predictor_finds_the_default_model_by_its_variable() -> None:
    mounted = Path("/mnt/models")
    if mounted.is_dir() and any(mounted.iterdir()):
        pytest.skip("this machine has models in /mnt/models, which come before the variable")
    predictor = start_predictor("--model_name=custom-model", env={"TANDEM_DEFAULT_MODEL_DIR": str(DEFAULT_MODEL)})
    try:
        described = ask(f"{predictor.url}/v2/models/custom-model").json
        assert described["inputs"] == [{"name": "image", "datatype": "UINT8", "shape": [-1, 224, 224, 3]}]
    finally:
        assert predictor.process.stop() == 0
