"""What the pair shares, and what a pipeline or model author imports."""

from tandem.context import Context
from tandem.errors import InvalidInput
from tandem.inference import Arrays
from tandem.metadata import ModelMetadata, TensorSpec

__version__ = "0.1.0"
__all__ = ["Arrays", "Context", "InvalidInput", "ModelMetadata", "TensorSpec", "__version__"]
