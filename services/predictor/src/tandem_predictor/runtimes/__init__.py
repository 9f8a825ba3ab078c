"""The engines, one module each, and the choice between them by file name.

model file -> device -> engine, shared by the instances -> one runtime an instance
"""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass, replace
from pathlib import Path

# Read when the library is loaded: without it ONNX Runtime collects what models run here, in the user's home, to send.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

from tandem.model.config import Declared

from tandem_predictor import devices
from tandem_predictor.devices import CPU, Device, cuda
from tandem_predictor.devices.lane import HostLane, Lane
from tandem_predictor.devices.scale import Scale
from tandem_predictor.devices.torch_lane import TorchLane
from tandem_predictor.runtime import Runtime
from tandem_predictor.runtimes import onnx, pytorch
from tandem_predictor.runtimes.bound import BoundSession
from tandem_predictor.runtimes.habit import Habit
from tandem_predictor.runtimes.on_device import Engine, Observe, OnDevice
from tandem_predictor.runtimes.onnx import Cuda, NoCuda, OnnxRuntime, open_session
from tandem_predictor.runtimes.python import PythonRuntime, Wait
from tandem_predictor.runtimes.sessions import LARGEST, Sessions

# in order of preference: a model.py may use the model.onnx beside it
FILES = ("model.py", "model.onnx", "model.pt2", "model.pt")
CODE = (".py", *pytorch.SUFFIXES)  # what may run its author's code: torch.export unpickles some constants of a program
BACKENDS = {".py": "python", ".onnx": "onnxruntime"} | dict.fromkeys(pytorch.SUFFIXES, "pytorch")  # Triton's names


@dataclass(frozen=True, slots=True)
class Plan:
    """How a model is to run."""

    instances: int
    threads: int  # of the engine, an instance
    device: Device = CPU
    wanted: str = devices.AUTO  # what the device was chosen for
    lonely_threads: int = 0  # of a run that is alone on the CPU, if that is more than `threads`
    gpu_mem_limit: int = 0  # bytes; 0: any
    allow_tf32: bool = False
    scale: Scale | None = None
    top_k: int = 0
    observe: Observe | None = None
    wait: Wait = asyncio.run  # for async methods of a Python model

    @property
    def has_steps(self) -> bool:
        """Whether anything surrounds the engine."""
        return bool(self.scale or self.top_k)

    def around(self, engine: Engine, lane: Lane) -> OnDevice:
        """An instance of `engine`."""
        return OnDevice(engine, lane, scale=self.scale, top_k=self.top_k, observe=self.observe)


def device_for(file: Path, wanted: str) -> Device:
    """What the model in `file` runs on, of which a Python model knows itself; raises LoadError."""
    if file.suffix == ".onnx":
        return devices.choose(wanted, onnx.probe)
    return devices.choose(wanted, pytorch.probe) if file.suffix in pytorch.SUFFIXES else CPU


def open_runtimes(file: Path, plan: Plan, declared: Declared | None = None) -> list[Runtime]:
    """One runtime an instance for the model in `file`, which its config.pbtxt may have `declared`. Raises LoadError.

    Instances share their engine, whose `run` may be called at the same time; Python models share nothing.
    """
    if file.suffix in pytorch.SUFFIXES:
        engine = pytorch.open_engine(file, plan.device, declared)
        pytorch.set_up(plan.device, gpu_mem_limit=plan.gpu_mem_limit, allow_tf32=plan.allow_tf32)
        return [plan.around(engine, TorchLane(plan.device, plan.threads)) for _ in range(plan.instances)]
    if file.suffix == ".onnx":
        return _open_onnx(file, plan)
    return [PythonRuntime(file, wait=plan.wait) for _ in range(plan.instances)]


def _open_onnx(file: Path, plan: Plan) -> list[Runtime]:
    if plan.device != CPU:
        try:
            return _open_on_gpu(file, plan)
        except NoCuda as error:
            devices.fall_back(plan.wanted, error)
    narrow = open_session(file, threads=plan.threads)
    wide = None
    if plan.lonely_threads > plan.threads and file.stat().st_size <= LARGEST:
        wide = open_session(file, threads=plan.lonely_threads, spinning=True)
    sessions = Sessions(narrow, wide)
    if plan.has_steps:
        return [replace(plan, observe=None).around(OnnxRuntime(sessions), HostLane()) for _ in range(plan.instances)]
    habit = Habit() if plan.threads == 1 else None
    return [OnnxRuntime(sessions, habit=habit) for _ in range(plan.instances)]


def _open_on_gpu(file: Path, plan: Plan) -> list[Runtime]:
    gpu = Cuda(plan.device.index, plan.gpu_mem_limit, plan.allow_tf32)
    session = open_session(file, threads=plan.threads, gpu=gpu)
    inputs, outputs = onnx.specs(session)
    if any(spec.datatype == "BYTES" for spec in (*inputs, *outputs)):  # a GPU has no texts: the engine copies the rest
        return [OnnxRuntime(Sessions(session), plan.device) for _ in range(plan.instances)]
    if plan.gpu_mem_limit:
        cuda.limit_memory(plan.device, plan.gpu_mem_limit)
    lanes = [cuda.CudaLane(plan.device) for _ in range(plan.instances)]
    return [plan.around(BoundSession(session, lane, onnx.PLATFORM, inputs, outputs), lane) for lane in lanes]
