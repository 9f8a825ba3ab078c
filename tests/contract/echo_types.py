"""A Python model that gives back one tensor of every datatype; written into a repository by the test that uses it."""

from __future__ import annotations

from tandem import TensorSpec

DATATYPES = ("BOOL", "UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64")
DATATYPES += ("FP16", "FP32", "FP64", "BF16", "BYTES")


class Model:
    inputs = [TensorSpec(f"in_{name}", name, (-1, 3)) for name in DATATYPES]  # noqa: RUF012 - as authors write it
    outputs = [TensorSpec(f"out_{name}", name, (-1, 3)) for name in DATATYPES]  # noqa: RUF012 - as authors write it
    max_batch_size = 8

    def predict(self, inputs):
        return {f"out_{name}": inputs[f"in_{name}"] for name in DATATYPES}
