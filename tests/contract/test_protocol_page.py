"""docs/protocol.md: every example is run, and every route and every call has one."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator

import pytest
from harness import ROOT, Pair, running_pair
from pages import Example, agree, block, examples, on_its_ports, run
from tandem.oip import inference_pb2
from tandem_cli.flags import share

PAGE = "protocol.md"


@pytest.fixture(scope="module")
def sums() -> Iterator[Pair]:
    command = block("docs/protocol.md", ".venv/bin/tandem up").replace("\\\n", "")
    flags = share(shlex.split(command)[2:])
    with running_pair("sums", tuple(flags.predictor), tuple(flags.transformer)) as pair:
        yield pair


@pytest.mark.parametrize("example", examples(PAGE), ids=str)
def test_the_example_prints_what_the_page_says(sums: Pair, example: Example) -> None:
    printed = run(on_its_ports(example.command, sums))
    agree(example, printed)
    if example.heading.endswith(("/load", "RepositoryModelLoad")):  # until the transformer has seen it
        run(f"curl -sf --retry 20 --retry-delay 1 {sums.transformer.url}/v2/health/ready")


@pytest.mark.parametrize("example", examples(PAGE), ids=str)
def test_the_other_service_has_the_same_route(sums: Pair, example: Example) -> None:
    other = {"8000": "8080", "8080": "8000", "8081": "8082", "8082": "8081"}
    command = re.sub(r"localhost:(\d+)", lambda found: f"localhost:{other[found[1]]}", example.command)
    printed = run(on_its_ports(command, sums), check=False)
    assert "no such route" not in printed
    assert "Unimplemented" not in printed


def test_every_route_of_the_openapi_document_has_an_example() -> None:
    paths = json.loads((ROOT / "shared/src/tandem/doors/rest/openapi.json").read_text())["paths"]
    routes = {f"{verb.upper()} {path}" for path, verbs in paths.items() for verb in verbs}
    assert routes <= {example.heading for example in examples(PAGE)}


def test_every_call_of_the_service_has_an_example() -> None:
    service = inference_pb2.DESCRIPTOR.services_by_name["GRPCInferenceService"]
    assert {method.name for method in service.methods} <= {example.heading for example in examples(PAGE)}
