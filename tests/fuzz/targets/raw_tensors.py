"""Raw tensors: `DATATYPE dim,dim` on a line, the bytes behind it. What decodes has the bytes that came.

The same bytes are a raw binary request too, for a model whose one input is described so.
"""

from __future__ import annotations

from tandem import tensors
from tandem.codec.json import decode_raw_request
from tandem.metadata import ModelMetadata, TensorSpec

from fuzz.invariants import outcome

MOST = 2**20  # of what the model itself says: it is no stranger


def check(data: bytes) -> bool:
    line, _, raw = data.partition(b"\n")
    datatype, _, dims = line.decode("latin-1").partition(" ")
    try:
        shape = [int(dim) for dim in dims.split(",") if dim]
    except ValueError:
        return False
    array = outcome(tensors.decode_raw, "x", datatype, shape, raw)
    if array is not None:
        assert array.shape == tuple(shape)
        _holds(array, datatype, raw)
    return _requested(TensorSpec("x", datatype, shape), raw) or array is not None


def _requested(spec: TensorSpec, raw: bytes) -> bool:
    if spec.datatype not in tensors.DTYPES or len(spec.shape) > 8 or any(not -1 <= dim <= MOST for dim in spec.shape):
        return False
    request = outcome(decode_raw_request, raw, ModelMetadata("m", ("1",), "", (spec,), ()), "")
    if request is None:
        return False
    array = request.inputs["x"]
    assert array.ndim == len(spec.shape)
    if spec.datatype == "BYTES":
        assert array.ravel().tolist() == [raw]
    else:
        _holds(array, spec.datatype, raw)
    return True


def _holds(array: tensors.Array, datatype: str, raw: bytes) -> None:
    assert array.dtype == tensors.DTYPES[datatype]
    assert not array.flags.writeable
    truth = datatype == "BOOL"  # whatever is not 0 is true
    assert bytes(tensors.encode_raw(array)) == (bytes(byte != 0 for byte in raw) if truth else raw)


SEEDS = {
    "floats": b"FP32 -1,2\n" + b"\0\0\x80\x3f" * 4,
    "halves": b"BF16 2\n\x80\x3f\x80\x3f",
    "scalar": b"INT64 \n12345678",
    "truth": b"BOOL 1,3\n\0\1\1",
    "nothing": b"UINT16 0,7\n",
    "texts": b"BYTES 2\n\1\0\0\0a\0\0\0\0",
    "a file": b"BYTES -1\nany bytes",
}
FOUND = {
    "an overflow beside a zero in three dimensions": b"INT8 0,1099511627776,1099511627776\n",
    "truth values other than 0 and 1": b"BOOL 2\n\2\0",
}
WORDS = (
    *(datatype.encode() for datatype in tensors.DTYPES),
    *(b",", b"-1", b"0,", b"1099511627776", b"9223372036854775807", b"\1\0\0\0", b"\xff\xff\xff\xff", b"\0\0\0\0"),
)
