"""Workloads (a) and (d): the seed's request to every pair and to the bare loop; what starting and serving it costs."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path

from bench.clients import bodies, load
from bench.compare.places import MODELS
from bench.compare.plan import Plan
from bench.compare.processes import Failed, Processes, running, wait_for_quiet
from bench.compare.results import Results
from bench.compare.systems import IMAGE_SYSTEMS, System

COST = 32  # the concurrency that CPU seconds and memory are taken at
GROWTH = (8, COST, 128)  # the concurrencies at which the rate must be the same
CLOSEST = {"tandem": GROWTH, "kserve": (COST,)}  # compared in turns, beside the bare loop
BARE = {"bare": ("pixels", 2, 1), "bare-single": ("pixels", 1, 2), "bare-int8": ("int8", 2, 1)}
# Those that are compared most closely stand side by side, as the machine's speed drifts.
ORDER = ("bare", "tandem", "bare-single", "kserve", "triton", "mosec", "bare-int8", "tandem-int8")
_SAMPLES = (0, 21, 42, 63)  # the bodies whose answers are looked at


def measure(plan: Plan, results: Results) -> None:
    """A B C A B C: every system once a round."""
    for number in range(plan.rounds):
        for name in filter(plan.wants, ORDER):
            wait_for_quiet(plan.patience)
            with results.surviving(name):
                if name in BARE:
                    bare(name, plan, results, number)
                else:
                    serve(IMAGE_SYSTEMS[name](), plan, results, number)
        wait_for_quiet(plan.patience)
        with results.surviving("turns"):
            in_turns(plan, results, number)


def bare(name: str, plan: Plan, results: Results, number: int) -> None:
    """The bare loop stands beside c=32, its single request beside c=1."""
    model, loops, engine_threads = BARE[name]
    folder = bodies.photos()["seed"]
    run = partial(load.bare, MODELS[model], folder, plan.seconds, loops=loops, engine_threads=engine_threads)
    results.add("image c=1" if name == "bare-single" else f"image c={COST}", name, number, plan.measured(run))


def serve(system: System, plan: Plan, results: Results, number: int) -> None:
    """Start, look at answers, warm up, measure, look again, stop."""
    folder = bodies.photos()[system.shape]
    first = (folder / "000.json").read_bytes()
    with running(system.commands, partial(_answers, system.url, first)) as processes:
        check(system, folder)
        load.http(system.url, folder, 8, plan.warm_up)
        time.sleep(0.5)
        rest = {"ready_s": processes.seconds_to_ready, "rest_mb": processes.resident_bytes() / 1e6}
        results.add("start", system.name, number, rest)
        for concurrency in _concurrencies(system, plan):
            run = partial(watched, processes, system.url, folder, concurrency, plan)
            results.add(f"image c={concurrency}", system.name, number, plan.measured(run))
        check(system, folder)


def watched(processes: Processes, url: str, folder: Path, concurrency: int, plan: Plan) -> load.Values:
    """The load's figures, with the CPU a right answer and the most memory seen meanwhile."""
    load.http(url, folder, concurrency, plan.warm_up)  # the memory for so many is taken only once
    processes.settle()
    most, over, cpu = [0], threading.Event(), processes.cpu_seconds()

    def watch() -> None:
        while not over.wait(0.25):
            most[0] = max(most[0], processes.resident_bytes())

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        values = load.http(url, folder, concurrency, _seconds(concurrency, plan))
    finally:
        over.set()
        watcher.join()
    cost = (processes.cpu_seconds() - cpu) * 1e3 / max(1.0, values["ok"])
    processes.settle()  # what was under way at the end is not the next one's to bear
    return values | {"cpu_ms": cost, "load_mb": most[0] / 1e6}


def in_turns(plan: Plan, results: Results, number: int) -> None:
    """The bare loop, KServe's pair and Tandem at rising concurrency: all run, and have the machine in short turns."""
    short = replace(plan, warm_up=1)
    once: dict[tuple[str, str], Callable[[], load.Values]] = {}
    with ExitStack() as stack:
        for name in filter(plan.wants, CLOSEST):
            system = IMAGE_SYSTEMS[name]()
            folder = bodies.photos()[system.shape]
            first = (folder / "000.json").read_bytes()
            ready = partial(_answers, system.url, first)
            processes = stack.enter_context(running(system.commands, ready))
            check(system, folder)
            for concurrency in CLOSEST[name]:
                case = f"turns c={concurrency}", name
                once[case] = partial(watched, processes, system.url, folder, concurrency, short)
        if plan.wants("bare"):
            seed = bodies.photos()["seed"]
            alone = partial(load.bare, MODELS["pixels"], seed, short.seconds, loops=2, engine_threads=1)
            once[f"turns c={COST}", "bare"] = alone
        for (case, name), values in plan.in_turns(once).items():
            results.add(case, name, number, {key: values[key] for key in ("rps", "cpu_ms", "others")})


def check(system: System, folder: Path) -> None:
    """Raise Failed unless a sample of answers names the right class first."""
    files = sorted(folder.glob("*.json"))
    for index in _SAMPLES:
        status, answer, _ = load.post(system.url, files[index].read_bytes())
        outputs = {output["name"]: output["data"] for output in json.loads(answer)["outputs"]} if status == 200 else {}
        if "classes" not in outputs or _first(outputs["classes"]) != bodies.EXPECTED_CLASS:
            raise Failed(f"{system.name} answers picture {index} wrongly: {status} {answer[:300]!r}")


def _answers(url: str, body: bytes) -> bool:
    return load.post(url, body)[0] == 200


def _concurrencies(system: System, plan: Plan) -> tuple[int, ...]:
    if "a" not in plan.only:
        return (COST,)
    return plan.concurrencies if system.name == "tandem" else plan.peer_concurrencies


def _seconds(concurrency: int, plan: Plan) -> float:
    """Twice as long where very many are under way at the end, whose work is done and not counted."""
    return plan.seconds * 2 if concurrency > 64 else plan.seconds


def _first(data: list[int] | list[list[int]]) -> int:
    head = data[0]
    return head[0] if isinstance(head, list) else head
