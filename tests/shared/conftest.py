"""A fixture for the tests of what the ledger does."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tandem.doors import ledger


@pytest.fixture(scope="module")
def counted_at_once() -> Iterator[None]:
    """What is counted once the answer has gone out is counted at once, where there need be no event loop."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ledger, "afterwards", lambda count, *args: count(*args))
        yield
