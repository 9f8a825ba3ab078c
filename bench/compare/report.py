"""The results as Markdown: what was held and what missed, then every figure; printed, kept, and put into the README."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from statistics import median

from bench.clients import bodies
from bench.compare import environments
from bench.compare.bars import BARS
from bench.compare.places import BENCH
from bench.compare.results import Results

_BEGIN, _END = "<!-- table: begin -->", "<!-- table: end -->"
_DISTURBED = 0.3  # cores of others
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
    "others": "cores of others",
}


def show(results: Results, folder: Path, *, write: bool) -> None:
    """Print the table and write it beside the results; `write`: into the README too."""
    text = markdown(results)
    print(f"\n{text}\nbench: results in {folder}")
    (folder / "table.md").write_text(text)
    plots(folder / "results.json", BENCH / "plots" if write else folder)
    if write:
        readme = BENCH / "README.md"
        before, _, rest = readme.read_text().partition(_BEGIN)
        readme.write_text(f"{before}{_BEGIN}\n{text}{_END}{rest.partition(_END)[2]}")


def plots(results: Path, folder: Path) -> None:
    """SVG files, by the environment that has matplotlib."""
    command = [str(environments.python("plots")), str(BENCH / "plots.py"), str(results), str(folder)]
    try:
        subprocess.run(command, check=True, capture_output=True, text=True)
    except (OSError, subprocess.CalledProcessError) as problem:
        print(f"bench: no plots: {problem} {getattr(problem, 'stderr', '')}", flush=True)


def markdown(results: Results) -> str:
    """The whole report."""
    parts = (_about(results), _failures(results), _bars(results), _figures(results))
    return "\n".join(line for part in parts if part for line in (*part, ""))


def _about(results: Results) -> list[str]:
    about = results.about
    versions = about["versions"]
    rounds = 1 + max((sample.round for sample in results.samples), default=-1)
    run = f"{about['date']}, commit {about['commit']}, `{about['command']}`: medians of {rounds} round(s)."
    machine = f"Machine: {about['machine']}; load before the run {about['load_before']:.2f}."
    listed = versions.items() if isinstance(versions, dict) else ()
    return [run, "", machine, "", *_others(results), *(f"* {name}: {text}" for name, text in listed)]


def _others(results: Results) -> list[str]:
    """How quiet the machine was."""
    found = [(sample.values["others"], sample) for sample in results.samples if "others" in sample.values]
    if not found:
        return []
    most, worst = max(found, key=lambda pair: pair[0])
    usual = median(cores for cores, _ in found)
    where = f"{worst.case}, {worst.system}, round {worst.round + 1}"
    return [f"Other work on the machine: {usual:.2f} cores in the median, at most {most:.2f} ({where}).", ""]


def _failures(results: Results) -> list[str]:
    return [f"* FAILED {failure.splitlines()[0]}" for failure in results.failures]


def _bars(results: Results) -> list[str]:
    lines = ["| workload | figure | measured | floor | goal | |", "| --- | --- | ---: | ---: | ---: | --- |"]
    for bar in BARS:
        results.disturbance = 0
        value = bar.measure(results)
        verdict = bar.verdict(value) + (", but disturbed" if results.disturbance > _DISTURBED else "")
        shown = "" if value is None else f"{value:.2f}"
        limits = f"{bar.limit(bar.floor)} | {bar.limit(bar.goal)}"
        lines.append(f"| {bar.workload} | {bar.figure} | {shown} | {limits} | {verdict} |")
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


def _order(key: tuple[str, str]) -> tuple[list[tuple[int, str]], str]:
    """Cases by name, but numbers and sizes as people count them; systems by name."""
    name = key[0]
    for rank, size in enumerate(bodies.SHAPES):
        name = name.replace(size, str(rank))
    return [(int(part), "") if part.isdigit() else (0, part) for part in re.split(r"(\d+)", name)], key[1]


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.2g}" if value < 1 else f"{value:.3g}"
