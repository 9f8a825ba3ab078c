"""The engines, one module each, and the choice between them by file name."""

from __future__ import annotations

from pathlib import Path

from tandem_predictor.runtime import Runtime
from tandem_predictor.runtimes.onnx import OnnxRuntime, open_session
from tandem_predictor.runtimes.python import PythonRuntime

FILES = ("model.py", "model.onnx")  # in order of preference: a model.py may use the model.onnx beside it


def open_runtimes(file: Path, *, instances: int, threads: int, device: str) -> list[Runtime]:
    """One runtime an instance for the model in `file`; raises LoadError.

    ONNX instances share one session, whose `run` may be called at the same time; Python models share nothing.
    """
    if file.name == "model.py":
        return [PythonRuntime(file) for _ in range(instances)]
    session = open_session(file, threads=threads, device=device)
    return [OnnxRuntime(session) for _ in range(instances)]
