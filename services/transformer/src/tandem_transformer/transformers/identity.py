"""No pre- or postprocessing: the transformer as a gateway."""

from __future__ import annotations

from tandem_transformer.transformer import Transformer


class Identity(Transformer):
    """Everything as it came."""
