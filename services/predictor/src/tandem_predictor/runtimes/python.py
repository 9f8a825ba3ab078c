"""A Python model: the class `Model` of a model.py, with `load` and a batch-level `predict`."""

from __future__ import annotations

import hashlib
import importlib.util
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tandem.errors import Internal
from tandem.inference import Arrays
from tandem.metadata import TensorSpec, as_arrays
from tandem.tensors import DTYPES, datatype_of

from tandem_predictor.runtime import LoadError

PLATFORM = "python"


class PythonRuntime:
    """One object of the user's class. It is loaded in the constructor and belongs to one instance."""

    platform = PLATFORM

    def __init__(self, file: Path) -> None:
        self._model = _instantiate(file)
        self.inputs = _specs(file, self._model, "inputs")
        self.outputs = _specs(file, self._model, "outputs")
        self.max_batch_size: int | None = _batch_size(file, self._model)

    def run(self, inputs: Arrays) -> Arrays:
        """Call `predict` and hold what it returns against the declared outputs; raises Internal where they differ."""
        results = as_arrays(self._model.predict(dict(inputs)), "Model.predict")
        for spec in self.outputs:
            if (array := results.get(spec.name)) is None:
                raise Internal(f"Model.predict returned no '{spec.name}', which the model declares")
            if datatype_of(array.dtype) != spec.datatype or not spec.admits(array.shape):
                got = f"{datatype_of(array.dtype)} {list(array.shape)}"
                raise Internal(f"Model.predict returned '{spec.name}' as {got}, declared {spec.datatype} {spec.shape}")
        return {spec.name: results[spec.name] for spec in self.outputs}

    def warm_up(self, rows: int) -> None:
        """Nothing: `load` is the place for it, and `predict` may have effects."""


def _instantiate(file: Path) -> Any:
    """The user's object, loaded; raises LoadError saying what is wrong with the file."""
    name = f"tandem_model_{hashlib.sha256(str(file).encode()).hexdigest()[:12]}"
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise LoadError(f"{file} is no Python module")
    module = sys.modules[name] = importlib.util.module_from_spec(spec)  # dataclasses look their module up there
    try:
        spec.loader.exec_module(module)
        if not isinstance(getattr(module, "Model", None), type):
            raise LoadError(f"{file} defines no class Model")
        model = module.Model()
        if hasattr(model, "load"):
            model.load(file.parent)
    except LoadError:
        raise
    except Exception as error:  # user code may raise anything
        raise LoadError(f"{file}: loading failed: {error!r}") from error
    if not callable(getattr(model, "predict", None)):
        raise LoadError(f"{file}: Model has no method predict(inputs) -> outputs")
    return model


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
