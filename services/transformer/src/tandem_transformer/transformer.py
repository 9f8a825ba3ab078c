"""The class that a pipeline author writes, and how --transformer finds it."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Awaitable, Mapping, Sequence
from pathlib import Path
from types import ModuleType

from tandem.context import Context
from tandem.inference import Arrays
from tandem.lifecycle import Fatal
from tandem.metadata import ModelMetadata, TensorSpec

BUILT_IN = {
    "identity": "tandem_transformer.transformers.identity:Identity",
    "image-classification": "tandem_transformer.transformers.images:ImageClassification",
}


class Transformer:
    """Pre- and postprocessing around a model. Override what you need; what you leave costs nothing.

    A `def` runs in the thread pool, an `async def` on the event loop. Arrays are read-only: copy before writing into
    one. BYTES tensors are object arrays of `bytes`. Raise `tandem.InvalidInput` where the caller is wrong (400); any
    other exception is a 500.
    """

    inputs: Sequence[TensorSpec] = ()  # what callers send; () means what the predictor takes
    outputs: Sequence[TensorSpec] = ()  # what callers get; () means what the predictor gives

    def setup(self, model: ModelMetadata, options: Mapping[str, str]) -> None:
        """Prepare for `model`, the predictor's, with the --transformer_options. Called before any request."""

    def preprocess(self, inputs: Arrays, context: Context) -> Arrays | Awaitable[Arrays]:
        """The predictor's inputs from the caller's."""
        return inputs

    def postprocess(self, outputs: Arrays, context: Context) -> Arrays | Awaitable[Arrays]:
        """The caller's outputs from the predictor's."""
        return outputs

    def close(self) -> None:
        """Let go of what `setup` took."""


def find(reference: str) -> type[Transformer]:
    """The class that --transformer names: a built-in, module:Class or /path/file.py:Class. Raises Fatal."""
    where, _, name = BUILT_IN.get(reference, reference).rpartition(":")
    if not where or not name:
        known = ", ".join(BUILT_IN)
        raise Fatal(f"--transformer={reference}: expected {known}, module:Class or /path/file.py:Class")
    module = _module(reference, where)
    found = getattr(module, name, None)
    if not isinstance(found, type):
        raise Fatal(f"--transformer={reference}: {where} defines no class {name}")
    if not issubclass(found, Transformer):
        raise Fatal(f"--transformer={reference}: {name} is no subclass of tandem_transformer.Transformer")
    return found


def _module(reference: str, where: str) -> ModuleType:
    try:
        return _from_file(Path(where)) if where.endswith(".py") else importlib.import_module(where)
    except Exception as error:  # importing runs the user's code
        raise Fatal(f"--transformer={reference}: cannot import {where}: {error!r}") from error


def _from_file(file: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"tandem_user_{file.stem}", file)  # never a library's name
    if spec is None or spec.loader is None or not file.is_file():
        raise FileNotFoundError(str(file))
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
