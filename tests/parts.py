"""The system packages that some tests need: a missing one skips them with a reason, or fails where it must be there."""

from __future__ import annotations

import os
import shutil

import pytest


def require(program: str) -> str:
    """The path of `program`; without it the test is skipped, or failed if TANDEM_REQUIRE=all."""
    if found := shutil.which(program):
        return found
    if os.environ.get("TANDEM_REQUIRE") == "all":
        pytest.fail(f"{program} is not installed, and TANDEM_REQUIRE=all says that it must be")
    pytest.skip(f"{program} is not installed")
