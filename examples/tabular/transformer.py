"""The key of a sample in, its diagnosis out; the features of the sample are looked up on the way.

sample BYTES [N] -> store -> features FP32 [N,30] -> predictor -> probabilities FP32 [N,2] -> diagnosis, malignant
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path

import aiosqlite
import numpy as np
from tandem import Context, InvalidInput, ModelMetadata, TensorSpec
from tandem_transformer import Transformer

Arrays = dict[str, np.ndarray]
QUERY = "SELECT sample, features FROM samples WHERE sample IN (SELECT value FROM json_each(?))"


class Lookup(Transformer):
    """Options: store, the SQLite file that holds the features."""

    inputs = (TensorSpec("sample", "BYTES", (-1,)),)
    outputs = (TensorSpec("diagnosis", "BYTES", (-1,)), TensorSpec("malignant", "FP32", (-1,)))

    def setup(self, model: ModelMetadata, options: Mapping[str, str]) -> None:
        """Find the store; it is opened by the first request, on the event loop that it belongs to."""
        self._file = Path(options["store"])
        if not self._file.is_file():
            raise FileNotFoundError(f"there is no store at {self._file}; run examples/tabular/prepare.py")
        self._wanted = model.inputs[0]  # features [-1, 30]
        self._store: aiosqlite.Connection | None = None
        self._opening = asyncio.Lock()

    async def preprocess(self, inputs: Arrays, context: Context) -> Arrays:
        """The features of each sample. While the store is asked, the loop serves others."""
        samples = [key.decode(errors="replace") for key in inputs["sample"]]
        with context.timer("lookup"):
            features = await self._lookup(samples)
        for index, sample in enumerate(samples):
            if sample not in features:
                raise InvalidInput(f"input 'sample', element {index}: the store has no sample '{sample[:40]}'")
        rows = b"".join(features[sample] for sample in samples)
        return {self._wanted.name: np.frombuffer(rows, np.float32).reshape(-1, self._wanted.shape[1])}

    async def postprocess(self, outputs: Arrays, context: Context) -> Arrays:
        """The diagnosis, and the probability that it is the bad one."""
        malignant = outputs["probabilities"][:, 1]
        return {"diagnosis": np.where(malignant >= 0.5, b"malignant", b"benign"), "malignant": malignant}

    def close(self) -> None:
        """Let go of the store."""
        if self._store:
            self._store.stop()

    async def _lookup(self, samples: list[str]) -> dict[str, bytes]:
        """The features that the store has of `samples`, as raw FP32, by one query."""
        async with self._opening:
            if self._store is None:
                self._store = await aiosqlite.connect(f"{self._file.absolute().as_uri()}?mode=ro", uri=True)
        return dict(await self._store.execute_fetchall(QUERY, (json.dumps(samples),)))
