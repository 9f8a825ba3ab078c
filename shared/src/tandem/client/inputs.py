"""What a caller gives as an input -> the array that is sent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike

from tandem import tensors
from tandem.errors import Internal, InvalidInput
from tandem.inference import Arrays, InferRequest, Parameter, RequestedOutput
from tandem.tensors import Array


def request_of(
    model: str,
    inputs: Mapping[str, ArrayLike],
    *,
    version: str,
    outputs: Sequence[str],
    classification: int,
    id: str,  # noqa: A002 - the protocol's name
    parameters: Mapping[str, Parameter] | None,
) -> InferRequest:
    """The request that these arguments of `infer` make; raises InvalidInput."""
    if isinstance(outputs, str):
        raise InvalidInput(f"outputs is the text '{outputs}', expected a list of names")
    if classification and not outputs:
        raise InvalidInput("classification is of outputs: name them in outputs")
    own: dict[str, Parameter] = {"classification": classification} if classification else {}
    return InferRequest(
        model_name=model,
        model_version=version,
        id=id,
        inputs=arrays(inputs),
        outputs=tuple(RequestedOutput(name, own) for name in outputs),
        parameters=dict(parameters or {}),
        raw=True,
    )


def arrays(inputs: Mapping[str, ArrayLike]) -> Arrays:
    """Each input as an array of a datatype of the protocol, text as BYTES; raises InvalidInput naming it."""
    return {name: _array(name, value) for name, value in inputs.items()}


def _array(name: str, value: ArrayLike) -> Array:
    try:
        array = value if isinstance(value, np.ndarray) else _from_python(value)
        if array.dtype.kind in "OUST":
            return tensors.as_elements(array)
        array = array.astype(array.dtype.newbyteorder("<"), copy=False) if array.dtype.kind in "iuf" else array
        tensors.datatype_of(array.dtype)
    except (Internal, ValueError) as error:
        raise InvalidInput(f"input '{name}': {error}") from None
    return array


def _from_python(value: ArrayLike) -> Array:
    array = np.asarray(value)
    # NumPy's own type for bytes takes zeros at their end for padding
    return np.array(value, object) if array.dtype.kind in "SU" else array
