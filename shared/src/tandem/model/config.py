"""A model's configuration and its entry in the repository index, by Triton's words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tandem.metadata import TensorSpec


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

    def dims(self, spec: TensorSpec) -> list[int]:
        """The dimensions that the configuration shows: without the batch's, and never none."""
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
