"""The key of a sample in, its diagnosis out; the features of the sample are looked up on the way.

sample BYTES [N] -> store -> features FP32 [N,30] -> predictor -> probabilities FP32 [N,2] -> diagnosis, malignant
"""

from __future__ import annotations

import json
from collections.abc import Mapping

import aiosqlite
import numpy as np
from tandem import Arrays, Context, InvalidInput, ModelMetadata, TensorSpec
from tandem_transformer import Transformer

QUERY = "SELECT sample, features FROM samples WHERE sample IN (SELECT value FROM json_each(?))"


class Lookup(Transformer):
    """Options: store, the SQLite file that holds the features."""

    inputs = (TensorSpec("sample", "BYTES", (-1,)),)
    outputs = (TensorSpec("diagnosis", "BYTES", (-1,)), TensorSpec("malignant", "FP32", (-1,)))

    async def setup(self, model: ModelMetadata, options: Mapping[str, str]) -> None:
        """Open the store."""
        self._wanted = model.inputs[0]  # features [-1, 30]
        self._store = await aiosqlite.connect(f"file:{options['store']}?mode=ro", uri=True)

    async def preprocess(self, inputs: Arrays, context: Context) -> Arrays:
        """The features of each sample. While the store is asked, the loop serves others."""
        samples = [key.decode(errors="replace") for key in inputs["sample"]]
        with context.timer("lookup"):
            features = dict(await self._store.execute_fetchall(QUERY, (json.dumps(samples),)))  # as raw FP32
        for index, sample in enumerate(samples):
            if sample not in features:
                raise InvalidInput(f"input 'sample', element {index}: the store has no sample '{sample[:40]}'")
        rows = b"".join(features[sample] for sample in samples)
        return {self._wanted.name: np.frombuffer(rows, np.float32).reshape(-1, self._wanted.shape[1])}

    async def postprocess(self, outputs: Arrays, context: Context) -> Arrays:
        """The diagnosis, and the probability that it is the bad one."""
        malignant = outputs["probabilities"][:, 1]
        return {"diagnosis": np.where(malignant >= 0.5, b"malignant", b"benign"), "malignant": malignant}

    async def close(self) -> None:
        """Let go of the store."""
        await self._store.close()
