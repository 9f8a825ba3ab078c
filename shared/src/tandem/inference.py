"""The values that travel: a request, a response and the call that carries them. NumPy only, no protobuf, no HTTP."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from tandem.deadline import Deadline
from tandem.timings import Timings

Parameter = bool | int | float | str
Arrays = dict[str, NDArray[np.generic]]  # tensors by name; BYTES is an object array of `bytes`


@dataclass(frozen=True, slots=True)
class RequestedOutput:
    """An output that the caller wants back."""

    name: str
    parameters: Mapping[str, Parameter] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class InferRequest:
    """A decoded inference request. Its arrays are read-only views of the bytes that came in."""

    model_name: str
    model_version: str
    inputs: Arrays
    id: str = ""
    outputs: tuple[RequestedOutput, ...] = ()
    parameters: Mapping[str, Parameter] = field(default_factory=dict)
    raw: bool = True  # came as raw bytes, so it is answered as raw bytes

    @property
    def output_names(self) -> tuple[str, ...]:
        """The names of the outputs asked for; none means all."""
        return tuple(output.name for output in self.outputs)


@dataclass(frozen=True, slots=True)
class InferResponse:
    """The answer to a request."""

    model_name: str
    model_version: str
    outputs: Arrays
    id: str = ""
    parameters: Mapping[str, Parameter] = field(default_factory=dict)


@dataclass(slots=True)
class Call:
    """One inference on its way through a service: made by a door, handed down, closed by the door."""

    protocol: str  # "http" or "grpc"
    model: str  # its metrics label: a model that exists, or "unknown"
    deadline: Deadline
    headers: Mapping[str, str]  # lower-case names
    id: str = ""  # known once the request is decoded
    timings: Timings = field(default_factory=Timings)
    batch_rows: int = 0

    def identify(self, request: InferRequest) -> None:
        """Take the request's id, else that of the x-request-id header, else a new one."""
        header = self.headers.get("x-request-id", "")
        self.id = request.id or header.encode(errors="replace").decode() or uuid.uuid4().hex
