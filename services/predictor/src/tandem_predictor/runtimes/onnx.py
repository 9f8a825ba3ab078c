"""ONNX Runtime: metadata from the graph, the provider from the device, one session for all instances."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime as ort
from tandem import tensors
from tandem.errors import InvalidInput
from tandem.inference import Arrays
from tandem.metadata import TensorSpec

from tandem_predictor.runtime import LoadError
from tandem_predictor.runtimes.sessions import Sessions

PLATFORM = "onnxruntime_onnx"  # Triton's name for it
_CUDA = "CUDAExecutionProvider"
_DATATYPES = {
    "tensor(bool)": "BOOL",
    "tensor(uint8)": "UINT8",
    "tensor(uint16)": "UINT16",
    "tensor(uint32)": "UINT32",
    "tensor(uint64)": "UINT64",
    "tensor(int8)": "INT8",
    "tensor(int16)": "INT16",
    "tensor(int32)": "INT32",
    "tensor(int64)": "INT64",
    "tensor(float16)": "FP16",
    "tensor(float)": "FP32",
    "tensor(double)": "FP64",
    "tensor(string)": "BYTES",
}


class OnnxRuntime:
    """A model.onnx. Several share its sessions: each run uses the calling thread and the session's own pool."""

    platform = PLATFORM
    max_batch_size: int | None = None

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions
        self.inputs = [_spec(node) for node in sessions.narrow.get_inputs()]
        self.outputs = [_spec(node) for node in sessions.narrow.get_outputs()]
        self._names = [spec.name for spec in self.outputs]
        self._texts = frozenset(spec.name for spec in self.inputs if spec.datatype == "BYTES")

    def run(self, inputs: Arrays) -> Arrays:
        """One call of the engine; text tensors are UTF-8."""
        if self._texts:
            inputs = {name: _decoded(name, array) if name in self._texts else array for name, array in inputs.items()}
        results = self._sessions.run(self._names, inputs)
        return {name: _encoded(array) for name, array in zip(self._names, results, strict=True)}

    def warm_up(self, rows: int) -> None:
        """Run on zeros; variable dimensions beside the first become 1."""
        zeros = {spec.name: _zeros(spec, rows) for spec in self.inputs}
        self.run(zeros)
        if self._sessions.wide and not self._texts:
            self._sessions.wide.run(self._names, zeros)


def open_session(file: Path, *, threads: int, device: str, spinning: bool = False) -> ort.InferenceSession:
    """A session on `file`; raises LoadError. `device` auto takes CUDA where the provider is installed.

    Threads that spin while a run lasts answer sooner, and take CPU time from everybody else.
    """
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "1" if spinning else "0")
    options.add_session_config_entry("session.force_spinning_stop", "1")  # with the end of the run
    chosen = providers(device)
    try:
        session = ort.InferenceSession(str(file), options, providers=chosen)
    except Exception as error:  # the engine has an exception type for each thing that can be wrong with a file
        raise LoadError(f"{file} cannot be loaded by ONNX Runtime: {error}") from error
    if device == "cuda" and _CUDA not in session.get_providers():  # it takes the CPU then, and says so in its own log
        raise LoadError("--device=cuda: ONNX Runtime finds no GPU, or no driver for it; mend that, or use cpu")
    return session


def has_cuda() -> bool:
    """Whether this ONNX Runtime has the provider for CUDA."""
    return _CUDA in ort.get_available_providers()


def providers(device: str) -> list[str]:
    """The execution providers for `device`: auto, cpu or cuda; raises LoadError if CUDA is asked for and absent."""
    cuda = has_cuda()
    if device == "cuda" and not cuda:
        raise LoadError("--device=cuda: this ONNX Runtime has no CUDA provider; install onnxruntime-gpu, or use cpu")
    if not cuda or device == "cpu":
        return ["CPUExecutionProvider"]
    ort.preload_dlls()  # CUDA's libraries that pip installed, which the loader would not find
    return [_CUDA, "CPUExecutionProvider"]


def _spec(node: ort.NodeArg) -> TensorSpec:
    if node.type not in _DATATYPES:
        raise LoadError(f"tensor '{node.name}' of the model is {node.type}, which the protocol cannot carry")
    return TensorSpec(node.name, _DATATYPES[node.type], tuple(d if isinstance(d, int) else -1 for d in node.shape))


def _zeros(spec: TensorSpec, rows: int) -> tensors.Array:
    shape = [rows if index == 0 and dim == -1 else max(dim, 1) for index, dim in enumerate(spec.shape)]
    return np.full(shape, b"", object) if spec.datatype == "BYTES" else np.zeros(shape, tensors.DTYPES[spec.datatype])


def _decoded(name: str, array: tensors.Array) -> tensors.Array:
    try:
        return tensors.objects([tensors.as_bytes(e).decode() for e in array.ravel()]).reshape(array.shape)
    except UnicodeDecodeError:
        raise InvalidInput(f"input '{name}': an element is not UTF-8 text, which this model takes") from None


def _encoded(array: tensors.Array) -> tensors.Array:
    if not array.dtype.hasobject:
        return array
    return tensors.objects([tensors.as_bytes(element) for element in array.ravel()]).reshape(array.shape)
