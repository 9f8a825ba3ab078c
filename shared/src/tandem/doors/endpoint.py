"""What stands behind the doors: the predictor's models or the transformer's pipeline."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from tandem.inference import Call, InferRequest, InferResponse
from tandem.metadata import ModelMetadata
from tandem.model.config import ModelConfig, ModelIndex
from tandem.model.statistics import ModelStatistics


@dataclass(frozen=True, slots=True)
class ServerInfo:
    """How a server introduces itself."""

    name: str
    version: str
    extensions: Sequence[str]


class Endpoint(Protocol):
    """Inference and what there is to infer with. Every method raises NotFound for an unknown model or version."""

    @property
    def info(self) -> ServerInfo:
        """Name, version and extensions of the server."""
        ...

    def models(self) -> Sequence[str]:
        """The names of the models, which are also the only model labels of metrics."""
        ...

    def model_ready(self, name: str, version: str) -> bool:
        """Whether the model takes requests; an empty version means the newest."""
        ...

    async def metadata(self, name: str, version: str) -> ModelMetadata:
        """The model's versions and tensors; raises Unavailable while they are not known."""
        ...

    async def config(self, name: str, version: str) -> ModelConfig:
        """How the model is served."""
        ...

    def statistics(self, name: str, version: str) -> Sequence[ModelStatistics]:
        """The counts of a model's versions; of every model if `name` is empty."""
        ...

    def index(self) -> Sequence[ModelIndex]:
        """Every model version, ready or not."""
        ...

    async def load(self, name: str) -> None:
        """Load a model, again if it is loaded; raises Unavailable where models are not controlled from outside."""
        ...

    async def unload(self, name: str) -> None:
        """Unload a model; raises as `load` does."""
        ...

    async def infer(self, request: InferRequest, call: Call) -> InferResponse:
        """Answer `request` before `call.deadline`, adding phases to `call.timings`."""
        ...
