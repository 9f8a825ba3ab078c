"""Both images, built once for all tests of them."""

from __future__ import annotations

import pytest

from deploy import images


@pytest.fixture(scope="session")
def built() -> str:
    """What `make images` printed."""
    return images.built()
