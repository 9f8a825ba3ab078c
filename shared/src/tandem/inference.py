"""The values that travel: a request, a response and the call that carries them. NumPy only, no protobuf, no HTTP."""

from __future__ import annotations

import itertools
import math
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from numpy.typing import NDArray

from tandem.deadline import Deadline
from tandem.errors import InvalidInput
from tandem.timings import Timings

_PROCESS = secrets.token_hex(12)  # so that the ids of two processes differ
_calls = itertools.count(1)
Parameter = bool | int | float | str
MAX_PARAMETERS = 1024  # of a request, a tensor or an output; each becomes an object, here and behind the hop
Arrays = dict[str, NDArray[Any]]  # tensors by name, of any dtype; BYTES is an object array of `bytes`


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
    document: bytes | None = None  # a V1 body, for an endpoint that reads it itself

    @property
    def priority(self) -> int:
        """The parameter `priority`: 1 is the highest, 0 or none the lowest; raises InvalidInput."""
        priority = self.parameters.get("priority", 0)
        if isinstance(priority, bool) or not isinstance(priority, int) or not 0 <= priority < 2**32:
            raise InvalidInput(f"parameter 'priority' is {priority!r}, expected a whole number from 0 to 4294967295")
        return priority

    @property
    def output_names(self) -> tuple[str, ...]:
        """The names of the outputs asked for; none means all."""
        return tuple([output.name for output in self.outputs])


@dataclass(frozen=True, slots=True)
class InferResponse:
    """The answer to a request."""

    model_name: str
    model_version: str
    outputs: Arrays
    id: str = ""
    parameters: Mapping[str, Parameter] = field(default_factory=dict)
    document: bytes | None = None  # the body of a V1 answer, where the endpoint has made it itself


@dataclass(frozen=True, slots=True)
class Limits:
    """How much one request may bring beside its bytes."""

    tensors: int = 256  # inputs, and requested outputs
    elements: int = 2**28  # of one tensor
    name_length: int = 256  # characters of a tensor's name, an id or a parameter's name

    def check_count(self, kind: str, count: int) -> None:
        """Raise InvalidInput if there are too many tensors."""
        if count > self.tensors:
            raise InvalidInput(f"the request has {count} {kind}s, at most {self.tensors} (--max_tensors)")

    def check_names(self, *names: str) -> None:
        """Raise InvalidInput if a name is too long."""
        for name in names:
            if len(name) > self.name_length:
                raise InvalidInput(
                    f"the name '{name[:40]}...' is too long, at most {self.name_length} (--max_name_length)"
                )

    def check_elements(self, name: str, shape: Sequence[int]) -> None:
        """Raise InvalidInput if a tensor claims too many elements, before anything is made of it."""
        if len(shape) <= 32 and math.prod(shape) > self.elements:
            raise InvalidInput(
                f"tensor '{name}': shape {list(shape)} has over {self.elements} elements (--max_elements)"
            )


def check_parameters(count: int) -> None:
    """Raise InvalidInput if there are too many parameters in one place."""
    if count > MAX_PARAMETERS:
        raise InvalidInput(f"{count} parameters in one place, at most {MAX_PARAMETERS}")


@dataclass(slots=True)
class Call:
    """One inference on its way through a service: made by a door, handed down, closed by the door."""

    protocol: str  # "http" or "grpc"
    model: str  # its metrics label: a model that exists, or "unknown"
    deadline: Deadline
    headers: Mapping[str, str]  # lower-case names
    started: float = 0.0  # as time.perf_counter() has it
    id: str = ""  # known once the request is decoded
    timings: Timings = field(default_factory=Timings)
    model_version: str = ""  # known once the model is found
    batch_rows: int = 0
    size: int = 0  # bytes of its request that are held; the ledger counts them
    shared_memory: bool = False  # the way of its tensors to the predictor
    reply_headers: Mapping[str, str] | None = None  # that the author's code adds to the answer

    def begin(self, request: InferRequest) -> None:
        """Take the request's id, or find one, and its `timeout`.

        The parameter `timeout` (microseconds; Triton's schedule policy) can only bring the deadline nearer.
        """
        timeout = request.parameters.get("timeout", 0)
        if isinstance(timeout, bool) or not isinstance(timeout, int) or timeout < 0:
            raise InvalidInput(f"parameter 'timeout' is {timeout!r}, expected microseconds as a whole number")
        if timeout:
            self.deadline = min(self.deadline, Deadline.after(timeout / 1e6), key=lambda deadline: deadline.at)
        self.identify(request.id)

    def identify(self, own: str) -> None:
        """Take the request's own id, else that of the x-request-id header, else a new one."""
        if own := own or self.headers.get("x-request-id", "").encode(errors="replace").decode():
            self.id = own
        else:
            self.id = f"{_PROCESS}{next(_calls):08x}"
