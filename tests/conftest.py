"""Fixtures for every test: the pairs that many of them share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from harness import DEFAULT_MODEL, Pair, running_pair


@pytest.fixture(scope="session")
def pair() -> Iterator[Pair]:
    """The default model behind the image transformer, as `make run` starts it."""
    with running_pair("custom-model", (f"--model_dir={DEFAULT_MODEL}",)) as running:
        yield running
