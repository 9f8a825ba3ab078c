"""Every example, by the command of its README.md; its requests answer what the page says."""

from __future__ import annotations

import subprocess

import pytest
from examples.running import INSTALLING, command, compare, names, requests, running
from harness import ROOT

LIGHT = ("image-classification", "row-sums")  # they need nothing that `make setup` has not installed

every = pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=() if name in LIGHT else (pytest.mark.system, pytest.mark.timeout(INSTALLING)))
        for name in names()
    ],
)


@every
def test_its_requests_answer_as_the_readme_says(name: str) -> None:
    assert requests(name), "the README shows no request"
    with running(name) as pair:
        compare(name, pair)
    assert prepared_again(name) == "", "what was made is made again"


def prepared_again(name: str) -> str:
    """What prepare.py prints when all is there."""
    script = ROOT / "examples" / name / "prepare.py"
    if not script.exists():
        return ""
    return subprocess.run([".venv/bin/python", script], cwd=ROOT, capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("name", names())
def test_it_is_run_by_the_one_command_and_listed(name: str) -> None:
    assert command(name) == ["examples/run", name]
    assert f"]({name}/README.md)" in (ROOT / "examples" / "README.md").read_text()


def test_an_unknown_example_is_one_line_and_status_2() -> None:
    done = subprocess.run([ROOT / "examples" / "run", "nothing"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr == f"examples/run: 'nothing' is no example; expected one of: {' '.join(names())}\n"
