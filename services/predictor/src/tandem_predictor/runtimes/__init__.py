"""The engines, one module each, and the choice between them by file name."""

from __future__ import annotations

import os
from pathlib import Path

# Read when the library is loaded: without it ONNX Runtime collects what models run here, in the user's home, to send.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

from tandem_predictor.runtime import Runtime
from tandem_predictor.runtimes.onnx import OnnxRuntime, open_session
from tandem_predictor.runtimes.python import PythonRuntime
from tandem_predictor.runtimes.sessions import LARGEST, Sessions

CPU = "CPUExecutionProvider"
FILES = ("model.py", "model.onnx")  # in order of preference: a model.py may use the model.onnx beside it


def open_runtimes(file: Path, *, instances: int, threads: int, device: str, lonely_threads: int = 0) -> list[Runtime]:
    """One runtime an instance for the model in `file`; raises LoadError.

    ONNX instances share their sessions, whose `run` may be called at the same time; Python models share nothing.
    A run that is alone has `lonely_threads`, if that is more than `threads` and the model is not too large.
    """
    if file.suffix == ".py":
        return [PythonRuntime(file) for _ in range(instances)]
    narrow = open_session(file, threads=threads, device=device)
    wide = None
    if lonely_threads > threads and file.stat().st_size <= LARGEST and narrow.get_providers() == [CPU]:
        wide = open_session(file, threads=lonely_threads, device="cpu", spinning=True)
    sessions = Sessions(narrow, wide)
    return [OnnxRuntime(sessions) for _ in range(instances)]
