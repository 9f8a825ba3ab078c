"""Answers for people: one of them whole, many of them a line each."""

from __future__ import annotations

from typing import TextIO

import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from tandem.client import InferResult
from tandem.errors import TandemError
from tandem.tensors import Array, datatype_of

from tandem_cli.doctor.report import printable
from tandem_cli.predict.rendering import classifies, ranked, text

SHOWN = ("preprocess", "hop", "queue", "inference", "postprocess")
_WIDEST = 60  # characters of a name, or of an element
_MOST = 8  # elements of an output


class Single:
    """One answer as a table of its own."""

    def __init__(self, out: TextIO) -> None:
        self._console = Console(file=out)

    def write(self, name: str, answer: InferResult | TandemError) -> None:
        """Write it; an error is told at the end."""
        if isinstance(answer, InferResult):
            self._console.print(table(name, answer))


class Rows:
    """A line an answer: its best label, or its outputs in short."""

    def __init__(self, out: TextIO, longest: int) -> None:
        self._out = out
        self._width = min(longest, _WIDEST)

    def write(self, name: str, answer: InferResult | TandemError) -> None:
        """Write one."""
        print(printable(f"{name:<{self._width}}  {self._line(answer)}"), file=self._out)

    def _line(self, answer: InferResult | TandemError) -> str:
        if isinstance(answer, TandemError):
            return f"error: {answer.message}"
        if not classifies(answer):
            return "  ".join(f"{output} {short(array)}" for output, array in answer.items())
        return "; ".join(f"{probability:.3f}  {label}" for (label, probability, _), *_ in ranked(answer))


def table(name: str, answer: InferResult) -> Table:
    """The labels of one photo, or the outputs of another model, with the time of each phase below."""
    shown = Table(title=escape(printable(name)), caption=_timing(answer), caption_justify="left", min_width=80)
    if not classifies(answer):
        for heading in ("output", "datatype", "shape", "values"):
            shown.add_column(heading)
        for output, array in answer.items():
            kind, shape = datatype_of(array.dtype), str(list(array.shape))
            shown.add_row(*(escape(printable(cell)) for cell in (output, kind, shape, short(array))))
        return shown
    shown.add_column("label")
    shown.add_column("probability", justify="right")
    for best in ranked(answer):
        for label, probability, _ in best:
            shown.add_row(escape(printable(label)), f"{probability:.3f}")
        shown.add_section()
    return shown


def short(array: Array) -> str:
    """The first and last elements."""
    if array.dtype.hasobject:
        array = np.array([text(bytes(element))[:_WIDEST] for element in array.ravel()[:_MOST].tolist()], object)
    return " ".join(np.array2string(array, threshold=_MOST, edgeitems=2, precision=4).split())


def _timing(answer: InferResult) -> str:
    phases = [f"{name} {answer.timings[name] * 1e3:.1f} ms" for name in SHOWN if name in answer.timings]
    return " · ".join(phases)
