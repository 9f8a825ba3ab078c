"""config.pbtxt in a model's folder -> what it says, or why the model cannot be served."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tandem.codec import config_file
from tandem.errors import InvalidInput
from tandem.model.config import Declared

from tandem_predictor.runtime import LoadError

log = logging.getLogger("tandem.predictor")

NAME = "config.pbtxt"


@dataclass(frozen=True, slots=True)
class Description:
    """A model's folder and its config.pbtxt; `problem` says why it cannot be served, if it cannot."""

    folder: Path
    declared: Declared = field(default_factory=Declared)
    problem: str = ""

    def labels(self) -> dict[str, Sequence[str]]:
        """The labels of each output that has a file of them; raises LoadError."""
        found: dict[str, Sequence[str]] = {}
        for output, name in self.declared.label_files.items():
            try:
                found[output] = (self.folder / name).read_text().splitlines()
            except (OSError, UnicodeDecodeError) as error:
                raise LoadError(f"{self.folder / NAME}: label_filename of '{output}': {error}") from error
        return found


def read(folder: Path) -> Description | None:
    """What the folder's config.pbtxt says; None if there is none."""
    file = folder / NAME
    if not file.is_file():
        return None
    try:
        declared, warnings = config_file.decode(file.read_text())
    except (InvalidInput, OSError, UnicodeDecodeError) as error:
        return Description(folder, problem=f"{file}: {error}")
    for warning in warnings:
        log.warning("%s: %s", file, warning)
    return Description(folder, declared)
