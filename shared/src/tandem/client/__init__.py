"""A small client of the Open Inference Protocol v2: sync and async, HTTP and gRPC, NumPy in and out.

`Client` and `AsyncClient` have the same methods. Each failure is a TandemError, one class a status.
"""

from tandem.client.async_client import AsyncClient
from tandem.client.result import Document, InferResult, ServerMetadata
from tandem.client.settings import Tls
from tandem.client.sync_client import Client
from tandem.errors import TandemError
from tandem.metadata import ModelMetadata, TensorSpec
from tandem.model.config import ModelIndex

__all__ = [
    "AsyncClient",
    "Client",
    "Document",
    "InferResult",
    "ModelIndex",
    "ModelMetadata",
    "ServerMetadata",
    "TandemError",
    "TensorSpec",
    "Tls",
]
