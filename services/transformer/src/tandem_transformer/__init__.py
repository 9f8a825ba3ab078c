"""The transformer: pre- and postprocessing in front of a predictor, over HTTP and gRPC."""

from tandem_transformer.items import Item, Result, each
from tandem_transformer.transformer import Transformer

__version__ = "0.1.0"
__all__ = ["Item", "Result", "Transformer", "__version__", "each"]
