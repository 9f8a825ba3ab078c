"""Tensors in shared memory: what a request says of them, and their bytes.

A tensor's parameters name region, offset and byte size instead of bringing data. A requested output may name such a
place for itself; a request that names one is given all its outputs there, as far as they fit.
Source: Triton, "Shared-Memory Extension"; the place for all outputs is the pair's own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from tandem.errors import InvalidInput
from tandem.inference import InferRequest, Parameter
from tandem.tensors import Array, encode_raw

REGION, OFFSET, SIZE = "shared_memory_region", "shared_memory_offset", "shared_memory_byte_size"
ALIGNED = 64  # bytes; where tensors begin that follow one another, so that no engine has to copy them
Lookup = Callable[[str, int, int], memoryview]  # region, offset, size; raises InvalidInput


@dataclass(frozen=True, slots=True)
class Place:
    """Bytes of a region."""

    region: str
    offset: int
    size: int

    @property
    def parameters(self) -> dict[str, Parameter]:
        """What a tensor says that is here."""
        said: dict[str, Parameter] = {REGION: self.region, SIZE: self.size}
        return said | {OFFSET: self.offset} if self.offset else said


def place_of(parameters: Mapping[str, Parameter]) -> Place | None:
    """The place that `parameters` name, if they name one; raises InvalidInput if they do so badly."""
    if REGION not in parameters:
        return None
    region, offset, size = parameters[REGION], parameters.get(OFFSET, 0), parameters.get(SIZE, 0)
    if not isinstance(region, str) or not _is_size(offset) or not _is_size(size):
        raise InvalidInput(f"{REGION}, {OFFSET} and {SIZE} must be a name and two sizes in bytes")
    return Place(region, int(offset), int(size))


def bytes_at(place: Place, lookup: Lookup | None) -> memoryview:
    """What an input is made of; raises InvalidInput where no shared memory is offered."""
    if lookup is None:
        raise InvalidInput("tensors in shared memory are not taken here: ask the predictor, or send their bytes")
    return lookup(place.region, place.offset, place.size).toreadonly()


class Room:
    """Where the answer to a request may put its outputs."""

    def __init__(self, request: InferRequest, lookup: Lookup | None) -> None:
        """Raises InvalidInput if the request names places where no shared memory is offered."""
        self._own = {output.name: place for output in request.outputs if (place := place_of(output.parameters))}
        self._shared = place_of(request.parameters)
        self._used = 0
        self._lookup = lookup
        if lookup is None and (self._own or self._shared):
            raise InvalidInput("outputs are not put into shared memory here: ask the predictor")

    def put(self, name: str, data: bytes | memoryview) -> Place | None:
        """Copy an output to its place, and say where it is; None if it has none there.

        Raises InvalidInput if the place that was named for it alone is too small.
        """
        place = self._place(name, len(data))
        if place and self._lookup:
            self._lookup(place.region, place.offset, place.size)[:] = data
        return place

    def put_own(self, name: str, array: Array) -> Place | None:
        """Copy an output to the place that the request names for it alone; None if it names none."""
        return self.put(name, encode_raw(array)) if name in self._own else None

    def _place(self, name: str, size: int) -> Place | None:
        if own := self._own.get(name):
            if size > own.size:
                raise InvalidInput(f"output '{name}' has {size} bytes, its {SIZE} is {own.size}")
            return Place(own.region, own.offset, size)
        if self._shared and self._used + size <= self._shared.size:
            place = Place(self._shared.region, self._shared.offset + self._used, size)
            self._used += -(-size // ALIGNED) * ALIGNED
            return place
        return None


def _is_size(value: Parameter) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0
