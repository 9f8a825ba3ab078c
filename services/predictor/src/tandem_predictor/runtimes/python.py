"""A Python model: the class `Model` of a model.py, or one that is named, with `load` and a batch-level `predict`."""

from __future__ import annotations

import asyncio
import hashlib
import importlib.util
import inspect
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from tandem.authoring import methods, modules
from tandem.authoring.results import hold
from tandem.inference import Arrays
from tandem.metadata import TensorSpec, as_arrays
from tandem.tensors import DTYPES

from tandem_predictor.devices import CPU
from tandem_predictor.runtime import Allocate, LoadError

PLATFORM = "python"
METHODS = {"load": ("path",), "predict": ("inputs",)}
Wait: TypeAlias = Callable[[Coroutine[Any, Any, Any]], Any]  # in a thread, for what runs on the event loop


class PythonRuntime:
    """One object of the user's class. It is loaded in the constructor, in a thread, and belongs to one instance.

    A `def` runs in the instance's thread, an `async def` on the event loop, which is spared two wakes of a thread.
    """

    platform = PLATFORM
    device = CPU
    habit = None
    allocate: Allocate | None = None

    def __init__(self, file: Path, name: str = "Model", wait: Wait = asyncio.run) -> None:
        self._wait = wait
        self._model = _instantiate(file, name, wait)
        self.on_loop = inspect.iscoroutinefunction(self._model.predict)
        self.inputs = _specs(file, self._model, "inputs")
        self.outputs = _specs(file, self._model, "outputs")
        self.max_batch_size: int | None = _batch_size(file, self._model)

    def run(self, inputs: Arrays) -> Arrays | Awaitable[Arrays]:
        """Call `predict` and hold what it returns against the declared outputs; raises Internal where they differ."""
        result = self._model.predict(dict(inputs))
        if self.on_loop:
            return self._later(result)
        return self._held(self._wait(result) if inspect.iscoroutine(result) else result)

    async def _later(self, result: Awaitable[object]) -> Arrays:
        return self._held(await result)

    def _held(self, result: object) -> Arrays:
        results = as_arrays(result, "Model.predict")
        hold(results, self.outputs, "Model.predict", "the model declares", extras=True)
        return {spec.name: results[spec.name] for spec in self.outputs}

    def warm_up(self, rows: int) -> None:
        """Nothing: `load` is the place for it, and `predict` may have effects."""


def named(reference: str) -> tuple[Path, str]:
    """The file and the class of --model_class=module:Class or /path/file.py:Class; raises LoadError."""
    where, _, name = reference.rpartition(":")
    if not where or not name:
        raise LoadError(f"--model_class={reference}: expected [kserve:]module:Class or [kserve:]/path/file.py:Class")
    if where.endswith(".py"):
        return Path(where), name
    try:
        spec = importlib.util.find_spec(where)
    except ImportError as error:
        raise LoadError(f"--model_class={reference}: cannot import {where}: {error}") from error
    if spec is None or not spec.origin:
        raise LoadError(f"--model_class={reference}: there is no module {where}")
    return Path(spec.origin), name


def _instantiate(file: Path, wanted: str, wait: Wait) -> Any:
    """The user's object, loaded; raises LoadError saying what is wrong with the file."""
    name = f"tandem_model_{hashlib.sha256(str(file).encode()).hexdigest()[:12]}"
    try:
        module = modules.from_file(file, name)
        cls = getattr(module, wanted, None)
        if not isinstance(cls, type):
            near = methods.suggestion(wanted, (name for name, value in vars(module).items() if isinstance(value, type)))
            raise LoadError(f"{file} defines no class {wanted}{near}")
        if wrong := next(methods.problems(cls, METHODS), None):
            raise LoadError(f"{file}: {wrong}")
        model = cls()
        if not callable(getattr(model, "predict", None)):
            raise LoadError(f"{file}: Model has no method predict(self, inputs){_near_miss(cls)}")
        loading = model.load(file.parent) if hasattr(model, "load") else None
        if inspect.iscoroutine(loading):
            wait(loading)
        return model
    except LoadError:
        raise
    except Exception as error:  # user code may raise anything
        modules.report(f"loading {file} failed", error)
        raise LoadError(f"{file}: loading failed: {modules.told(error)}") from error


def _near_miss(cls: type) -> str:
    return methods.suggestion("predict", (name for name, value in vars(cls).items() if callable(value)))


def _specs(file: Path, model: Any, kind: str) -> Sequence[TensorSpec]:
    declared = getattr(model, kind, None)
    specs = tuple(declared) if isinstance(declared, (list, tuple)) else ()
    if not specs or not all(isinstance(spec, TensorSpec) for spec in specs):
        raise LoadError(f"{file}: Model.{kind} must be a sequence of tandem.TensorSpec, one a tensor")
    for spec in specs:
        if spec.datatype not in DTYPES:
            known = ", ".join(DTYPES)
            raise LoadError(f"{file}: '{spec.name}' has the datatype {spec.datatype}, expected one of {known}")
    return specs


def _batch_size(file: Path, model: Any) -> int:
    size = getattr(model, "max_batch_size", 0)
    if not isinstance(size, int) or size < 0:
        raise LoadError(f"{file}: Model.max_batch_size is {size!r}, expected a number of rows; 0: never batched")
    return size
