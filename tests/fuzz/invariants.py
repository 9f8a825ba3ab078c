"""What holds at every door, whatever comes in: refusals are the caller's fault and can be told, values stay equal."""

from __future__ import annotations

import mmap
import resource
from contextlib import contextmanager

import numpy as np
from shared.strategies import same_maps
from tandem.errors import TandemError
from tandem.inference import InferRequest
from tandem.memory.region import Region
from tandem.memory.regions import Regions


def outcome(decode, *args, **more):
    """What `decode` gives; None where it refuses, which it may by a status of 4xx only."""
    try:
        return decode(*args, **more)
    except TandemError as error:
        if not 400 <= error.http_status < 500:
            raise
        error.message.encode()  # what is no UTF-8 fits neither an answer's body nor gRPC's trailer
        return None


@contextmanager
def frugal(megabytes):
    """Whatever is done within needs no more memory; seen where it is more than the process ever had."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    yield
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    assert grown < megabytes, f"{grown:.0f} MB more for one input"


def regions():
    """Shared memory: a region `r` of 64 bytes."""
    known = Regions(public=True)
    known.add_private("r", Region("r", mmap.mmap(-1, 64), 0, 64))
    return known


def exact(array):
    """Whether JSON holds each of its values: it has no NaN and no infinity."""
    return array.dtype.kind not in "fV" or bool(np.isfinite(array.astype(np.float64)).all())


def same_requests(left: InferRequest, right: InferRequest) -> bool:
    """Whether two requests ask for the same, bit for bit."""
    return same_maps(left.inputs, right.inputs) and _rest(left) == _rest(right)


def _rest(request):
    outputs = [(output.name, _told(output.parameters)) for output in request.outputs]
    return request.id, _told(request.parameters), outputs


def _told(parameters):
    return sorted((name, repr(value)) for name, value in parameters.items())  # a NaN equals nothing, its text does
