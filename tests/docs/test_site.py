"""`make docs`: a warning of Sphinx, such as a link that leads nowhere, is a failure."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from harness import ROOT
from tandem import settings
from tandem_predictor.settings import Settings

pytestmark = pytest.mark.system


@pytest.fixture(scope="module")
def site() -> Path:
    done = subprocess.run(
        ["make", "--silent", "docs"], cwd=ROOT, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    return ROOT / "build" / "site"


def test_every_page_is_in_the_site(site: Path) -> None:
    pages = [page.relative_to(ROOT / "docs") for page in (ROOT / "docs").rglob("*.md")]
    assert len(pages) > 10
    assert not [page for page in pages if not (site / page).with_suffix(".html").exists()]


def test_every_flag_is_in_the_reference(site: Path) -> None:
    shown = (site / "flags.html").read_text()
    assert not [name for name in settings.flags(Settings) if f">--{name}<" not in shown]
