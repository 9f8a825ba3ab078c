"""What the two transports have in common; each has the same methods, and all of them raise TandemError."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from tandem.deadline import Deadline
from tandem.errors import Unavailable


@dataclass(frozen=True, slots=True)
class Terms:
    """Until when an answer is waited for, and the headers or metadata to send."""

    deadline: Deadline
    headers: Mapping[str, str] = field(default_factory=dict)


class NotSent(Unavailable):
    """Nothing has left this machine: nobody can be reached there."""
