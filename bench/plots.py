"""Draw a results.json: rps and p99 against concurrency, latency against the rate of arrivals; or a soak.json: memory
against time. Needs matplotlib.

.cache/venvs/bench-plots/bin/python bench/plots.py RESULTS.json [FOLDER, bench/plots unless given]
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from statistics import median

import matplotlib as mpl
from matplotlib import pyplot
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

COLOURS = {"tandem": "#0b7285", "tandem-int8": "#66c2d0", "kserve": "#e8590c", "triton": "#5f3dc4", "mosec": "#868e96"}
NAMES = {
    "tandem": "Tandem",
    "tandem-int8": "Tandem, int8",
    "kserve": "KServe SDK",
    "triton": "Triton",
    "mosec": "mosec",
}

Curve = list[tuple[float, float]]


def curve(samples: list[dict], system: str, metric: str, case: str = r"image c=(\d+)") -> Curve:
    """Medians over the rounds, by the number in the case's name."""
    values: dict[int, list[float]] = {}
    for sample in samples:
        found = re.fullmatch(case, sample["case"])
        if found and sample["system"] == system and metric in sample["values"]:
            values.setdefault(int(found[1]), []).append(sample["values"][metric])
    return [(at, median(values[at])) for at in sorted(values)]


def draw(axes: Axes, points: Curve, system: str) -> None:
    if points:
        axes.plot(*zip(*points, strict=True), marker="o", markersize=4, color=COLOURS[system], label=NAMES[system])


def concurrency(samples: list[dict], metric: str, title: str) -> Figure:
    """One curve a system; for rps with the bare loops as the ceilings that they are."""
    figure, axes = pyplot.subplots(figsize=(6.4, 3.6), layout="constrained")
    for system in COLOURS:
        draw(axes, curve(samples, system, metric), system)
    for system, style in {"bare": "--", "bare-int8": ":"}.items() if metric == "rps" else ():
        for _, height in curve(samples, system, metric):
            label = "no serving at all" + (", int8" if "int8" in system else "")
            axes.axhline(height, color="black", linewidth=1, linestyle=style, label=label)
    axes.set_xscale("log", base=2)
    axes.set_xticks([1, 8, 32, 128], ["1", "8", "32", "128"])
    axes.set_xlabel("requests at a time")
    finish(axes, title, logarithmic=metric != "rps")
    return figure


def arrivals(samples: list[dict]) -> Figure:
    figure, axes = pyplot.subplots(figsize=(6.4, 3.6), layout="constrained")
    for metric, style in {"p50_ms": ":", "p90_ms": "--", "p99_ms": "-"}.items():
        if points := curve(samples, "tandem", metric, r"arrivals (\d+) %"):
            axes.plot(*zip(*points, strict=True), style, marker="o", color=COLOURS["tandem"], label=metric[:3])
    axes.set_xticks([50, 80, 110, 150])
    axes.set_xlabel("arrivals, percent of the peak")
    finish(axes, "Latency of accepted requests, ms", logarithmic=False)
    return figure


def memory(looks: list[tuple[float, dict[str, float]]]) -> Figure:
    figure, axes = pyplot.subplots(figsize=(6.4, 3.0), layout="constrained")
    minutes = [moment / 60 for moment, _ in looks]
    for name in looks[0][1]:
        axes.plot(minutes, [sizes[name] for _, sizes in looks], label=name.removeprefix("tandem-"))
    axes.set_xlabel("minutes under the seed's request at concurrency 32")
    finish(axes, "Resident memory, MB", logarithmic=False)
    return figure


def finish(axes: Axes, title: str, *, logarithmic: bool) -> None:
    axes.set_title(title, loc="left", fontsize=10)
    axes.grid(visible=True, color="#e9ecef")
    axes.spines[["top", "right"]].set_visible(False)
    if logarithmic:
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter("{x:,g}")
        axes.yaxis.set_minor_formatter(NullFormatter())
    else:
        axes.set_ylim(bottom=0)
    if axes.lines:
        axes.legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1, 1))


def main() -> None:
    file = Path(sys.argv[1])
    folder = Path(sys.argv[2]) if len(sys.argv) > 2 else Path(__file__).parent / "plots"
    results = json.loads(file.read_text())
    folder.mkdir(parents=True, exist_ok=True)
    # Text as text, and no random names or dates: the files stay small and the same figures give the same bytes.
    mpl.rcParams |= {"svg.fonttype": "none", "svg.hashsalt": "bench", "font.family": "sans-serif"}
    if "memory" in results:  # of bench/soak.py
        figures = {"memory": memory(results["memory"])}
    else:
        samples = results["samples"]
        figures = {
            "rps": concurrency(samples, "rps", "Requests a second"),
            "p99": concurrency(samples, "p99_ms", "p99, ms"),
            "arrivals": arrivals(samples),
        }
    for name, figure in figures.items():
        figure.savefig(folder / f"{name}.svg", metadata={"Date": None})


if __name__ == "__main__":
    main()
