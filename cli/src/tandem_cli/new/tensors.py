"""Tensors as text: specs for a class, arrays for a test, a request for curl."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from tandem.metadata import TensorSpec
from tandem.tensors import DTYPES

_ROOM = 88 - len("    outputs = (,)")
_RAW_ONLY = frozenset({"FP16", "BF16"})  # the protocol has no JSON for them


def specs(tensors: Iterable[TensorSpec]) -> str:
    """A tuple of them in Python, as an attribute of a class has it; formatted as the usual formatters do."""
    made = [f'TensorSpec({json.dumps(t.name)}, "{t.datatype}", {tuple(t.shape)})' for t in tensors]
    if len(made) == 1 and len(made[0]) < _ROOM:
        return f"({made[0]},)"
    return "\n".join(["(", *(f"        {line}," for line in made), "    )"])


def arrays(tensors: Iterable[TensorSpec]) -> str:
    """A line of Python for each, as the entries of a dict of zeros, or of a text."""
    return "\n".join(f"    {json.dumps(t.name)}: {_array(t)}," for t in tensors)


def passed_on(tensors: Iterable[TensorSpec], source: str, indent: int) -> str:
    """A line of Python for each, as the entries of a dict that passes them on from `source`."""
    names = (json.dumps(t.name) for t in tensors)
    return "\n".join(f"{' ' * indent}{name}: {source}[{name}]," for name in names)


def request(inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec]) -> str | None:
    """The JSON body of a request of one row; None where JSON cannot carry the tensors."""
    if any(t.datatype in _RAW_ONLY for t in (*inputs, *outputs)):
        return None
    return json.dumps({"inputs": [_json(t) for t in inputs]})


def _json(tensor: TensorSpec) -> dict[str, Any]:
    shape = _shape(tensor, rows=1)
    dtype = DTYPES[tensor.datatype]
    data = ["text"] * int(np.prod(shape)) if dtype.hasobject else np.zeros(shape, dtype).ravel().tolist()
    return {"name": tensor.name, "shape": shape, "datatype": tensor.datatype, "data": data}


def _array(tensor: TensorSpec) -> str:
    shape = tuple(_shape(tensor, rows=2))
    if tensor.datatype == "BYTES":
        return f'np.full({shape}, b"text", object)'
    name = "bool_" if tensor.datatype == "BOOL" else DTYPES[tensor.datatype].name
    return f"np.zeros({shape}, np.{name})"


def _shape(tensor: TensorSpec, *, rows: int) -> list[int]:
    """Variable dimensions beside the first become 1."""
    return [(rows if index == 0 else 1) if dim == -1 else dim for index, dim in enumerate(tensor.shape)]
