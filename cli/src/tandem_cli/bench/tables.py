"""What was measured, for a person: a line while it runs, tables and bars at the end."""

from __future__ import annotations

from collections.abc import Sequence

from rich.bar import Bar
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text
from tandem.timings import PHASES

from tandem_cli.bench.load import Level, Measured
from tandem_cli.bench.recorder import PERCENTILES, Recorder

BUSY = 0.8  # of a CPU; a client that takes more is likely what was measured


def running(level: Level, recorder: Recorder, seconds: float, left: float) -> RenderableType:
    """One level while it runs."""
    found = recorder.latencies
    rate = f"{found.count / seconds:,.0f} req/s" if seconds else ""
    latency = f"p50 {_ms(found.percentile(50))} p99 {_ms(found.percentile(99))} ms" if found.count else "no answer yet"
    others = f"{recorder.shed} refused, {sum(recorder.failed.values())} failed"
    parts = (
        f"{_called(level)} {level}",
        rate,
        latency,
        others,
        f"{recorder.under_way} under way",
        f"{left:.0f} s left",
    )
    return Text(" · ".join(part for part in parts if part), overflow="ellipsis", no_wrap=True)


def summary(measured: Sequence[Measured]) -> RenderableType:
    """Every level: rate, latency, what was refused or failed, phases, and bars where there is something to compare."""
    shown: list[RenderableType] = [_latencies(measured)]
    if any(one.recorder.phases for one in measured):
        shown.append(_phases(measured))
    if len(measured) > 1:
        shown.append(_bars(measured))
    return Group(*shown, *[Text(note) for one in measured for note in _notes(one)])


def _latencies(measured: Sequence[Measured]) -> Table:
    table = _table(_called(measured[0].level), "req/s", *[f"p{p:g}" for p in PERCENTILES], "max", "refused", "failed")
    table.caption = "latency in ms"
    for one in measured:
        found = one.recorder.latencies
        failed = sum(one.recorder.failed.values())
        table.add_row(
            str(one.level),
            f"{one.rps:,.1f}",
            *[_ms(found.percentile(percent)) for percent in PERCENTILES],
            _ms(found.most if found.count else float("nan")),
            str(one.recorder.shed or ""),
            Text(str(failed or ""), style="red"),
        )
    return table


def _phases(measured: Sequence[Measured]) -> Table:
    names = [name for name in PHASES if any(name in one.recorder.phases for one in measured)]
    table = _table(_called(measured[0].level), *names)
    table.caption = "where the time went, means in ms"
    for one in measured:
        found = one.recorder.phases
        table.add_row(str(one.level), *[f"{found[name] * 1e3:.2f}" if name in found else "" for name in names])
    return table


def _bars(measured: Sequence[Measured]) -> Table:
    """Throughput and p99, each against its greatest."""
    table = Table(box=None, padding=(0, 2, 0, 0), show_edge=False, pad_edge=False)
    for title in (_called(measured[0].level), "req/s", "p99"):
        table.add_column(title, justify="right" if not table.columns else "left", ratio=1 if table.columns else None)
    rates = [one.rps for one in measured]
    tails = [one.recorder.latencies.percentile(99) if one.recorder.latencies.count else 0.0 for one in measured]
    for one, rate, tail in zip(measured, rates, tails, strict=True):
        table.add_row(str(one.level), _bar(rate, max(rates), "green"), _bar(tail, max(tails), "yellow"))
    return table


def _bar(value: float, most: float, colour: str) -> Bar:
    return Bar(most or 1.0, 0, value, width=30, color=colour)


def _notes(one: Measured) -> list[str]:
    notes = []
    if failed := one.recorder.failed:
        notes.append(f"{_called(one.level)} {one.level}: failed: {', '.join(f'{n} x {k}' for k, n in failed.items())}")
    if one.cpu > BUSY:
        notes.append(
            f"{_called(one.level)} {one.level}: this client took {one.cpu:.0%} of a CPU; the figures may be its own"
        )
    return notes


def _table(*titles: str) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), show_edge=False, pad_edge=False, caption_justify="left")
    for title in titles:
        table.add_column(title, justify="right", no_wrap=True)
    return table


def _called(level: Level) -> str:
    return "rate" if level.rate else "callers"


def _ms(seconds: float) -> str:
    milliseconds = seconds * 1e3
    if milliseconds != milliseconds:  # NaN: nothing was answered  # noqa: PLR0124
        return "-"
    return f"{milliseconds:,.0f}" if milliseconds >= 1000 else f"{milliseconds:.3g}"
