"""A transformer whose preprocess says that it has started and waits until it is let through. Its gates are FIFOs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from tandem import Context
from tandem_transformer import Transformer

Arrays = dict[str, np.ndarray]


class Gated(Transformer):
    """Options: started and gate, two FIFOs. Requests without the parameter `wait` pass at once."""

    def setup(self, model: object, options: dict[str, str]) -> None:
        self.started, self.gate = Path(options["started"]), Path(options["gate"])

    def preprocess(self, inputs: Arrays, context: Context) -> Arrays:
        if context.parameters.get("wait"):
            with self.started.open("w") as file:
                file.write("x")
            with self.gate.open("rb", buffering=0) as file:
                file.read(1)
        return inputs


class Blocking(Gated):
    """The same on the event loop, which is the mistake."""

    async def preprocess(self, inputs: Arrays, context: Context) -> Arrays:  # type: ignore[override]
        return super().preprocess(inputs, context)
