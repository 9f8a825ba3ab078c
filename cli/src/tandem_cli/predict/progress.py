"""A progress bar on standard error, of work that is worth one and at a terminal only."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO

from rich import progress
from rich.console import Console
from rich.text import Text


class Rate(progress.ProgressColumn):
    """Answers a second."""

    def render(self, task: progress.Task) -> Text:
        """Called by rich."""
        return Text(f"{task.speed:.0f}/s" if task.speed else "", style="cyan")


class Progress:
    """How many of `total` are done, how fast, how many failed."""

    def __init__(self, total: int, out: TextIO, console: Console | None = None) -> None:
        self._total = total
        self._console = console or Console(stderr=True)
        self._redirect = out is sys.stdout and out.isatty()  # rows go above the bar

    @contextmanager
    def shown(self) -> Iterator[Callable[[int], None]]:
        """What to tell of each answer: how many have failed so far."""
        if self._total < 2 or not self._console.is_terminal:
            yield lambda failed: None
            return
        columns = (
            progress.BarColumn(bar_width=None),
            progress.MofNCompleteColumn(),
            Rate(),
            progress.TimeRemainingColumn(),
            progress.TextColumn("{task.fields[failures]}", style="red"),
        )
        bar = progress.Progress(
            *columns,
            console=self._console,
            refresh_per_second=4,
            transient=True,
            redirect_stdout=self._redirect,
            redirect_stderr=False,
        )
        with bar:
            task = bar.add_task("", total=self._total, failures="")
            yield lambda failed: bar.update(task, advance=1, failures=f"{failed} failed" if failed else "")
