"""A model's configuration and its entry in the repository index, by Triton's words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from tandem.metadata import TensorSpec


@dataclass(frozen=True, slots=True)
class Batching:
    """What a config.pbtxt says of dynamic batching; 0 where it says nothing."""

    preferred_batch_sizes: Sequence[int] = ()
    max_queue_delay_us: int = 0
    max_queue_size: int = 0
    priority_levels: int = 0
    default_priority: int = 0


@dataclass(frozen=True, slots=True)
class InstanceGroup:
    """Where a model runs, and how many times."""

    kind: str  # KIND_AUTO, KIND_CPU, KIND_GPU or KIND_MODEL
    count: int
    gpus: Sequence[int] = ()
    name: str = ""


@dataclass(frozen=True, slots=True)
class VersionPolicy:
    """Which versions are served: the newest `latest`, or those of `specific`; 0 and none: all."""

    latest: int = 1  # Triton's default
    specific: Sequence[int] = ()

    def choose(self, versions: Sequence[int]) -> list[int]:
        """Those of `versions`, ascending, that are served."""
        if self.specific:
            return [version for version in sorted(versions) if version in self.specific]
        return sorted(versions)[-self.latest :]


@dataclass(frozen=True, slots=True)
class Declared:
    """What a model's config.pbtxt says. The tensors are without the batch's dimension; a reshape is the model's own."""

    name: str = ""
    platform: str = ""
    backend: str = ""
    max_batch_size: int = 0
    inputs: Sequence[TensorSpec] = ()
    outputs: Sequence[TensorSpec] = ()
    reshapes: Mapping[str, Sequence[int]] = field(default_factory=dict)
    label_files: Mapping[str, str] = field(default_factory=dict)  # by output
    batching: Batching | None = None
    instances: Sequence[InstanceGroup] = ()
    versions: VersionPolicy = VersionPolicy()
    filename: str = ""
    parameters: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """How a model is served. `inputs` and `outputs` have the batch's dimension where `max_batch_size` is not 0."""

    name: str
    platform: str
    backend: str
    max_batch_size: int  # rows; 0 means that requests never share a batch
    max_queue_delay_us: int
    inputs: Sequence[TensorSpec]
    outputs: Sequence[TensorSpec]
    declared: Declared | None = None  # what its config.pbtxt says beyond that

    def dims(self, spec: TensorSpec) -> list[int]:
        """The dimensions that the configuration shows: without the batch's, and never none."""
        if self.declared and (
            own := {s.name: s for s in (*self.declared.inputs, *self.declared.outputs)}.get(spec.name)
        ):
            return list(own.shape)
        return (list(spec.shape[1:]) or [1]) if self.max_batch_size else list(spec.shape)


@dataclass(frozen=True, slots=True)
class ModelIndex:
    """One model version in the repository; `reason` says why it is not ready, and is empty when it is."""

    name: str
    version: str
    ready: bool
    reason: str = ""

    @property
    def state(self) -> str:
        """READY or UNAVAILABLE."""
        return "READY" if self.ready else "UNAVAILABLE"
