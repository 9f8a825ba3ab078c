"""The load: wrk for HTTP, a grpc.aio client for gRPC, arrivals at a rate; each a process of its own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

from bench.compare.places import CLIENTS, PYTHON, ROOT
from bench.compare.processes import undisturbed

Values = dict[str, float]


def require_wrk() -> None:
    """End with one line if wrk is not there."""
    if shutil.which("wrk") is None:
        print("bench: wrk is missing, which makes the load over HTTP; install it: apt install wrk", file=sys.stderr)
        sys.exit(2)


def http(url: str, bodies: Path, concurrency: int, seconds: float, json_length: int | None = None) -> Values:
    """A closed loop of `concurrency` connections over the files in `bodies`: rps, percentiles and counts."""
    flags = ["-t1", f"-c{concurrency}", f"-d{max(1, round(seconds))}s", "--timeout=60s"]
    environment = {**os.environ, "BENCH_BODIES": str(bodies)}
    if json_length is not None:
        environment["BENCH_JSON_LENGTH"] = str(json_length)
    return _last_line(["wrk", *flags, "-s", str(CLIENTS / "post.lua"), url], environment, seconds)


def grpc(target: str, payload: str, concurrency: int, seconds: float, *, proxy: bool = False) -> Values:
    """The same over gRPC, with raw tensors of a size named in bodies.SHAPES."""
    options = [f"--payload={payload}", f"--concurrency={concurrency}", f"--seconds={seconds}"]
    options += ["--proxy"] if proxy else []
    return _last_line([str(PYTHON), "-m", "bench.clients.grpc_load", target, *options], None, seconds)


def arrivals(url: str, bodies: Path, rate: float, seconds: float, afterwards: float = 0) -> Values:
    """Poisson arrivals at `rate` a second, whatever the answers; 0: a closed loop of 32 instead, and `afterwards`."""
    options = [f"--bodies={bodies}", f"--rate={rate}", f"--seconds={seconds}", f"--afterwards={afterwards}"]
    return _last_line([str(PYTHON), "-m", "bench.clients.open_loop", url, *options], None, seconds)


def bare(model: Path, bodies: Path, seconds: float, *, loops: int, engine_threads: int) -> Values:
    """No serving at all: `loops` threads, each one image after another."""
    options = [f"--bodies={bodies}", f"--seconds={seconds}", f"--loops={loops}", f"--engine_threads={engine_threads}"]
    return _last_line([str(PYTHON), "-m", "bench.peers.bare_loop", str(model), *options], None, seconds)


def post(url: str, body: bytes, json_length: int | None = None) -> tuple[int, bytes, dict[str, str]]:
    """One request: status, answer and headers; status 0 while nobody listens."""
    headers = {"Content-Type": "application/json"}
    if json_length is not None:
        length = {"Inference-Header-Content-Length": str(json_length)}
        headers = {"Content-Type": "application/octet-stream", **length}
    request = urllib.request.Request(url, body, headers)  # noqa: S310 - the URL is ours
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310 - the same
            return answer.status, answer.read(), dict(answer.headers.items())
    except urllib.error.HTTPError as error:
        return error.code, error.read(), {}
    except OSError:
        return 0, b"", {}


def _last_line(command: list[str], environment: dict[str, str] | None, seconds: float) -> Values:
    """What a load process says in the end; a request in flight may take it a while past its time."""
    values: Values = {}
    with undisturbed(values):
        done = subprocess.run(
            command, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=seconds + 150, check=False
        )
    lines = done.stdout.strip().splitlines()
    if done.returncode or not lines:
        raise RuntimeError(f"{command[0]} failed: {done.stderr[-2000:]} {done.stdout[-500:]}")
    values |= {name: float(value) for name, value in json.loads(lines[-1]).items()}
    return values if values.get("ok") else {name: v for name, v in values.items() if not name.endswith("_ms")}
