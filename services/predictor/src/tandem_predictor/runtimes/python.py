"""A Python model: the class `Model` of a model.py, with `load` and a batch-level `predict`."""

from __future__ import annotations

import importlib.util
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
        self.max_batch_size: int | None = int(getattr(self._model, "max_batch_size", 0))

    def run(self, inputs: Arrays) -> Arrays:
        """Call `predict` and hold what it returns against the declared outputs; raises Internal where they differ."""
        results = as_arrays(self._model.predict(inputs), "Model.predict")
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
    name = f"tandem_model_{file.parent.name}"
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise LoadError(f"{file} is no Python module")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
        model = module.Model()
        if hasattr(model, "load"):
            model.load(file.parent)
    except AttributeError as error:
        if hasattr(module, "Model"):
            raise LoadError(f"{file}: loading failed: {error!r}") from error
        raise LoadError(f"{file} defines no class Model") from error
    except Exception as error:  # user code may raise anything
        raise LoadError(f"{file}: loading failed: {error!r}") from error
    if not callable(getattr(model, "predict", None)):
        raise LoadError(f"{file}: Model has no method predict(inputs) -> outputs")
    return model


def _specs(file: Path, model: Any, kind: str) -> Sequence[TensorSpec]:
    specs = tuple(getattr(model, kind, ()))
    if not specs or not all(isinstance(spec, TensorSpec) for spec in specs):
        raise LoadError(f"{file}: Model.{kind} must be a sequence of tandem.TensorSpec, one a tensor")
    for spec in specs:
        if spec.datatype not in DTYPES:
            raise LoadError(
                f"{file}: '{spec.name}' has the datatype {spec.datatype}, expected one of {', '.join(DTYPES)}"
            )
    return specs
