"""Workload (c): arrivals that do not wait for answers, below and above what the pair can do, and what it sheds."""

from __future__ import annotations

from functools import partial

from bench.clients import bodies, load
from bench.compare import image
from bench.compare.plan import Plan
from bench.compare.processes import running, wait_for_quiet
from bench.compare.results import Results
from bench.compare.systems import overloaded

SHARES = (50, 80, 110, 150)  # percent of the peak that the same generator measured
ROWS = 48  # that may be inside the pair: few enough for a queue to fill within seconds at 110 %
BATCH, SLACK = 4, 0.05  # rows in a batch; seconds that "bounded" allows for everything else


def measure(plan: Plan, results: Results) -> None:
    """Each round a fresh pair: its peak, then the shares of it."""
    for number in range(plan.rounds if plan.wants("tandem") else 0):
        wait_for_quiet(plan.patience)
        with results.surviving("arrivals"):
            _round(plan, results, number)


def _round(plan: Plan, results: Results, number: int) -> None:
    system, folder = overloaded(ROWS), bodies.photos()["seed"]
    first = (folder / "000.json").read_bytes()
    with running(system.commands, lambda: load.post(system.url, first)[0] == 200):
        image.check(system, folder)
        load.arrivals(system.url, folder, 0, plan.warm_up)
        peak = plan.measured(partial(load.arrivals, system.url, folder, 0, plan.overload_seconds / 2))
        results.add("arrivals peak", "tandem", number, peak)
        for share in SHARES:
            rate = peak["goodput"] * share / 100
            values = plan.measured(partial(load.arrivals, system.url, folder, rate, plan.overload_seconds))
            bound = (ROWS + BATCH) / max(values["goodput"], 1) + SLACK
            values["p99_of_bound"] = values["p99_ms"] / 1e3 / bound
            results.add(f"arrivals {share} %", "tandem", number, values)
