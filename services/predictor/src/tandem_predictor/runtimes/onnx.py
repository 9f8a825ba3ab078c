"""ONNX Runtime: metadata from the graph, the provider from the device, one session for all instances."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import onnxruntime as ort
from tandem import tensors
from tandem.errors import InvalidInput
from tandem.inference import Arrays
from tandem.metadata import TensorSpec

from tandem_predictor.devices import CPU, Device, NotInstalled, cuda
from tandem_predictor.runtime import Allocate, LoadError, zeros
from tandem_predictor.runtimes.habit import Habit
from tandem_predictor.runtimes.sessions import Sessions

PLATFORM = "onnxruntime_onnx"  # Triton's name for it
CPU_PROVIDER = "CPUExecutionProvider"
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
    allocate: Allocate | None = None
    on_loop = False

    def __init__(self, sessions: Sessions, device: Device = CPU, *, habit: Habit | None = None) -> None:
        self.device = device
        self.habit = habit
        self._sessions = sessions
        self.inputs, self.outputs = specs(sessions.narrow)
        self._names = [spec.name for spec in self.outputs]
        self._texts = frozenset(spec.name for spec in self.inputs if spec.datatype == "BYTES")

    def run(self, inputs: Arrays) -> Arrays:
        """One call of the engine; text tensors are UTF-8."""
        if self._texts:
            inputs = {name: _decoded(name, array) if name in self._texts else array for name, array in inputs.items()}
        results = self._sessions.run(self._names, inputs)
        return {name: _encoded(array) for name, array in zip(self._names, results, strict=True)}

    def warm_up(self, rows: int) -> None:
        """Run on zeros, one row and `rows`; variable dimensions beside the first become 1."""
        for count in sorted({1, rows}):
            batch = {spec.name: zeros(spec, count) for spec in self.inputs}
            self.run(batch)
            if self._sessions.wide and not self._texts:
                self._sessions.wide.run(self._names, batch)


@dataclass(frozen=True, slots=True)
class Cuda:
    """How ONNX Runtime uses a GPU."""

    index: int
    mem_limit: int = 0  # bytes of its arena; 0: any
    allow_tf32: bool = False

    def options(self) -> dict[str, str]:
        """The options of its provider."""
        limit = {"gpu_mem_limit": str(self.mem_limit)} if self.mem_limit else {}
        return {"device_id": str(self.index), "use_tf32": str(int(self.allow_tf32))} | limit


def open_session(file: Path, *, threads: int, spinning: bool = False, gpu: Cuda | None = None) -> ort.InferenceSession:
    """A session on `file`, on a GPU if there is a `gpu`; raises LoadError, NoCuda if only that cannot be.

    Threads that spin while a run lasts answer sooner, and take CPU time from everybody else.
    """
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "1" if spinning else "0")
    options.add_session_config_entry("session.force_spinning_stop", "1")  # with the end of the run
    chosen = [(_CUDA, gpu.options()), CPU_PROVIDER] if gpu else [CPU_PROVIDER]
    try:
        session = ort.InferenceSession(str(file), options, providers=chosen)
    except Exception as error:  # the engine has an exception type for each thing that can be wrong with a file
        raise LoadError(f"{file} cannot be loaded by ONNX Runtime: {error}") from error
    if gpu and _CUDA not in session.get_providers():  # it takes the CPU then, and says so in its own log
        raise NoCuda("ONNX Runtime finds no GPU, or not all of CUDA's libraries; mend that, or use cpu")
    return session


class NoCuda(LoadError):
    """ONNX Runtime has CUDA's provider, and cannot use it."""


def probe(index: int) -> None:
    """Raise LoadError, saying what to do, unless ONNX Runtime has CUDA and CuPy reaches the GPU of that number."""
    if _CUDA not in ort.get_available_providers():
        beside = " in the place of onnxruntime, which overwrites it" if _installed("onnxruntime-gpu") else ""
        raise NotInstalled(
            "this ONNX Runtime has no CUDA provider; "
            f"install tandem-predictor[cuda] (onnxruntime-gpu{beside}), or use cpu"
        )
    cuda.probe(index)
    ort.preload_dlls()  # CUDA's libraries that pip installed, which the loader would not find


def _installed(name: str) -> bool:
    return any(True for _ in metadata.distributions(name=name))


def specs(session: ort.InferenceSession) -> tuple[list[TensorSpec], list[TensorSpec]]:
    """The inputs and the outputs of a session's model; raises LoadError."""
    return [_spec(node) for node in session.get_inputs()], [_spec(node) for node in session.get_outputs()]


def _spec(node: ort.NodeArg) -> TensorSpec:
    if node.type not in _DATATYPES:
        raise LoadError(f"tensor '{node.name}' of the model is {node.type}, which the protocol cannot carry")
    return TensorSpec(node.name, _DATATYPES[node.type], tuple(d if isinstance(d, int) else -1 for d in node.shape))


def _decoded(name: str, array: tensors.Array) -> tensors.Array:
    try:
        return tensors.objects([tensors.as_bytes(e).decode() for e in array.ravel()]).reshape(array.shape)
    except UnicodeDecodeError:
        raise InvalidInput(f"input '{name}': an element is not UTF-8 text, which this model takes") from None


def _encoded(array: tensors.Array) -> tensors.Array:
    if not array.dtype.hasobject:
        return array
    return tensors.objects([tensors.as_bytes(element) for element in array.ravel()]).reshape(array.shape)
