"""docs/protocol.md: every example is run, and every route and every call has one."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from foreign import environment
from harness import ROOT, Pair, running_pair
from tandem.oip import inference_pb2

PAGE = (ROOT / "docs" / "protocol.md").read_text()
ANY = "..."


@dataclass(frozen=True)
class Example:
    """A command of the page, and what the page says that it prints."""

    heading: str
    command: str
    form: str  # json or text
    expected: str

    def __str__(self) -> str:
        return self.heading


def examples() -> list[Example]:
    found = []
    for part in re.split(r"^#{2,3} ", PAGE, flags=re.MULTILINE)[1:]:
        blocks = re.findall(r"^```sh\n(.*?)^```\n+```(json|text)\n(.*?)^```", part, re.MULTILINE | re.DOTALL)
        found += [Example(part.splitlines()[0], *block) for block in blocks]
    return found


@pytest.fixture(scope="module")
def sums() -> Iterator[Pair]:
    model = (f"--model_dir={ROOT / 'examples' / 'row-sums'}", "--allow_python_models", "--model_control=explicit")
    flags = (*model, "--enable_docs_url", "--enable_system_shared_memory")
    with running_pair("sums", flags, ("--transformer=identity", "--enable_docs_url")) as pair:
        yield pair


@pytest.mark.parametrize("example", examples(), ids=str)
def test_the_example_prints_what_the_page_says(sums: Pair, example: Example) -> None:
    printed = run(on_its_ports(example.command, sums))
    if example.form == "text":
        pattern = r"\S+".join(re.escape(piece) for piece in example.expected.strip().split(ANY))
        assert re.fullmatch(pattern, printed.strip()), printed
    else:
        assert_alike(documents(printed), documents(re.sub(r'(?<!")\.\.\.(?!")', '"..."', example.expected)))
    if example.heading.endswith(("/load", "RepositoryModelLoad")):  # until the transformer has seen it
        run(f"curl -sf --retry 20 --retry-delay 1 {sums.transformer.url}/v2/health/ready")


@pytest.mark.parametrize("example", examples(), ids=str)
def test_the_other_service_has_the_same_route(sums: Pair, example: Example) -> None:
    other = {"8000": "8080", "8080": "8000", "8081": "8082", "8082": "8081"}
    command = re.sub(r"localhost:(\d+)", lambda found: f"localhost:{other[found[1]]}", example.command)
    printed = run(on_its_ports(command, sums), check=False)
    assert "no such route" not in printed
    assert "Unimplemented" not in printed


def test_every_route_of_the_openapi_document_has_an_example() -> None:
    paths = json.loads((ROOT / "shared/src/tandem/doors/rest/openapi.json").read_text())["paths"]
    routes = {f"{verb.upper()} {path}" for path, verbs in paths.items() for verb in verbs}
    assert routes <= {example.heading for example in examples()}


def test_every_call_of_the_service_has_an_example() -> None:
    service = inference_pb2.DESCRIPTOR.services_by_name["GRPCInferenceService"]
    assert {method.name for method in service.methods} <= {example.heading for example in examples()}


def on_its_ports(command: str, pair: Pair) -> str:
    services = {8000: pair.transformer.http_port, 8081: pair.transformer.grpc_port}
    services |= {8080: pair.predictor.http_port, 8082: pair.predictor.grpc_port}
    return re.sub(r"localhost:(\d+)", lambda found: f"127.0.0.1:{services[int(found[1])]}", command)


def run(command: str, *, check: bool = True) -> str:
    path = f"{environment('grpcurl')}:{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "PATH": path},
    )
    assert done.returncode == 0 or not check, done.stderr
    return done.stdout + ("" if check else done.stderr)


def documents(text: str) -> list[Any]:
    """The JSON documents that `text` is made of."""
    found, decoder = [], json.JSONDecoder()
    while text := text.strip():
        document, end = decoder.raw_decode(text)
        found.append(document)
        text = text[end:]
    return found


def assert_alike(printed: Any, expected: Any) -> None:
    """Equal, except that "..." stands for anything."""
    if isinstance(expected, dict) and isinstance(printed, dict):
        assert printed.keys() == expected.keys()
        for key, value in expected.items():
            assert_alike(printed[key], value)
    elif isinstance(expected, list) and isinstance(printed, list):
        assert len(printed) == len(expected), printed
        for one, other in zip(printed, expected, strict=True):
            assert_alike(one, other)
    else:
        assert expected in (ANY, printed)
