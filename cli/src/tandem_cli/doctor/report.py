"""What a check found, and how it is told: a line each, or one JSON document."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from rich.console import Console
from rich.text import Text

OK, WARN, FAIL, NOT_CHECKED = "ok", "warn", "FAIL", "not checked"
_STYLES = {OK: "green", WARN: "yellow", FAIL: "bold red", NOT_CHECKED: "dim"}
_LONGEST = 300  # characters of a text that the other side had a part in
_NARROWEST, _WIDEST = 20, 100_000  # characters of a line's text: at a terminal at least, in a file at most


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
    """What was found, one after the other, with what to mend; then what could not be looked at, and the counts."""
    made = [finding for finding in findings if finding.mark != NOT_CHECKED]
    width = max((len(finding.check) for finding in made), default=0)
    for finding in made:
        _tell(console, finding.mark, f"{finding.check:<{width}}  ", finding.text)
        if finding.mend:
            _tell(console, "", "  mend: ", finding.mend)
    for reason in dict.fromkeys(finding.text for finding in findings if finding.mark == NOT_CHECKED):
        names = ", ".join(
            finding.check for finding in findings if (finding.mark, finding.text) == (NOT_CHECKED, reason)
        )
        _tell(console, NOT_CHECKED, "", f"{names}: {reason}")
    console.print(Text(", ".join(f"{count} {mark}" for mark, count in counts(findings).items())), soft_wrap=True)


def _tell(console: Console, mark: str, head: str, text: str) -> None:
    """One line, or at a terminal as many as its width needs, the text below the text."""
    margin = len(NOT_CHECKED) + 2
    room = max(console.width - margin - len(head), _NARROWEST) if console.is_terminal else _WIDEST
    for number, part in enumerate(textwrap.wrap(text, room, break_long_words=False, break_on_hyphens=False) or [""]):
        begin = (f"{mark:<{margin}}", head) if number == 0 else (" " * margin, " " * len(head))
        console.print(Text.assemble((begin[0], _STYLES.get(mark, "")), begin[1], part), soft_wrap=True)


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
