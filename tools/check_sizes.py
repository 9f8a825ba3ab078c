#!/usr/bin/env python3
"""Hold the house style's sizes: no module over 300 lines, no function body over 40, twelve modules a folder at most."""

from __future__ import annotations

import ast
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("shared/src", "services", "cli/src", "tools", "examples")
MAX_MODULE, MAX_FUNCTION, MAX_FOLDER = 300, 40, 12


def modules() -> Iterator[Path]:
    """Every module that people write."""
    for folder in FOLDERS:
        yield from (file for file in (ROOT / folder).rglob("*.py") if "_pb2" not in file.name)


def problems() -> Iterator[str]:
    """A line for each thing that is too large."""
    for file in modules():
        text = file.read_text()
        name = file.relative_to(ROOT)
        if (lines := text.count("\n")) > MAX_MODULE:
            yield f"{name}: {lines} lines, at most {MAX_MODULE}"
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                size = (node.end_lineno or node.lineno) - node.lineno + 1
                if size > MAX_FUNCTION:
                    yield f"{name}:{node.lineno}: {node.name} has {size} lines, at most {MAX_FUNCTION}"
    for folder, count in Counter(file.parent for file in modules() if file.name != "__init__.py").items():
        if count > MAX_FOLDER:
            yield f"{folder.relative_to(ROOT)}: {count} modules, at most {MAX_FOLDER}"


if __name__ == "__main__":
    found = list(problems())
    print(*found, sep="\n", file=sys.stderr)
    sys.exit(bool(found))
