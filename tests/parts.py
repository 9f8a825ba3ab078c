"""What some tests need from outside: without it they skip with a reason, or fail where it must be there."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from harness import SHARED


def require(program: str) -> str:
    """The path of `program`; without it the test is skipped, or failed if TANDEM_REQUIRE=all."""
    return shutil.which(program) or missing(f"{program} is not installed")


def shared(name: str) -> Path:
    """A file of the folder shared/ beside the checkout; without it as above."""
    file = SHARED / name
    return file if file.exists() else Path(missing(f"there is no ../shared/{name} beside the checkout"))


def missing(reason: str) -> str:
    """Skip, or fail if TANDEM_REQUIRE=all."""
    if os.environ.get("TANDEM_REQUIRE") == "all":
        pytest.fail(f"{reason}, and TANDEM_REQUIRE=all says that it must be")
    pytest.skip(reason)
