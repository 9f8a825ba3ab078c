"""The examples of a page of the documentation: run as they stand, and held against what the page says they print."""

from __future__ import annotations

import json
import math
import os
import re
import subprocess
from dataclasses import dataclass
from typing import Any

from foreign import environment
from harness import ROOT, Pair

ANY = "..."  # in what a page says: whatever it is this time


@dataclass(frozen=True)
class Example:
    """A command of the page, and what the page says that it prints."""

    heading: str
    command: str
    form: str  # json or text
    expected: str

    def __str__(self) -> str:
        return self.heading


def examples(page: str) -> list[Example]:
    """Those of a page of docs/."""
    found = []
    for part in re.split(r"^#{2,3} ", (ROOT / "docs" / page).read_text(), flags=re.MULTILINE)[1:]:
        blocks = re.findall(r"^```sh\n(.*?)^```\n+```(json|text)\n(.*?)^```", part, re.MULTILINE | re.DOTALL)
        found += [Example(part.splitlines()[0], *block) for block in blocks]
    return found


def block(page: str, beginning: str) -> str:
    """The one fenced block of a page of the repository that begins so."""
    (found,) = re.findall(
        rf"^```\w+\n({re.escape(beginning)}.*?)^```", (ROOT / page).read_text(), re.MULTILINE | re.DOTALL
    )
    return str(found)


def agree(example: Example, printed: str, tolerance: float = 0.0) -> None:
    """Fail unless what was printed is what the page says; the floats of a JSON document may differ by `tolerance`."""
    if example.form == "text":
        pattern = r"\S+".join(re.escape(piece) for piece in example.expected.strip().split(ANY))
        assert re.fullmatch(pattern, printed.strip()), printed
    else:
        expected = documents(re.sub(r'(?<!")\.\.\.(?!")', '"..."', example.expected))
        assert_alike(documents(printed), expected, tolerance)


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


def assert_alike(printed: Any, expected: Any, tolerance: float = 0.0) -> None:
    """Equal, except that "..." stands for anything, and that floats may differ by `tolerance`."""
    if isinstance(expected, dict) and isinstance(printed, dict):
        assert printed.keys() == expected.keys()
        for key, value in expected.items():
            assert_alike(printed[key], value, tolerance)
    elif isinstance(expected, list) and isinstance(printed, list):
        assert len(printed) == len(expected), printed
        for one, other in zip(printed, expected, strict=True):
            assert_alike(one, other, tolerance)
    elif isinstance(expected, float) and isinstance(printed, float):
        assert math.isclose(printed, expected, rel_tol=0, abs_tol=tolerance), f"{printed} is not {expected}"
    else:
        assert expected in (ANY, printed)
