"""What was named on the command line -> one job a request. Files are read when their turn comes."""

from __future__ import annotations

import argparse
import glob
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tandem.inference import Arrays
from tandem.metadata import ModelMetadata

from tandem_cli.access import BadUse
from tandem_cli.predict import reading

IMAGES = (".jpg", ".jpeg", ".png", ".webp")
ARRAYS = (".npy", ".npz", ".json")
STDIN = Path("-")


@dataclass(frozen=True, slots=True)
class Job:
    """One request: what its answer is called, and how its inputs are read."""

    name: str
    read: Callable[[], Arrays]  # raises OSError or TandemError


def jobs(known: argparse.Namespace, model: ModelMetadata) -> list[Job]:
    """Everything that was asked for; raises BadUse."""
    taken = len(model.inputs) == 1 and model.inputs[0].datatype == "BYTES"
    read = partial(reading.content if taken else reading.arrays, model)
    found = [
        Job("-" if path == STDIN else str(path), partial(read, path))
        for path in paths(known.sources, IMAGES if taken else ARRAYS)
    ]
    if known.inputs:
        found.append(Job(known.inputs, partial(reading.arrays, model, Path(known.inputs))))
    if known.input:
        given = dict(_named(text) for text in known.input)
        found.append(Job(", ".join(given), partial(reading.values, model, given)))
    if not found:
        raise BadUse("nothing to predict; name files or folders, see `tandem predict --help`")
    return found


def paths(sources: list[str], suffixes: tuple[str, ...]) -> Iterator[Path]:
    """The files that the arguments name; of folders those with `suffixes`, at any depth. Raises BadUse."""
    for source in sources:
        path = Path(source)
        if path == STDIN:
            if sys.stdin.isatty():
                raise BadUse("- reads a file from standard input, which is a terminal; expected a pipe")
            yield path
        elif path.is_dir():
            files = sorted(file for file in path.rglob("*") if file.suffix.lower() in suffixes and file.is_file())
            if not files:
                raise BadUse(f"{source}: no file in it ends in {', '.join(suffixes)}")
            yield from files
        elif path.exists():
            yield path
        else:
            matched = sorted(Path(name) for name in glob.glob(source, recursive=True))
            if not matched:
                raise BadUse(f"{source}: no such file" + (" matches" if glob.has_magic(source) else ""))
            yield from (file for file in matched if file.is_file())


def _named(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise BadUse(f"--input {text[:60]}: expected NAME=VALUE or NAME=@FILE")
    return name, value
