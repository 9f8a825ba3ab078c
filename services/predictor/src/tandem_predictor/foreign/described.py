"""A runtime held to its config.pbtxt: the file's tensors outside, the model's own inside."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence

from tandem.inference import Arrays
from tandem.metadata import TensorSpec
from tandem.model.config import Declared

from tandem_predictor.runtime import LoadError, Runtime


class Described:
    """Takes and gives what the file says; raises LoadError if the model's own tensors contradict it."""

    def __init__(self, runtime: Runtime, declared: Declared, source: str) -> None:
        self._runtime = runtime
        self.platform = runtime.platform
        self.device = runtime.device
        self.allocate = runtime.allocate
        self.on_loop = runtime.on_loop
        self.habit = runtime.habit
        self._batched = declared.max_batch_size > 0
        silent = not (declared.inputs or declared.outputs or declared.max_batch_size)  # then the model itself decides
        # beyond 0, which is a matter of shapes, the file's number is one of the terms, which flags may change
        self.max_batch_size = runtime.max_batch_size if silent or self._batched else 0
        self._reshapes = declared.reshapes
        self._source = source
        self.inputs = self._held("input", declared.inputs, runtime.inputs, all_of_them=True)
        self.outputs = self._held("output", declared.outputs, runtime.outputs, all_of_them=False)

    def run(self, inputs: Arrays) -> Arrays | Awaitable[Arrays]:
        """One run, with the tensors reshaped on both sides as the file says."""
        rows = len(next(iter(inputs.values()))) if self._batched else 0
        outputs = self._runtime.run(self._inside(inputs, rows) if self._reshapes else inputs)
        return self._outside(outputs, rows) if isinstance(outputs, dict) else self._later(outputs, rows)

    async def _later(self, outputs: Awaitable[Arrays], rows: int) -> Arrays:
        return self._outside(await outputs, rows)

    def _inside(self, inputs: Arrays, rows: int) -> Arrays:
        return {
            name: array.reshape(self._full(self._reshapes[name], rows)) if name in self._reshapes else array
            for name, array in inputs.items()
        }

    def _outside(self, outputs: Arrays, rows: int) -> Arrays:
        if not self._reshapes and len(outputs) == len(self.outputs):
            return outputs
        return {
            spec.name: outputs[spec.name].reshape(self._full(spec.shape[self._batched :], rows))
            if spec.name in self._reshapes
            else outputs[spec.name]
            for spec in self.outputs
        }

    def warm_up(self, rows: int) -> None:
        """As the model itself."""
        self._runtime.warm_up(rows)

    def _full(self, shape: Sequence[int], rows: int) -> tuple[int, ...]:
        return (rows, *shape) if self._batched else tuple(shape)

    def _held(
        self, kind: str, declared: Sequence[TensorSpec], own: Sequence[TensorSpec], *, all_of_them: bool
    ) -> tuple[TensorSpec, ...]:
        """The file's tensors in full, once they agree with the model's."""
        known = {spec.name: spec for spec in own}
        if not declared:
            if self._batched and any(not spec.shape or spec.shape[0] != -1 for spec in own):
                self._refuse(f"max_batch_size is not 0, but the first dimension of an {kind} of the model is fixed")
            return tuple(own)
        names = [spec.name for spec in declared]
        if all_of_them and (missing := [name for name in known if name not in names]):
            self._refuse(f"{kind} '{missing[0]}' of the model is missing; the file has: {', '.join(names)}")
        for spec in declared:
            if spec.name not in known:
                self._refuse(f"the model has no {kind} '{spec.name}'; it has: {', '.join(known)}")
            self._agree(kind, spec, known[spec.name])
        return tuple(TensorSpec(s.name, s.datatype, self._full(s.shape, -1)) for s in declared)

    def _agree(self, kind: str, spec: TensorSpec, own: TensorSpec) -> None:
        if spec.datatype != own.datatype:
            self._refuse(f"{kind} '{spec.name}' is {spec.datatype} in the file, {own.datatype} in the model")
        shape = self._full(self._reshapes.get(spec.name, spec.shape), -1)
        fits = len(shape) == len(own.shape) and all(m in (-1, f) for f, m in zip(shape, own.shape, strict=True))
        if not fits:
            batch = ", the first being max_batch_size's" if self._batched else ""
            self._refuse(f"{kind} '{spec.name}' is {list(shape)} in the file{batch}, {list(own.shape)} in the model")

    def _refuse(self, why: str) -> None:
        raise LoadError(f"{self._source}: {why}")
