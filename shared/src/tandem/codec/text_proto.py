"""Protobuf's text form with the fields that a message does not declare blanked out, places kept for error messages.

text_format's own leniency stops at lists of messages, `step [ { ... } ]`, of which Triton's files are full.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from google.protobuf.descriptor import Descriptor

_TOKEN = re.compile(r"""#[^\n]*|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'|[{}<>\[\]:,;]|[^\s{}<>\[\]:,;"'#]+""")
_CLOSING = {"{": "}", "<": ">", "[": "]"}


def known(text: str, message: Descriptor) -> tuple[str, list[str]]:
    """`text` with only the fields of `message` and its own messages left, and the names of the others."""
    scan = _Scan([found for found in _TOKEN.finditer(text) if not found[0].startswith("#")])
    scan.fields(message, "")
    pieces, end = [], 0
    for start, stop in scan.spans:
        pieces += [text[end:start], re.sub(r"[^\n]", " ", text[start:stop])]
        end = stop
    return "".join(pieces) + text[end:], scan.names


@dataclass(slots=True)
class _Scan:
    tokens: list[re.Match[str]]
    index: int = 0
    spans: list[tuple[int, int]] = field(default_factory=list)
    names: list[str] = field(default_factory=list)

    def fields(self, message: Descriptor | None, closing: str) -> bool:
        """The fields up to `closing`; false if they are malformed, which the parser will say better."""
        while (name := self._token()) not in ("", closing):
            start = self.tokens[self.index].start()
            self.index += 1
            declared = message.fields_by_name.get(name) if message else None
            scalar = self._take(":")
            whole = self._value(declared.message_type if declared else None, scalar=scalar)
            if not (whole and name.isidentifier()):
                return False
            if message and not declared:
                self.spans.append((start, self.tokens[self.index - 1].end()))
                self.names.append(name)
        return self._take(closing) or not closing

    def _value(self, message: Descriptor | None, *, scalar: bool) -> bool:
        opening, whole = self._token(), True
        self.index += opening != ""
        if opening == "[":
            while whole and self._token() not in ("", "]"):
                whole = self._value(message, scalar=scalar)
            whole = self._take("]") and whole
        elif opening in _CLOSING:
            whole = self.fields(message, _CLOSING[opening])
        else:
            whole = scalar and opening != ""
            while self._token()[:1] in ('"', "'"):  # strings beside one another are one
                self.index += 1
        self._take(",") or self._take(";")
        return whole

    def _token(self) -> str:
        return self.tokens[self.index][0] if self.index < len(self.tokens) else ""

    def _take(self, token: str) -> bool:
        taken = token != "" and self._token() == token
        self.index += taken
        return taken
