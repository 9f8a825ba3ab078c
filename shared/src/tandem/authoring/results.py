"""What an author's method returned, held against what was declared."""

from __future__ import annotations

from collections.abc import Sequence

from tandem.errors import Internal
from tandem.inference import Arrays
from tandem.metadata import TensorSpec
from tandem.tensors import DTYPES, datatype_of


def hold(arrays: Arrays, specs: Sequence[TensorSpec], source: str, whose: str, *, extras: bool = False) -> None:
    """Raise Internal, saying what `source` returned and what was expected, unless `arrays` are as `specs` say.

    `whose` ends the sentence: "which the model takes". `extras` lets other tensors pass.
    """
    for spec in specs:
        if (array := arrays.get(spec.name)) is None:
            returned = ", ".join(arrays) or "nothing"
            raise Internal(f"{source} returned no '{spec.name}', which {whose}; it returned: {returned}")
        try:
            got = datatype_of(array.dtype)
        except Internal as error:
            raise Internal(f"{source} returned '{spec.name}': {error.message}") from None
        if got != spec.datatype or not spec.admits(array.shape):
            expected = f"{spec.datatype} {list(spec.shape)}"
            raise Internal(
                f"{source} returned '{spec.name}' as {got} {list(array.shape)}, expected {expected}{_hint(got, spec)}"
            )
    if not extras and (unknown := [name for name in arrays if all(name != spec.name for spec in specs)]):
        known = ", ".join(spec.name for spec in specs)
        raise Internal(f"{source} returned '{unknown[0]}', which is not among what {whose}: {known}")


def _hint(got: str, spec: TensorSpec) -> str:
    """NumPy computes in float64 and int64 where nobody says otherwise."""
    if got == spec.datatype or "BYTES" in (got, spec.datatype) or spec.datatype == "BF16":
        return ""
    return f"; .astype(np.{DTYPES[spec.datatype].name}) makes it {spec.datatype}"
