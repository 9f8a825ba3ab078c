"""The predictor's flags. KServe's own names where KServe has one."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tandem.doors.settings import PORT, SECONDS, DoorSettings
from tandem.settings import boolean, choice, flag, integer, text

from tandem_predictor import devices
from tandem_predictor.devices import scale

BATCH = {"cpu": 4, "cuda": 32}  # rows, by the kind of device


def assignments(given: str) -> tuple[str, ...]:
    """A parser of `name=value` with commas between."""
    entries = tuple(entry.strip() for entry in given.split(",") if entry.strip())
    if not all("=" in entry for entry in entries):
        raise ValueError("name=value,name=value")
    return entries


@dataclass(frozen=True, slots=True)
class Settings(DoorSettings):
    """What the predictor adds to the flags of its doors."""

    model_name: str = flag("", text, "the model to serve; names the only one in --model_dir", "model")
    model_dir: str = flag(
        "", text, "folder of the model [/mnt/models if not empty, else $TANDEM_DEFAULT_MODEL_DIR]", "model"
    )
    allow_python_models: bool = flag(
        False, boolean, "run a model.py or PyTorch file found there: its author's code", "model"
    )
    model_class: str = flag(
        "", text, "[kserve:]module:Class or [kserve:]/path/file.py:Class, in place of --model_dir", "model"
    )
    model_options: tuple[str, ...] = flag(
        (), assignments, "k=v,k=v for the constructor of a kserve: --model_class", "model"
    )
    model_control: str = flag(
        "none", choice("none", "explicit"), "explicit: models can be loaded from outside", "model"
    )
    device: str = flag("auto", devices.parse, "what models run on: cpu, cuda[:N], or auto: a GPU if it can", "engine")
    gpu_mem_limit: int = flag(0, integer(0, 2**50), "bytes of the GPU that each engine may take; 0: any", "engine")
    allow_tf32: bool = flag(False, boolean, "let GPUs round FP32 products to TF32: faster, less exact", "engine")
    normalize: str = flag(
        "", scale.checked, "MEAN/STD: a model for normalised images takes UINT8, normalised on its device", "engine"
    )
    top_k: int = flag(0, integer(0, 65_536), "answer with a classifier's best K only, chosen on its device", "engine")
    instances: int = flag(0, integer(0, 256), "batches run at the same time; 0: by the CPUs of the cgroup", "engine")
    threads: int = flag(0, integer(0, 1024), "engine threads an instance; 0: CPUs / instances", "engine")
    max_batch_size: int = flag(
        BATCH["cpu"], integer(1, 65_536), "rows in a batch; on CPU more falls out of its cache; on a GPU 32", "batching"
    )
    max_queue_delay_us: int = flag(
        0, integer(0, 60_000_000), "microseconds that a batch with room left waits for company", "batching"
    )
    max_queue_size: int = flag(
        1024, integer(1, 10_000_000), "rows that may wait; more are refused with 429", "batching"
    )
    inference_timeout: float = flag(
        0.0, SECONDS, "seconds that a run of a model may take before its callers are told; 0: any", "engine"
    )
    shared_memory: str = flag(
        "auto", choice("auto", "on", "off"), "off: refuse the transformer's tensors in shared memory", "memory"
    )
    local_socket: str = flag(
        "auto", choice("auto", "off"), "a local socket for the transformer's small calls; off: all by gRPC", "ports"
    )
    enable_system_shared_memory: bool = flag(
        False, boolean, "let callers register regions of /dev/shm, as Triton does; they must be trusted", "memory"
    )
    enable_triton_metrics: bool = flag(
        False, boolean, "show the models' counts under Triton's names (nv_inference_...) too", "metrics"
    )
    grpc_port: int = flag(8082, PORT, "port of gRPC", "ports")
    grpc_socket: str = flag("", text, "Unix socket to serve gRPC on too, for --predictor_host=unix://PATH", "ports")
    max_in_flight: int = flag(4096, integer(1, 1_000_000), "requests worked on; more are refused with 429", "limits")
    request_timeout_seconds: float = flag(600.0, SECONDS, "deadline of a request that brings none; 0: none", "limits")
    drain_idle: float = flag(1.0, SECONDS, "seconds without a call after which a stopping predictor ends", "shutdown")


MOUNTED = Path("/mnt/models")  # where KServe's storage initializer puts the model


def model_folder(settings: Settings, environ: Mapping[str, str] = os.environ, mounted: Path = MOUNTED) -> Path | None:
    """The folder to serve from: the flag, KServe's mount if it holds anything, or the image's default model."""
    if settings.model_dir:
        return Path(settings.model_dir)
    if mounted.is_dir() and any(mounted.iterdir()):
        return mounted
    default = environ.get("TANDEM_DEFAULT_MODEL_DIR")
    return Path(default) if default else None
