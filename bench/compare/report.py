"""The results as Markdown: what was held and what missed, then every figure; printed, kept, and put into the README."""

from __future__ import annotations

from pathlib import Path

from bench.compare.bars import BARS
from bench.compare.places import BENCH
from bench.compare.results import Results

_BEGIN, _END = "<!-- table: begin -->", "<!-- table: end -->"
_COLUMNS = {
    "rps": "rps",
    "p50_ms": "p50 ms",
    "p99_ms": "p99 ms",
    "cpu_ms": "CPU ms a request",
    "load_mb": "MB under load",
    "ready_s": "s to ready",
    "rest_mb": "MB at rest",
    "hop_p50_ms": "hop p50 ms",
    "goodput": "goodput",
    "offered": "offered",
    "shed": "shed (429)",
}


def show(results: Results, folder: Path, *, write: bool) -> None:
    """Print the table and write it beside the results; `write`: into the README too."""
    text = markdown(results)
    print(f"\n{text}\nbench: results in {folder}")
    (folder / "table.md").write_text(text)
    if write:
        readme = BENCH / "README.md"
        before, _, rest = readme.read_text().partition(_BEGIN)
        readme.write_text(f"{before}{_BEGIN}\n{text}{_END}{rest.partition(_END)[2]}")


def markdown(results: Results) -> str:
    """The whole report."""
    return "\n".join([*_about(results), "", *_bars(results), "", *_figures(results), ""])


def _about(results: Results) -> list[str]:
    about = results.about
    versions = about["versions"]
    found = [f"{about['date']}, commit {about['commit']}, `{about['command']}`", "", f"Machine: {about['machine']}."]
    listed = versions.items() if isinstance(versions, dict) else ()
    return [*found, "", *(f"* {name}: {text}" for name, text in listed)]


def _bars(results: Results) -> list[str]:
    lines = ["| workload | figure | measured | floor | goal | |", "| --- | --- | ---: | ---: | ---: | --- |"]
    for bar in BARS:
        value = bar.measure(results)
        shown = "" if value is None else f"{value:.2f}"
        limits = f"{bar.limit(bar.floor)} | {bar.limit(bar.goal)}"
        lines.append(f"| {bar.workload} | {bar.figure} | {shown} | {limits} | {bar.verdict(value)} |")
    return lines


def _figures(results: Results) -> list[str]:
    used = [name for name in _COLUMNS if any(name in sample.values for sample in results.samples)]
    head = " | ".join(_COLUMNS[name] for name in used)
    lines = [f"| case | system | {head} |", "| --- | --- |" + " ---: |" * len(used)]
    for case, system in sorted({(sample.case, sample.system): None for sample in results.samples}, key=_order):
        found = (results.median(case, system, name) for name in used)
        cells = " | ".join("" if value is None else _number(value) for value in found)
        lines.append(f"| {case} | {system} | {cells} |")
    return lines


def _order(key: tuple[str, str]) -> tuple[str, int, str]:
    """Cases by name, but c=8 before c=32; systems by name."""
    name, _, concurrency = key[0].partition("c=")
    return name, int(concurrency or 0), key[1]


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
