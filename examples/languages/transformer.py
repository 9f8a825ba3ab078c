"""Texts in, their languages out: a tokenizer before the model, labels after it.

text BYTES [N] -> tokens -> input_ids, attention_mask INT64 [N,T] -> predictor -> probabilities [N,L] -> language
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from tandem import Arrays, Context, InvalidInput, ModelMetadata, TensorSpec
from tandem_transformer import Transformer
from tokenizers import Tokenizer

LONGEST = 512  # tokens that are looked at
STEP = 16  # T is a multiple of it, so that requests of about the same length share a batch


class Languages(Transformer):
    """Options: folder, that of tokenizer.json and labels.txt."""

    inputs = (TensorSpec("text", "BYTES", (-1,)),)
    outputs = (TensorSpec("language", "BYTES", (-1,)), TensorSpec("probability", "FP32", (-1,)))

    def setup(self, model: ModelMetadata, options: Mapping[str, str]) -> None:
        """Read the tokenizer and the labels."""
        folder = Path(options["folder"])
        self._labels = np.array(folder.joinpath("labels.txt").read_text().splitlines())
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.enable_truncation(LONGEST)
        self._tokenizer.enable_padding(pad_to_multiple_of=STEP)

    def preprocess(self, inputs: Arrays, context: Context) -> Arrays:
        """Every text as a row of tokens, as long as the longest; the mask is 0 where there is no token."""
        texts = [decoded(index, element) for index, element in enumerate(inputs["text"])]
        if not texts:
            raise InvalidInput("input 'text': there is no text")
        encodings = self._tokenizer.encode_batch(texts)
        return {
            "input_ids": np.array([encoding.ids for encoding in encodings], np.int64),
            "attention_mask": np.array([encoding.attention_mask for encoding in encodings], np.int64),
        }

    async def postprocess(self, outputs: Arrays, context: Context) -> Arrays:
        """The likeliest language of each text."""
        probabilities = outputs["probabilities"]
        return {"language": self._labels[probabilities.argmax(axis=1)], "probability": probabilities.max(axis=1)}


def decoded(index: int, element: bytes) -> str:
    """The text of one element; raises InvalidInput if there is none."""
    try:
        text = element.decode()
    except UnicodeDecodeError:
        raise InvalidInput(f"input 'text', element {index}: it is not UTF-8") from None
    if not text.strip():
        raise InvalidInput(f"input 'text', element {index}: it is empty")
    return text
