"""PyTorch: a program of torch.export's (model.pt2), or TorchScript (model.pt) that a config.pbtxt describes.

Source: torch.export's documentation; Triton's PyTorch backend for the names of tensors that have none of their own.
"""

from __future__ import annotations

import logging
import re
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tandem.errors import Internal
from tandem.metadata import TensorSpec
from tandem.model.config import Declared

from tandem_predictor.devices import Device, NotInstalled
from tandem_predictor.devices.lane import DeviceArrays
from tandem_predictor.runtime import LoadError

PLATFORM = "pytorch_libtorch"  # Triton's name for it
SUFFIXES = (".pt2", ".pt")
_DATATYPES = {
    "bool": "BOOL",
    "uint8": "UINT8",
    "uint16": "UINT16",
    "uint32": "UINT32",
    "uint64": "UINT64",
    "int8": "INT8",
    "int16": "INT16",
    "int32": "INT32",
    "int64": "INT64",
    "float16": "FP16",
    "bfloat16": "BF16",
    "float32": "FP32",
    "float64": "FP64",
}
_NUMBERED = re.compile(r".*__(\d+)")


@dataclass(frozen=True, slots=True)
class Engine:
    """A module and the names of what it takes and gives, in its own order."""

    module: Callable[[Sequence[Any]], object]  # of the inputs, one after another
    inputs: Sequence[TensorSpec]
    outputs: Sequence[TensorSpec]
    max_batch_size: int | None = None
    platform: str = PLATFORM

    def run(self, inputs: DeviceArrays) -> DeviceArrays:
        """The tensors that the module gives; raises Internal if they are not those that it promised."""
        result = self.module([inputs[spec.name] for spec in self.inputs])
        if isinstance(result, dict):
            missing = [spec.name for spec in self.outputs if spec.name not in result]
            if missing:
                raise Internal(f"the model returned no '{missing[0]}'; it returned: {', '.join(map(str, result))}")
            return {spec.name: result[spec.name] for spec in self.outputs}
        tensors = list(result) if isinstance(result, (tuple, list)) else [result]
        if len(tensors) != len(self.outputs):
            raise Internal(f"the model returned {len(tensors)} tensors, expected {len(self.outputs)}")
        return {spec.name: tensor for spec, tensor in zip(self.outputs, tensors, strict=True)}


def open_engine(file: Path, device: Device, declared: Declared | None) -> Engine:
    """The model in `file` on `device`; raises LoadError."""
    library()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # TorchScript is deprecated, and served as long as PyTorch loads it
        return _exported(file, device, declared) if file.suffix == ".pt2" else _scripted(file, device, declared)


def library() -> Any:
    """The module `torch`; raises LoadError."""
    try:
        import torch  # noqa: PLC0415 - an extra's, of hundreds of megabytes
    except ImportError as error:
        raise NotInstalled(f"PyTorch is missing ({error}); install tandem-predictor[torch]") from error
    return torch


def probe(index: int) -> None:
    """Raise LoadError, saying what to do, unless PyTorch reaches the GPU of that number."""
    torch = library()
    if torch.version.cuda is None:
        raise NotInstalled("this PyTorch is built for the CPU; install one that is built for CUDA, or use cpu")
    count = torch.cuda.device_count()
    if not count:
        raise LoadError("PyTorch finds no GPU, or no driver for it; mend that, or use cpu")
    if index >= count:
        raise LoadError(f"there is no GPU of that number; this machine has: {Device.names(count)}")


def set_up(device: Device, *, gpu_mem_limit: int, allow_tf32: bool) -> None:
    """PyTorch's settings for the whole process: the bytes that it may take of the device, and how exact it is."""
    if device.kind == "cuda":
        torch = library()
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = allow_tf32
        if gpu_mem_limit:
            total = torch.cuda.get_device_properties(device.index).total_memory
            torch.cuda.set_per_process_memory_fraction(min(1.0, gpu_mem_limit / total), device.index)


class _First(logging.Filter):
    """Keeps the error that torch.export logs, with its traceback, before it tries older formats and raises another."""

    error: BaseException | None = None

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is none of those."""
        if record.exc_info:
            self.error = self.error or record.exc_info[1]
        return not record.exc_info


def _exported(file: Path, device: Device, declared: Declared | None) -> Engine:
    torch = library()
    from torch.export.passes import move_to_device_pass  # noqa: PLC0415 - as above
    from torch.utils import _pytree as pytree  # noqa: PLC0415 - what torch.export names its structures by

    logger, first = logging.getLogger("torch.export"), _First()
    logger.addFilter(first)
    try:
        program = torch.export.load(file)
    except Exception as error:  # a file may be anything
        raise LoadError(f"{file} cannot be loaded by torch.export: {_first_sentence(first.error or error)}") from error
    finally:
        logger.removeFilter(first)
    if device.kind == "cuda":
        program = move_to_device_pass(program, str(device))
    signature, structure = program.graph_signature, program.call_spec
    leaves: Sequence[object] = signature.user_inputs  # names of tensors, and constants
    nodes = {node.name: node.meta.get("val") for node in program.graph.nodes}
    inputs = [_spec(name, nodes[name]) for name in leaves if isinstance(name, str)]
    results = [nodes[name] for name in signature.user_outputs]
    keys = structure.out_spec.context if structure.out_spec.type is dict else None
    outputs = [_spec(str(keys[i]) if keys else f"output-{i}", result) for i, result in enumerate(results)]
    module = program.module()

    def call(tensors: Sequence[Any]) -> object:
        rest = iter(tensors)
        flat = [next(rest) if isinstance(leaf, str) else leaf for leaf in leaves]
        arguments, named = pytree.tree_unflatten(flat, structure.in_spec)
        return module(*arguments, **named)

    return Engine(
        call,
        _renamed(file, "input", inputs, declared.inputs if declared else ()),
        outputs if keys else _renamed(file, "output", outputs, declared.outputs if declared else ()),
        _most_rows(program, nodes, inputs),
    )


def _scripted(file: Path, device: Device, declared: Declared | None) -> Engine:
    torch = library()
    try:
        module = torch.jit.load(str(file), map_location=str(device)).eval()
    except Exception as error:  # a file may be anything
        raise LoadError(
            f"{file} is no TorchScript ({_first_sentence(error)}); a pickled module or state_dict is not loaded, as "
            "that runs code: export it with torch.export.save(torch.export.export(...), 'model.pt2')"
        ) from error
    if not (declared and declared.inputs and declared.outputs):
        raise LoadError(
            f"{file}: TorchScript does not say what it takes; describe input and output in a config.pbtxt beside the "
            "versions, or export with torch.export to a model.pt2"
        )
    first = (-1,) if declared.max_batch_size else ()
    inputs, outputs = (
        [
            TensorSpec(spec.name, spec.datatype, (*first, *declared.reshapes.get(spec.name, spec.shape)))
            for spec in specs
        ]
        for specs in (declared.inputs, declared.outputs)
    )
    own = [argument.name for argument in module.forward.schema.arguments[1:]]
    return Engine(lambda tensors: module(*tensors), _in_order(inputs, own), _in_order(outputs, []))


def _spec(name: str, value: Any) -> TensorSpec:
    datatype = _DATATYPES.get(str(getattr(value, "dtype", "")).removeprefix("torch."))
    if datatype is None:
        kind = getattr(value, "dtype", type(value).__name__)
        raise LoadError(f"tensor '{name}' of the model is {kind}, which the protocol cannot carry")
    return TensorSpec(name, datatype, tuple(dim if isinstance(dim, int) else -1 for dim in value.shape))


def _most_rows(program: Any, nodes: dict[str, Any], inputs: Sequence[TensorSpec]) -> int | None:
    """The rows that the program was exported for at most, where that is a number."""
    firsts = [nodes[spec.name].shape[0] for spec in inputs if spec.shape[:1] == (-1,)]
    ranges = [program.range_constraints.get(first.node.expr) for first in firsts]
    uppers = [int(found.upper) for found in ranges if found is not None and found.upper.is_Integer]
    return min(uppers, default=None)


def _renamed(file: Path, kind: str, own: Sequence[TensorSpec], declared: Sequence[TensorSpec]) -> Sequence[TensorSpec]:
    """The program's own tensors under the names that the config.pbtxt has for them; raises LoadError."""
    if not declared:
        return own
    if len(declared) != len(own):
        raise LoadError(f"{file} has {len(own)} {kind}s, its config.pbtxt {len(declared)}")
    ordered = _in_order(declared, [spec.name for spec in own])
    return [TensorSpec(given.name, spec.datatype, spec.shape) for given, spec in zip(ordered, own, strict=True)]


def _in_order(specs: Sequence[TensorSpec], own: Sequence[str]) -> Sequence[TensorSpec]:
    """`specs` in the module's order: by its argument names, else by `__0`, `__1` at their ends, else as they are."""
    names = {spec.name: spec for spec in specs}
    if set(own) == set(names):
        return [names[name] for name in own]
    numbered = {int(found[1]): spec for spec in specs if (found := _NUMBERED.fullmatch(spec.name))}
    return [numbered[number] for number in sorted(numbered)] if len(numbered) == len(specs) else specs


def _first_sentence(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0].partition(". ")[0][:200]
