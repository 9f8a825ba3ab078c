"""What was measured, for programs and for pages: a JSON document, and a plot by matplotlib."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson

from tandem_cli.access import BadUse
from tandem_cli.bench.load import Measured
from tandem_cli.bench.recorder import PERCENTILES


def write_json(file: Path, measured: Sequence[Measured]) -> None:
    """A list with an object a level; latencies and phases in seconds. Raises OSError."""
    file.write_bytes(orjson.dumps([_document(one) for one in measured], option=orjson.OPT_INDENT_2) + b"\n")


def check_plot(file: Path) -> None:
    """Raise BadUse if no plot could be written there, before anything is measured."""
    if file.suffix.lower() not in {".png", ".svg"}:
        raise BadUse(f"--plot {file}: expected a name that ends in .png or .svg")
    try:
        import matplotlib  # noqa: F401, PLC0415 - a heavy library, which only --plot needs
    except ImportError:
        raise BadUse("--plot needs matplotlib; pip install 'tandem-cli[plot]'") from None


def write_plot(file: Path, measured: Sequence[Measured]) -> None:
    """Throughput and latency against the level. Raises OSError."""
    from matplotlib.figure import Figure  # noqa: PLC0415 - as above

    labels = [str(one.level) for one in measured]
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.plot(labels, [one.rps for one in measured], marker="o")
    left.set(ylabel="requests a second", ylim=(0, None))
    for percent in (50.0, 99.0):
        values = [one.recorder.latencies.percentile(percent) * 1e3 for one in measured]
        right.plot(labels, values, marker="o", label=f"p{percent:g}")
    right.set(ylabel="latency, ms", ylim=(0, None))
    right.legend(frameon=False)
    for axes in (left, right):
        axes.set_xlabel("arrivals" if measured[0].level.rate else "requests under way")
        axes.grid(alpha=0.3)
    figure.savefig(file, dpi=150)


def _document(one: Measured) -> dict[str, Any]:
    found = one.recorder.latencies
    latency = {f"p{p:g}": found.percentile(p) for p in PERCENTILES}
    mean = found.sum / found.count if found.count else None
    return {
        "concurrency": one.level.concurrency or None,
        "rate": one.level.rate or None,
        "seconds": one.seconds,
        "rps": one.rps,
        "latency_seconds": {"mean": mean, **latency, "max": found.most} if found.count else {},
        "outcomes": dict(one.recorder.outcomes),
        "phases_seconds": one.recorder.phases,
        "client_cpus": one.cpu,
    }
