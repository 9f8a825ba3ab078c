"""What a check found, and how it is told: a line each, or one JSON document."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from rich.console import Console
from rich.text import Text

OK, WARN, FAIL, NOT_CHECKED = "ok", "warn", "FAIL", "not checked"
_STYLES = {OK: "green", WARN: "yellow", FAIL: "bold red", NOT_CHECKED: "dim"}
_LONGEST = 300  # characters of a text that the other side had a part in


class Problem(Exception):
    """A check failed: what is wrong, and what to mend."""

    mark = FAIL
    mend = "is it a Tandem service, reached directly? then its log says more"

    def __init__(self, text: str, mend: str = "") -> None:
        super().__init__(text)
        self.text = text
        self.mend = mend or self.mend


class Doubt(Problem):
    """Something that may be meant, but rarely is."""

    mark = WARN


class NotChecked(Problem):
    """A check that cannot be made, and why."""

    mark = NOT_CHECKED
    mend = ""


@dataclass(frozen=True, slots=True)
class Finding:
    """The outcome of one check."""

    check: str
    mark: str
    text: str
    mend: str = ""

    @classmethod
    def of(cls, check: str, problem: Problem) -> Finding:
        """What a check that did not go well tells."""
        return cls(check, problem.mark, printable(problem.text), printable(problem.mend))


def printable(text: str) -> str:
    """`text` on one line and without what a terminal would obey: the other side may be anything."""
    short = text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."
    return "".join(character if character.isprintable() else " " for character in short)


def show(findings: Sequence[Finding], console: Console) -> None:
    """A line a finding, a line of what to mend below each that needs it, and the counts."""
    width = max((len(finding.check) for finding in findings), default=0)
    for finding in findings:
        mark = f"{finding.mark:<{len(NOT_CHECKED)}}"
        console.print(
            Text.assemble((mark, _STYLES[finding.mark]), f"  {finding.check:<{width}}  {finding.text}"), soft_wrap=True
        )
        if finding.mend:
            console.print(Text(f"{'':<{len(NOT_CHECKED)}}    mend: {finding.mend}"), soft_wrap=True)
    console.print(Text(", ".join(f"{count} {mark}" for mark, count in counts(findings).items())), soft_wrap=True)


def document(findings: Sequence[Finding]) -> str:
    """The findings as JSON."""
    checks = [asdict(finding) for finding in findings]
    return json.dumps({"healthy": healthy(findings), "counts": counts(findings), "checks": checks}, indent=2)


def counts(findings: Sequence[Finding]) -> dict[str, int]:
    """How many findings there are of each mark."""
    return {mark: sum(finding.mark == mark for finding in findings) for mark in _STYLES}


def healthy(findings: Sequence[Finding]) -> bool:
    """Whether nothing failed."""
    return all(finding.mark != FAIL for finding in findings)
