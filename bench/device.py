"""Images a second through the whole predictor, by batch size, beside the bare engine on the same device.

    .venv/bin/python -m bench.device [--device=cuda] [--model=FILE] [--batches=1,2,4,8,16,32,64] [--rounds=3]

Both run the same batches of the default model, interleaved: the engine in a loop of this process, batch after batch,
and the predictor as a process of its own, over gRPC with the images in Triton's system shared memory, four requests of
a batch's rows at a time. Every answer's best class is compared with that of the CPU, the scores of a sample within
1e-4. `overlap` is the sum of the phases' times (copy in, compute, copy out) of both instances in a second: above 1,
one copied while the other computed.
"""

from __future__ import annotations

import argparse
import asyncio
import mmap
import os
import statistics
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import onnxruntime as ort
from google.protobuf import message
from prometheus_client.parser import text_string_to_metric_families
from tandem.oip import inference_pb2, inference_pb2_grpc, shared_memory_pb2
from tandem_predictor.devices import CPU, Device
from tandem_predictor.runtimes import device_for, pytorch
from tandem_predictor.runtimes.onnx import Cuda, open_session

from bench.compare.places import MODELS, PYTHON
from bench.compare.processes import Command, free_ports, running, wait_for_quiet

IMAGES = 256  # distinct ones, one after another in the region
SIDE = 224
BYTES = SIDE * SIDE * 3
UNDER_WAY = 4  # requests: two that run, and two that wait for them
TOLERANCE = 1e-4
TOP_K = 5


@dataclass
class Row:
    """Of one batch size: images a second, one value a round."""

    batch: int
    engine: list[float] = field(default_factory=list)
    predictor: list[float] = field(default_factory=list)
    overlap: list[float] = field(default_factory=list)
    phases: dict[str, float] = field(default_factory=dict)  # milliseconds a batch, of the last round

    def line(self) -> str:
        """As a line of the table."""
        engine, predictor = statistics.median(self.engine), statistics.median(self.predictor)
        overlap = f"{statistics.median(self.overlap):.2f}" if self.phases else "-"
        phases = " ".join(f"{self.phases[phase]:.2f}" for phase in ("copy_in", "compute", "copy_out") if self.phases)
        shown = (self.batch, f"{engine:,.0f}", f"{predictor:,.0f}", f"{predictor / engine:.2f}", phases or "-", overlap)
        return "| " + " | ".join(map(str, shown)) + " |"


class Region:
    """The images in /dev/shm, which the predictor maps too."""

    def __init__(self) -> None:
        self.key = f"tandem_bench_{os.getpid()}"
        self.pixels = np.random.default_rng(7).integers(0, 256, (IMAGES, SIDE, SIDE, 3), np.uint8)
        self._file = Path("/dev/shm") / self.key  # noqa: S108 - where shared memory lies
        with self._file.open("xb+") as file:
            file.truncate(IMAGES * BYTES)
            self._map = mmap.mmap(file.fileno(), IMAGES * BYTES)
        self._map[:] = self.pixels.tobytes()

    def close(self) -> None:
        """Leave nothing behind."""
        self._map.close()
        self._file.unlink()


def bare(file: Path, device: Device) -> Callable[[np.ndarray], np.ndarray]:
    """The engine alone: a batch of the host's -> its probabilities in memory of the host's."""
    if file.suffix == ".onnx":
        return _bare_onnx(file, device)
    torch, engine = pytorch.library(), pytorch.open_engine(file, device, None)
    name, where = engine.inputs[0].name, torch.device(str(device))

    def run(batch: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            outputs = engine.run({name: torch.from_numpy(batch).to(where)})
            return next(iter(outputs.values())).cpu().numpy()

    return run


def _bare_onnx(file: Path, device: Device) -> Callable[[np.ndarray], np.ndarray]:
    threads = len(os.sched_getaffinity(0))
    session = open_session(file, threads=threads, gpu=None if device == CPU else Cuda(device.index))
    name, output = session.get_inputs()[0].name, session.get_outputs()[0].name
    if device == CPU:
        return lambda batch: session.run([output], {name: batch})[0]
    held: dict[int, Any] = {}  # by batch size: memory of the device

    def run(batch: np.ndarray) -> np.ndarray:
        if len(batch) not in held:
            held[len(batch)] = ort.OrtValue.ortvalue_from_numpy(batch, device.kind, device.index)
        held[len(batch)].update_inplace(batch)
        binding = session.io_binding()
        binding.bind_ortvalue_input(name, held[len(batch)])
        binding.bind_output(output)
        session.run_with_iobinding(binding)
        return binding.copy_outputs_to_cpu()[0]

    return run


def run_engine(engine: Callable[[np.ndarray], np.ndarray], region: Region, batch: int, seconds: float) -> float:
    """Images a second, batch after batch."""
    starts = offsets(batch)
    for _ in range(3):
        engine(region.pixels[:batch])
    begin, done = time.perf_counter(), 0
    while (now := time.perf_counter()) - begin < seconds:
        start = next(starts)
        engine(region.pixels[start : start + batch])
        done += batch
    return done / (now - begin)


def offsets(batch: int) -> Iterator[int]:
    """Where batches begin, one after another, round and round."""
    while True:
        yield from range(0, IMAGES - batch + 1, batch)


class Client:
    """Asks the predictor for batches of the region's images."""

    def __init__(self, port: int, region: Region, expected: np.ndarray) -> None:
        self._channel = grpc.aio.insecure_channel(f"127.0.0.1:{port}")
        self._stub = inference_pb2_grpc.GRPCInferenceServiceStub(self._channel)
        self._region, self._expected = region, expected
        self.done = 0

    async def register(self) -> None:
        """Let the predictor map the region."""
        asked = shared_memory_pb2.SystemSharedMemoryRegisterRequest(
            name="images", key=self._region.key, byte_size=IMAGES * BYTES
        )
        await self._stub.SystemSharedMemoryRegister(asked)

    async def keep_asking(self, batch: int, starts: Iterator[int], end: float) -> None:
        """One request after another until `end`; raises ValueError at a wrong answer."""
        while time.perf_counter() < end:
            start = next(starts)
            self._check(await self._stub.ModelInfer(_request(batch, start), timeout=60), batch, start)
            self.done += batch

    def _check(self, answer: Any, batch: int, start: int) -> None:
        raw = {
            tensor.name: bytes(data) for tensor, data in zip(answer.outputs, answer.raw_output_contents, strict=True)
        }
        classes = np.frombuffer(raw.pop("classes"), np.int64).reshape(batch, TOP_K)
        scores = np.frombuffer(next(iter(raw.values())), np.float32).reshape(batch, TOP_K)
        wanted = self._expected[start : start + batch]
        rows = np.arange(batch)
        # of two that are as good as equal either may be the best
        wrong = np.abs(wanted[rows, classes[:, 0]] - wanted.max(axis=1)) > TOLERANCE
        if wrong.any() or np.abs(scores - np.take_along_axis(wanted, classes, axis=1)).max() > TOLERANCE:
            raise ValueError(f"a wrong answer for the batch of {batch} at {start}")

    async def measure(self, batch: int, seconds: float) -> float:
        """Images a second."""
        self.done, begin, starts = 0, time.perf_counter(), offsets(batch)
        await asyncio.gather(*[self.keep_asking(batch, starts, begin + seconds) for _ in range(UNDER_WAY)])
        return self.done / (time.perf_counter() - begin)

    async def close(self) -> None:
        await self._channel.close()


def _request(batch: int, start: int) -> message.Message:
    made = inference_pb2.ModelInferRequest(model_name="model")
    tensor = made.inputs.add(name="image", datatype="UINT8", shape=(batch, SIDE, SIDE, 3))
    tensor.parameters["shared_memory_region"].string_param = "images"
    tensor.parameters["shared_memory_byte_size"].int64_param = batch * BYTES
    tensor.parameters["shared_memory_offset"].int64_param = start * BYTES
    return made


@contextmanager
def predictor(options: argparse.Namespace, device: Device, batch: int) -> Iterator[tuple[int, int]]:
    """Its gRPC and HTTP port, once it is ready."""
    grpc_port, http_port = free_ports(2)
    flags = (
        *(f"--model_dir={options.model.parent}", f"--device={device}", f"--max_batch_size={batch}", f"--top_k={TOP_K}"),
        *(f"--grpc_port={grpc_port}", f"--http_port={http_port}", "--host=127.0.0.1", "--enable_system_shared_memory"),
        "--allow_python_models",
    )
    command = Command("predictor-device", (PYTHON, "-m", "tandem_predictor", *flags))
    with running((command,), lambda: _answers(f"http://127.0.0.1:{http_port}/v2/health/ready")):
        yield grpc_port, http_port


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=1) as answer:  # noqa: S310 - on the loopback
            return answer.status == 200
    except OSError:
        return False


def phases(http_port: int) -> dict[str, tuple[float, float]]:
    """Seconds and batches so far, by phase; nothing of a model that runs on the CPU."""
    with urllib.request.urlopen(f"http://127.0.0.1:{http_port}/metrics", timeout=10) as answer:
        families = text_string_to_metric_families(answer.read().decode())
    found: dict[str, dict[str, float]] = {}
    for sample in (sample for family in families for sample in family.samples):
        if sample.name in ("tandem_device_seconds_sum", "tandem_device_seconds_count"):
            found.setdefault(sample.labels["phase"], {})[sample.name.rpartition("_")[2]] = sample.value
    return {phase: (values["sum"], values["count"]) for phase, values in found.items()}


async def ask(ports: tuple[int, int], region: Region, expected: np.ndarray, row: Row, seconds: float) -> None:
    """One measurement through the predictor."""
    client = Client(ports[0], region, expected)
    await client.register()
    await client.measure(row.batch, min(1.0, seconds))
    before, begin = phases(ports[1]), time.perf_counter()
    row.predictor.append(await client.measure(row.batch, seconds))
    took, after = time.perf_counter() - begin, phases(ports[1])
    await client.close()
    if spent := {name: (after[name][0] - before[name][0], after[name][1] - before[name][1]) for name in after}:
        row.overlap.append(sum(sum_ for sum_, _ in spent.values()) / took)
        row.phases = {name: 1e3 * sum_ / max(1, count) for name, (sum_, count) in spent.items()}


def main() -> int:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(prog="python -m bench.device", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--device", default="cuda", help="cuda, cuda:N or cpu (cuda)")
    parser.add_argument("--model", type=Path, default=MODELS["pixels"], help="the default model's .onnx or .pt2")
    parser.add_argument("--batches", default="1,2,4,8,16,32,64", help="rows, with commas between (1 to 64)")
    parser.add_argument("--seconds", type=float, default=4, help="of each measurement (4)")
    parser.add_argument("--rounds", type=int, default=3, help="interleaved; the table has their medians (3)")
    options = parser.parse_args()
    device = device_for(options.model, options.device)
    rows = [Row(int(batch)) for batch in options.batches.split(",")]
    region = Region()
    try:
        reference = bare(MODELS["pixels"], CPU)
        expected = np.concatenate([reference(region.pixels[i : i + 4]) for i in range(0, IMAGES, 4)])
        engine = bare(options.model, device)
        wait_for_quiet(10)
        for number in range(options.rounds):
            for row in rows:
                row.engine.append(run_engine(engine, region, row.batch, options.seconds))
                with predictor(options, device, row.batch) as ports:
                    asyncio.run(ask(ports, region, expected, row, options.seconds))
                print(
                    f"round {number + 1}, batch {row.batch}: {row.engine[-1]:,.0f} {row.predictor[-1]:,.0f}",
                    file=sys.stderr,
                )
    finally:
        region.close()
    print(f"{options.model.name} on {device}, images a second:\n")
    print("| batch | bare engine | predictor | ratio | ms: copy in, compute, copy out | overlap |")
    print("|---|---|---|---|---|---|")
    print("\n".join(row.line() for row in rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
