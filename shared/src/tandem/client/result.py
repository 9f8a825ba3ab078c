"""What comes back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from tandem.inference import InferResponse, Parameter
from tandem.tensors import Array

Document: TypeAlias = dict[str, Any]  # a JSON object


class InferResult(Mapping[str, Array]):
    """The outputs by name, and what the server said beside them. Arrays are read-only; BYTES is an object array."""

    __slots__ = ("_outputs", "id", "model_name", "model_version", "parameters", "timings")

    def __init__(self, response: InferResponse, timings: Mapping[str, float]) -> None:
        self._outputs = response.outputs
        self.id = response.id
        self.model_name = response.model_name
        self.model_version = response.model_version
        self.parameters: Mapping[str, Parameter] = response.parameters
        self.timings = timings  # seconds by phase of the server's Server-Timing; empty if it sent none

    def __getitem__(self, name: str) -> Array:
        return self._outputs[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._outputs)

    def __len__(self) -> int:
        return len(self._outputs)

    def __repr__(self) -> str:
        outputs = ", ".join(f"{name}: {array.dtype}{list(array.shape)}" for name, array in self.items())
        return f"<InferResult of {self.model_name} {self.model_version}: {outputs}>"


@dataclass(frozen=True, slots=True)
class ServerMetadata:
    """A server's name, version and the protocol's extensions that it has."""

    name: str
    version: str
    extensions: tuple[str, ...]
