"""Every command and every piece of code in the documentation is run by a test, or a comment above it says why not.

`<!-- run by: tests/... -->` names the test, which must name the page; `<!-- not run: ... -->` gives the reason. The
pages in PAGES have a test that runs all commands of which they show the answer.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import pytest
from harness import ROOT

CODE = {"sh", "python", "yaml", "dockerfile", "ini", "toml"}
NOT_CODE = {"text", "json"}  # what is printed, and pictures; Sphinx's own directives are in braces
PAGES = {
    "docs/protocol.md": "tests/contract/test_protocol_page.py",
    "docs/observability.md": "tests/contract/test_recipes.py",
    **{str(page.relative_to(ROOT)): "tests/examples/test_readmes.py" for page in ROOT.glob("examples/*/README.md")},
}


@dataclass(frozen=True)
class Block:
    """A fenced block: where it begins, its language, the comment above it, and whether its answer stands below it."""

    page: str
    line: int
    language: str
    comment: str
    answered: bool

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def blocks(page: Path) -> list[Block]:
    name, text = str(page.relative_to(ROOT)), page.read_text()
    found = []
    for match in re.finditer(r"^ *```([^\n`]*)\n.*?^ *```\n", text, re.MULTILINE | re.DOTALL):
        above = text[: match.start()].rstrip().rpartition("\n")[2]
        below = text[match.end() :].lstrip()
        line = text.count("\n", 0, match.start()) + 1
        found.append(Block(name, line, match[1].strip(), above, below.startswith(("```json", "```text"))))
    return found


PLACES = ("README.md", "docs/**/*.md", "bench/*.md", "examples/**/*.md")
FOUND = [block for place in PLACES for page in sorted(ROOT.glob(place)) for block in blocks(page)]


@pytest.mark.parametrize("block", FOUND, ids=str)
def test_a_block_is_run_or_says_why_not(block: Block) -> None:
    if block.language.startswith("{") or block.language in NOT_CODE:
        return
    assert block.language in CODE, f"say what it is: {', '.join(sorted(CODE | NOT_CODE))}"
    if block.answered and block.language == "sh" and block.page in PAGES:
        return
    run = re.fullmatch(r"<!-- run by: (tests/\S+) -->", block.comment.strip())
    assert run or re.fullmatch(r"<!-- not run: .{5,} -->", block.comment.strip()), (
        "no comment above it says who runs it"
    )
    if run:
        assert Path(block.page).name in (ROOT / run[1]).read_text()


@pytest.mark.parametrize(("page", "test"), PAGES.items())
def test_the_commands_of_a_page_have_their_test(page: str, test: str) -> None:
    assert Path(page).name in (ROOT / test).read_text()
    assert any(block.page == page and block.answered for block in FOUND)
