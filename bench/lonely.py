"""One run at a time of the default model: every CPU, spinning or not, beside one thread. Ratios of one run of this.

.venv/bin/python bench/lonely.py
"""

from __future__ import annotations

import os
import statistics
import time
from pathlib import Path

import numpy as np
from tandem_predictor.runtimes.onnx import open_session

MODEL = Path(__file__).parent.parent / ".cache" / "models" / "efficientnet-lite0" / "1" / "model.onnx"
ROUNDS, RUNS, PAUSE = 5, 40, 0.004  # the pause is the time in which a request is decoded


def timed(session, image: np.ndarray) -> tuple[float, float]:
    """The median time of a run, and the CPU time of one, in milliseconds."""
    times, cpu = [], time.process_time()
    for _ in range(RUNS):
        start = time.perf_counter()
        session.run(None, {"image": image})
        times.append(time.perf_counter() - start)
        time.sleep(PAUSE)
    return statistics.median(times) * 1e3, (time.process_time() - cpu) / RUNS * 1e3


def main() -> None:
    cpus = len(os.sched_getaffinity(0))
    image = np.random.default_rng(0).integers(0, 256, (1, 224, 224, 3), np.uint8)
    sessions = {
        "one thread": open_session(MODEL, threads=1),
        f"{cpus} threads": open_session(MODEL, threads=cpus),
        f"{cpus} threads, spinning": open_session(MODEL, threads=cpus, spinning=True),
    }
    rounds = [{name: timed(session, image) for name, session in sessions.items()} for _ in range(ROUNDS)]
    base = "one thread"
    for name in sessions:
        took, cpu = (statistics.median(r[name][i] / r[base][i] for r in rounds) for i in (0, 1))
        print(f"{name}: {took:.2f} of the time, {cpu:.2f} of the CPU time of {base}")


if __name__ == "__main__":
    main()
