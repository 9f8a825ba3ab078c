"""A fixture for the tests of what the ledger does."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tandem.doors import ledger


@pytest.fixture(scope="module")
def without_a_loop() -> Iterator[None]:
    """Where there need be no event loop, calls belong to no task, and are counted at once when they end."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ledger, "afterwards", lambda count, *args: count(*args))
        patch.setattr(ledger, "current_task", lambda: None)
        yield
