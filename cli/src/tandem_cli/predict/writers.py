"""Answers as a table, JSON lines or CSV, each written as it comes."""

from __future__ import annotations

import csv
import sys
from collections.abc import Sequence
from typing import Protocol, TextIO

import numpy as np
import orjson
from tandem.client import InferResult, ModelMetadata
from tandem.errors import TandemError

from tandem_cli.predict import tables
from tandem_cli.predict.jobs import Job
from tandem_cli.predict.rendering import classifies, plain, ranked, text


class Writer(Protocol):
    """Takes one answer after the other."""

    def write(self, name: str, answer: InferResult | TandemError) -> None:
        """Write one."""


def writer(form: str, out: TextIO, model: ModelMetadata, work: Sequence[Job]) -> Writer:
    """The writer of a --format."""
    names = [spec.name for spec in model.outputs]
    if form == "json":
        return Json(out)
    if form == "csv":
        return Labels(out) if classifies(names) else Values(out)
    if len(work) == 1:
        return tables.Single(out)
    return tables.Rows(out, max(len(job.name) for job in work))


class Json:
    """An object a line: `source`, and `outputs` by name or `error`."""

    def __init__(self, out: TextIO) -> None:
        self._out = out

    def write(self, name: str, answer: InferResult | TandemError) -> None:
        """Write one."""
        document: dict[str, object] = {"source": name}
        if isinstance(answer, TandemError):
            document["error"] = answer.message
        else:
            document["model_name"], document["model_version"] = answer.model_name, answer.model_version
            document["outputs"] = {output: plain(array) for output, array in answer.items()}
            document["timings_ms"] = {phase: round(seconds * 1e3, 3) for phase, seconds in answer.timings.items()}
        self._out.write(orjson.dumps(document, option=orjson.OPT_APPEND_NEWLINE).decode())
        if self._out is sys.stdout:  # who reads it waits for lines
            self._out.flush()


class Labels:
    """CSV of a classification: a line a label, the best first."""

    def __init__(self, out: TextIO) -> None:
        self._csv = csv.writer(out, lineterminator="\n")
        self._csv.writerow(("source", "row", "rank", "label", "probability", "class", "error"))

    def write(self, name: str, answer: InferResult | TandemError) -> None:
        """Write one."""
        if isinstance(answer, TandemError):
            self._csv.writerow((name, "", "", "", "", "", answer.message))
            return
        for row, best in enumerate(ranked(answer)):
            for rank, (label, probability, number) in enumerate(best, 1):
                self._csv.writerow((name, row, rank, label, f"{probability:.6f}", number, ""))


class Values:
    """CSV of any model: a line an element of an output."""

    def __init__(self, out: TextIO) -> None:
        self._csv = csv.writer(out, lineterminator="\n")
        self._csv.writerow(("source", "output", "index", "value", "error"))

    def write(self, name: str, answer: InferResult | TandemError) -> None:
        """Write one."""
        if isinstance(answer, TandemError):
            self._csv.writerow((name, "", "", "", answer.message))
            return
        for output, array in answer.items():
            for index in np.ndindex(array.shape):
                value = array[index]
                shown = text(value) if isinstance(value, bytes) else value
                self._csv.writerow((name, output, " ".join(map(str, index)), shown, ""))
