"""docs/authoring.md from top to bottom in one folder: its files are written, its commands run, its code typed."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from harness import ROOT
from pages import Example, agree, block

BLOCK = re.compile(r"^```(sh|python|text)\n(.*?)^```", re.MULTILINE | re.DOTALL)
FOUND = BLOCK.findall((ROOT / "docs" / "authoring.md").read_text())
MYPY = ("-m", "mypy", "--strict", f"--cache-dir={ROOT / '.cache' / 'mypy-authors'}")


def run(folder: Path, *command: str) -> str:
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "PYTHONWARNINGS": "ignore"}  # pytest-asyncio has one of its own
    done = subprocess.run(
        command,
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """With the files that the page shows, each named by its first line."""
    home = tmp_path_factory.mktemp("authoring")
    for language, text in FOUND:
        if language == "python":
            file = home / text.splitlines()[0].removeprefix("# ")
            file.parent.mkdir(exist_ok=True)
            file.write_text(text)
    return home


def test_its_commands_print_what_it_says(folder):
    commands = 0
    for (language, text), (_, printed) in zip(FOUND, [*FOUND[1:], ("", "")], strict=True):
        if language == "sh":
            agree(Example("", text, "text", printed), run(folder, "bash", "-o", "pipefail", "-c", text))
            commands += 1
    assert commands == 3


def test_its_item_wise_transformer_prices_a_basket(folder):
    test = """
import numpy as np
import pytest
from tandem import InvalidInput
from tandem_cli import testing
from prices import Prices

outputs = testing.run(Prices(), {"article": np.array([b"pear", b"apple"], object)}, "doubler")
assert outputs["y"].tolist() == [[8, 2, 0], [6, 2, 0]]
with pytest.raises(InvalidInput, match="^row 1: no article 'plum'$"):
    testing.run(Prices(), {"article": np.array([b"pear", b"plum"], object)}, "doubler")
"""
    run(folder, sys.executable, "-c", test)


def test_an_authors_code_is_typed_strictly_without_an_ignore(folder):
    assert "ignore" not in "".join(text for language, text in FOUND if language == "python")
    (folder / "readme.py").write_text(block("README.md", "import numpy"))
    run(folder, sys.executable, *MYPY, "celsius.py", "prices.py", "test_celsius.py", "readme.py")
    run(folder, sys.executable, *MYPY, "doubler/model.py")
