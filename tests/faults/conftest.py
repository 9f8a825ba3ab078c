"""The pair that the hostile inputs are for."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from faults.hostile import MOST, Ask, digits_asks
from harness import DIGITS, Pair, running_pair


@pytest.fixture(scope="session")
def guarded() -> Iterator[Pair]:
    """The small model behind the identity, with messages of some megabytes and 3 seconds for a request."""
    shared = (f"--max_message_bytes={MOST}", "--enable_latency_logging=false")
    predictor = (f"--model_dir={DIGITS}", "--request_timeout_seconds=3", *shared)
    transformer = ("--transformer=identity", "--predictor_request_timeout_seconds=3", *shared)
    with running_pair("digits", predictor, transformer) as running:
        yield running


@pytest.fixture(scope="session")
def asks(guarded: Pair) -> Iterator[list[Ask]]:
    """The bystander's questions to the guarded pair."""
    with digits_asks(guarded) as made:
        for question in made * 20:  # what is made once only is made before anything is weighed
            assert question()
        yield made
