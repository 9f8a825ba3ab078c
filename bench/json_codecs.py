"""How JSON is best read and written: the candidates of docs/decisions/0003, as ratios of one run.

.venv/bin/python bench/json_codecs.py
"""

from __future__ import annotations

import numpy as np
import orjson
import simdjson
from timer import best


def main() -> None:
    image = np.random.default_rng(0).standard_normal((1, 3, 224, 224)).astype(np.float32)
    body = orjson.dumps({"data": image.ravel()}, option=orjson.OPT_SERIALIZE_NUMPY)
    text = orjson.dumps({"data": ["A" * 105_000]})
    rows = {
        "read 150,528 FP32 with simdjson": lambda: np.frombuffer(
            simdjson.Parser().parse(body)["data"].as_buffer(of_type="d")
        ),
        "read 150,528 FP32 with orjson and numpy.array": lambda: np.array(orjson.loads(body)["data"], np.float32),
        "read 105 kB of text with simdjson": lambda: simdjson.Parser().parse(text)["data"].as_list(),
        "read 105 kB of text with orjson": lambda: orjson.loads(text)["data"],
        "write 150,528 FP32 with orjson": lambda: orjson.dumps({"d": image}, option=orjson.OPT_SERIALIZE_NUMPY),
        "write 150,528 FP32 by way of a list": lambda: orjson.dumps({"d": image.ravel().tolist()}),
    }
    times = {name: best(work) for name, work in rows.items()}
    for first, second in zip(list(times)[::2], list(times)[1::2], strict=True):
        ratio = times[second] / times[first]
        print(f"{first}: {times[first]:.3f} ms; {second}: {times[second]:.3f} ms; ratio {ratio:.1f}")


if __name__ == "__main__":
    main()
