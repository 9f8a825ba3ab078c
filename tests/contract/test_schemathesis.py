"""The OpenAPI document: valid, complete, and true of both running services as schemathesis tries them."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from foreign import environment
from harness import DIGITS, ROOT, Pair, running_pair
from tandem.doors.rest.door import RestDoor, Terms
from tandem.inference import Limits

DOCUMENT = ROOT / "shared" / "src" / "tandem" / "doors" / "rest" / "openapi.json"
FLAGS = ("--max-examples=15", "--seed=1", "--generation-database=none", "--no-color")
# A schema cannot say that an element count fits a shape, so a right schema does not make a right request.
# Load and unload are left out: unloading would take the model from the other operations.
# A deadline of a millisecond is right, and so is 504 after it, which the check for server errors cannot know.
DEADLINE = "--header=x-request-timeout-ms: 60000"
BOUNDS = ("--exclude-checks=positive_data_acceptance", "--exclude-path-regex=/repository/models/")


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    with running_pair("digits", (f"--model_dir={DIGITS}",), ("--transformer=identity",)) as running:
        yield running


@pytest.mark.parametrize("service", ["transformer", "predictor"])
def test_schemathesis_finds_nothing(pair: Pair, service: str, tmp_path: Path) -> None:
    url = f"{getattr(pair, service).url}/openapi.json"
    command = [environment("schemathesis") / "schemathesis", "run", url, *FLAGS, *BOUNDS, DEADLINE]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_document_is_valid_openapi() -> None:
    assert json.loads(DOCUMENT.read_text())["openapi"].startswith("3.1.")
    command = [environment("schemathesis") / "openapi-spec-validator", DOCUMENT]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_document_lists_exactly_the_routes_of_the_application() -> None:
    terms = Terms(1, 1, Limits(), docs=False)
    app = RestDoor(None, None, None, None, terms).application()  # nothing is called
    routes = {(route.method, route.resource.canonical) for route in app.router.routes() if route.method != "HEAD"}
    paths = json.loads(DOCUMENT.read_text())["paths"]
    listed = {(method.upper(), path) for path, item in paths.items() for method in item}
    assert {(method, re.sub(r":\[[^]]*\]\+", "", path)) for method, path in routes} == listed
