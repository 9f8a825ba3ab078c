"""What a model takes and gives: TensorSpec and ModelMetadata."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from tandem.errors import Internal, InvalidInput
from tandem.tensors import as_elements, datatype_of


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """The name, OIP datatype and shape of a tensor; -1 stands for a variable dimension."""

    name: str
    datatype: str
    shape: Sequence[int]

    def admits(self, shape: Sequence[int]) -> bool:
        """Whether an array of `shape` has this rank and every fixed dimension."""
        return len(shape) == len(self.shape) and all(
            want in (-1, got) for want, got in zip(self.shape, shape, strict=True)
        )

    def check(self, array: NDArray[np.generic]) -> None:
        """Raise InvalidInput, naming the tensor, unless `array` has this datatype and shape."""
        got = datatype_of(array.dtype)
        if got != self.datatype:
            raise InvalidInput(f"input '{self.name}': datatype is {got}, expected {self.datatype}")
        if not self.admits(array.shape):
            raise InvalidInput(f"input '{self.name}': shape is {list(array.shape)}, expected {list(self.shape)}")


@dataclass(frozen=True, slots=True)
class ModelMetadata:
    """A model's name, versions, platform and tensors, as ModelMetadata answers them."""

    name: str
    versions: Sequence[str]
    platform: str
    inputs: Sequence[TensorSpec]
    outputs: Sequence[TensorSpec]
    properties: Mapping[str, str] = field(default_factory=dict)
    documents: bool = False  # whether it reads V1 bodies itself


def match(inputs: Mapping[str, NDArray[np.generic]], specs: Sequence[TensorSpec]) -> dict[str, NDArray[np.generic]]:
    """The request's tensors in the order of `specs`, each checked; raises InvalidInput.

    Where exactly one tensor is declared and one is given, its name does not matter. A scalar stands for a vector of
    one where a vector of any length is declared.
    """
    if len(specs) == len(inputs) == 1:
        inputs = {specs[0].name: next(iter(inputs.values()))}
    known = [spec.name for spec in specs]
    if unknown := [name for name in inputs if name not in known]:
        raise InvalidInput(f"unknown input '{unknown[0]}'; the model's inputs are: {', '.join(known)}")
    matched = {}
    for spec in specs:
        if (array := inputs.get(spec.name)) is None:
            raise InvalidInput(f"input '{spec.name}' is missing; the model's inputs are: {', '.join(known)}")
        matched[spec.name] = array = array.reshape(1) if array.ndim == 0 and tuple(spec.shape) == (-1,) else array
        spec.check(array)
    return matched


def select(outputs: Mapping[str, NDArray[np.generic]], names: Sequence[str]) -> dict[str, NDArray[np.generic]]:
    """The outputs that the caller asked for, in its order; all of them when it named none."""
    if not names:
        return dict(outputs)
    try:
        return {name: outputs[name] for name in names}
    except KeyError as error:
        raise InvalidInput(f"unknown output {error}; the model's outputs are: {', '.join(outputs)}") from None


def as_arrays(result: object, source: str) -> dict[str, NDArray[np.generic]]:
    """What user code returned, as named arrays; raises Internal saying what `source` should have returned.

    Arrays of text become arrays of `bytes`, the form of BYTES.
    """
    if not isinstance(result, Mapping):
        raise Internal(f"{source} returned {type(result).__name__}, expected a dict of NumPy arrays")
    arrays: dict[str, NDArray[np.generic]] = {}
    for name, array in result.items():
        if not isinstance(array, np.ndarray):
            raise Internal(f"{source} returned '{name}' as {type(array).__name__}, expected numpy.ndarray")
        arrays[name] = as_elements(array) if array.dtype.kind in "UST" else array
    return arrays
