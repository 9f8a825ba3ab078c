"""Is this request one that the model can run? Names, datatypes, shapes and requested outputs, before any work."""

from __future__ import annotations

from tandem.errors import InvalidInput
from tandem.inference import Arrays, InferRequest
from tandem.metadata import ModelMetadata, match


def validate(request: InferRequest, model: ModelMetadata, *, batchable: bool) -> Arrays:
    """The request's inputs in the model's order and under its names; raises InvalidInput naming the tensor.

    A model that declares nothing gets what came. The tensors of a batchable model must agree in their first dimension:
    it is the request's rows.
    """
    known = [spec.name for spec in model.outputs]
    for name in request.output_names:
        if known and name not in known:
            raise InvalidInput(f"unknown output '{name}'; the model's outputs are: {', '.join(known)}")
    inputs = match(request.inputs, model.inputs) if model.inputs else dict(request.inputs)
    rows = {name: len(array) for name, array in inputs.items()} if batchable else {}
    if len(set(rows.values())) > 1:
        raise InvalidInput(f"the inputs differ in their first dimension, the batch: {rows}")
    return inputs
