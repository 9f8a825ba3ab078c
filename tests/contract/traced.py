"""A transformer whose steps make spans of their own, and fail when told to."""

from __future__ import annotations

from opentelemetry import trace
from tandem import Context
from tandem.inference import Arrays
from tandem_transformer import Transformer

tracer = trace.get_tracer("an author's")


class Traced(Transformer):
    def preprocess(self, inputs: Arrays, context: Context) -> Arrays:
        with context.timer("lookup"), tracer.start_as_current_span("theirs, in a thread"):
            if context.parameters.get("fail"):
                raise ValueError("as I was told")
        return inputs

    async def postprocess(self, outputs: Arrays, context: Context) -> Arrays:
        with tracer.start_as_current_span("theirs, on the loop"):
            return outputs
