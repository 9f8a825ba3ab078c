"""The class that a pipeline author writes, and how --transformer finds it."""

from __future__ import annotations

import importlib
import inspect
import logging
from collections.abc import Awaitable, Mapping, Sequence
from pathlib import Path
from types import ModuleType

from tandem.authoring import methods, modules
from tandem.context import Context
from tandem.inference import Arrays
from tandem.lifecycle import Fatal
from tandem.metadata import ModelMetadata, TensorSpec

log = logging.getLogger("tandem.user")

BUILT_IN = {
    "identity": "tandem_transformer.transformers.identity:Identity",
    "image-classification": "tandem_transformer.transformers.images:ImageClassification",
}
METHODS = {
    "setup": ("model", "options"),
    "preprocess": ("inputs", "context"),
    "postprocess": ("outputs", "context"),
    "close": (),
}


class Transformer:
    """Pre- and postprocessing around a model. Override what you need; what you leave costs nothing.

    A `def` runs in the thread pool, an `async def` on the event loop. Arrays are read-only: copy before writing into
    one. BYTES tensors are object arrays of `bytes`. Raise `tandem.InvalidInput` where the caller is wrong (400); any
    other exception is a 500, and so is a result that is not what `outputs` or the model declares. `each` makes a
    method of one that works on a single item.
    """

    inputs: Sequence[TensorSpec] = ()  # what callers send; () means what the predictor takes
    outputs: Sequence[TensorSpec] = ()  # what callers get; () means what the predictor gives

    def setup(self, model: ModelMetadata, options: Mapping[str, str], /) -> Awaitable[None] | None:
        """Prepare for `model`, the predictor's, with the --transformer_options. Called before any request.

        It is tried again until it succeeds, and on a new object when the predictor's model has changed.
        """
        return None

    def preprocess(self, inputs: Arrays, context: Context, /) -> Arrays | Awaitable[Arrays]:
        """The predictor's inputs from the caller's."""
        return inputs

    def postprocess(self, outputs: Arrays, context: Context, /) -> Arrays | Awaitable[Arrays]:
        """The caller's outputs from the predictor's."""
        return outputs

    def close(self) -> Awaitable[None] | None:
        """Let go of what `setup` took."""
        return None


def find(reference: str) -> type[Transformer]:
    """The class that --transformer names: a built-in, module:Class or /path/file.py[:Class]. Raises Fatal."""
    flag = f"--transformer={reference}"
    full = BUILT_IN.get(reference, reference)
    where, colon, name = (full, "", "") if full.endswith(".py") else full.rpartition(":")
    if not where or (colon and not name):
        known = ", ".join(BUILT_IN)
        near = methods.suggestion(reference, BUILT_IN)
        raise Fatal(f"{flag}: expected {known}, module:Class or /path/file.py:Class{near}")
    module = _module(flag, where)
    found = getattr(module, name, None) if name else _only(flag, module)
    if not isinstance(found, type):
        near = methods.suggestion(name, (cls.__name__ for cls in _classes(module)))
        raise Fatal(f"{flag}: {where} defines no class {name}{near}")
    return fitting(found, flag)


def fitting(cls: type, flag: str) -> type[Transformer]:
    """`cls` if it can be used as it will be; raises Fatal, in which `flag` says who named it."""
    if not issubclass(cls, Transformer):
        raise Fatal(f"{flag}: {cls.__name__} is no subclass of tandem_transformer.Transformer")
    if wrong := next(methods.problems(cls, METHODS), None):
        raise Fatal(f"{flag}: {wrong}")
    for warning in methods.misspelt(cls, METHODS):
        log.warning(warning)
    return cls


def _module(flag: str, where: str) -> ModuleType:
    try:
        if where.endswith(".py"):
            return modules.from_file(Path(where), f"tandem_user_{Path(where).stem}")  # never a library's name
        return importlib.import_module(where)
    except Exception as error:  # importing runs the user's code
        modules.report(f"importing {where} failed", error)
        raise Fatal(f"{flag}: cannot import {where}: {modules.told(error)}") from error


def _classes(module: ModuleType) -> list[type[Transformer]]:
    """The transformers that `module` itself defines."""
    classes = [value for value in vars(module).values() if isinstance(value, type) and issubclass(value, Transformer)]
    return [cls for cls in classes if cls.__module__ == module.__name__]


def _only(flag: str, module: ModuleType) -> type[Transformer]:
    """The one transformer of a file that can be made; abstract ones are for others to build on."""
    found = [cls for cls in _classes(module) if not inspect.isabstract(cls)]
    if len(found) != 1:
        names = ", ".join(cls.__name__ for cls in found)
        which = (
            f"it defines {names}: add :Class" if found else "it defines no subclass of tandem_transformer.Transformer"
        )
        raise Fatal(f"{flag}: {which}")
    return found[0]
