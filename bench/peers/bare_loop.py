"""The ceiling: JSON -> base64 -> decode -> resize -> engine -> best five, in threads of one process, no serving at all.

python -m bench.peers.bare_loop MODEL.onnx --bodies=FOLDER --seconds=5 --loops=2 --engine_threads=1
"""

from __future__ import annotations

import argparse
import base64
import itertools
import json
import threading
import time
from pathlib import Path

import cv2
import numpy as np
import onnxruntime
from numpy.typing import NDArray

from bench.clients.bodies import EXPECTED_CLASS

WARM_UP = 8  # images that do not count, a loop


class Loop:
    """One image after another, over one session that all loops share."""

    def __init__(self, model: str, engine_threads: int, bodies: list[bytes]) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = engine_threads
        self._session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        self._input = self._session.get_inputs()[0].name
        self._bodies = bodies

    def classify(self, body: bytes) -> int:
        """The best of the five classes."""
        image = crop(base64.b64decode(json.loads(body)["inputs"][0]["data"][0]))
        scores = self._session.run(None, {self._input: image[None]})[0][0]
        best = np.argpartition(scores, -5)[-5:]
        return int(best[np.argsort(-scores[best])][0])

    def run(self, first: int, count: int | None, end: float) -> list[float]:
        """Seconds of each image, until there are `count` or the time is `end`."""
        times: list[float] = []
        for index in itertools.count(first):
            begin = time.perf_counter()
            if (count is not None and index - first >= count) or begin >= end:
                return times
            if self.classify(self._bodies[index % len(self._bodies)]) != EXPECTED_CLASS:
                raise ValueError("the bare loop sees something else in the picture")
            times.append(time.perf_counter() - begin)
        return times


def crop(jpeg: bytes) -> NDArray[np.uint8]:
    """RGB [224,224,3]: the shorter side to 256, the middle."""
    image = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    if image is None:
        raise ValueError("not a picture")
    scale = 256 / min(image.shape[:2])
    size = round(image.shape[1] * scale), round(image.shape[0] * scale)
    image = cv2.resize(image, size, interpolation=cv2.INTER_LINEAR)
    top, left = (image.shape[0] - 224) // 2, (image.shape[1] - 224) // 2
    return cv2.cvtColor(image[top : top + 224, left : left + 224], cv2.COLOR_BGR2RGB).astype(np.uint8, copy=False)


def measure(loop: Loop, loops: int, seconds: float) -> dict[str, float]:
    """Images a second, their latency and what CPU one costs."""
    loop.run(0, WARM_UP, float("inf"))
    times: list[list[float]] = [[] for _ in range(loops)]
    begin, cpu = time.perf_counter(), time.process_time()

    def work(index: int) -> None:
        times[index] = loop.run(index * 7, None, begin + seconds)

    threads = [threading.Thread(target=work, args=(index,)) for index in range(loops)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    took, cpu = time.perf_counter() - begin, time.process_time() - cpu
    every = np.concatenate(times)
    p50, p90, p99 = np.percentile(every, (50, 90, 99)) * 1e3
    counts = {"rps": len(every) / took, "ok": len(every), "cpu_ms": cpu / len(every) * 1e3}
    return counts | {"p50_ms": p50, "p90_ms": p90, "p99_ms": p99}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("--bodies", type=Path, required=True)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--loops", type=int, default=2)
    parser.add_argument("--engine_threads", type=int, default=1)
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    bodies = [file.read_bytes() for file in sorted(arguments.bodies.glob("*"))]
    loop = Loop(arguments.model, arguments.engine_threads, bodies)
    print(json.dumps(measure(loop, arguments.loops, arguments.seconds)))


if __name__ == "__main__":
    main()
