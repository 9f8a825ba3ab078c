"""docs/client.md: every block is run as it stands, on the pair's ports, and prints what the page says."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from harness import ROOT, Pair
from pages import Example, agree, on_its_ports

PAGE = (ROOT / "docs" / "client.md").read_text()
BLOCK = re.compile(r"^```(sh|python)\n(.*?)^```\n+```(text|json)\n(.*?)^```", re.MULTILINE | re.DOTALL)
FOUND = BLOCK.findall(PAGE)


@pytest.mark.parametrize(("language", "text", "form", "printed"), FOUND, ids=[text[:40] for _, text, *_ in FOUND])
def test_a_block_prints_what_the_page_says(pair: Pair, language: str, text: str, form: str, printed: str) -> None:
    code = on_its_ports(text, pair)
    if language == "sh":  # the page's address is the default
        code = code if "--url" in code else f"{code.rstrip()} --url {pair.transformer.url}\n"
    command = [sys.executable, "-c", code] if language == "python" else ["bash", "-o", "pipefail", "-c", code]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0 or "head" in text, done.stderr
    assert "Traceback" not in done.stderr, done.stderr
    agree(Example("", text, form, printed), done.stdout)


def test_every_block_of_the_page_has_its_answer() -> None:
    assert len(FOUND) == len(re.findall(r"^```(?:sh|python)$", PAGE, re.MULTILINE)) == 6


def test_the_pages_python_is_typed_strictly(tmp_path: Path) -> None:
    files = []
    for number, text in enumerate(text for language, text, *_ in FOUND if language == "python"):
        files.append(tmp_path / f"block_{number}.py")
        files[-1].write_text(text)
    cache = f"--cache-dir={ROOT / '.cache' / 'mypy-authors'}"
    command = [sys.executable, "-m", "mypy", "--strict", cache, *map(str, files)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=110, check=False)
    assert done.returncode == 0, done.stdout
