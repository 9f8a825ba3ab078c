"""axe-core finds nothing in any state of the page, light or dark, on a desktop or a phone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from harness import PHOTOS, ROOT, Pair, start_transformer
from ui.conftest import DESKTOP, PHONE, Open

pytestmark = pytest.mark.system

SCREENSHOTS = ROOT / ".cache" / "screenshots"


def violations(page: Any) -> list[str]:
    from axe_playwright_python.sync_playwright import Axe  # noqa: PLC0415 - comes with playwright

    found = Axe().run(page).response["violations"]
    return [f"{one['id']}: {node['html']}: {node['failureSummary']}" for one in found for node in one["nodes"]]


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_axe_finds_nothing(photos_pair: Pair, visit: Open, theme: str, size: dict[str, int]) -> None:
    seen = visit(photos_pair.transformer.url, viewport=size, color_scheme=theme)
    page = seen.page
    page.get_by_text("Choose photos").wait_for()
    assert violations(page) == []
    page.get_by_role("button", name="Send").click()  # nothing chosen: a complaint
    page.get_by_text("input-0: choose a file, or write a text").wait_for()
    assert violations(page) == []
    page.locator("input[type=file]").set_input_files(PHOTOS / "cat_chelsea.jpg")
    page.get_by_role("button", name="Send").click()
    page.locator(".labels li").first.wait_for()
    page.get_by_text("The answer as JSON").click()
    page.locator(".chart").nth(1).locator(".empty").wait_for(state="hidden", timeout=20_000)
    page.locator(".chart").first.get_by_text("As a table").click()
    assert violations(page) == []
    page.screenshot(path=SCREENSHOTS / f"{theme}-{size['width']}.png", full_page=True)  # for people to look at


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing_with_numbers_json_and_a_refusal(sums_pair: Pair, visit: Open, theme: str) -> None:
    page = visit(sums_pair.transformer.url, color_scheme=theme).page
    page.get_by_label("x FP32 [-1, 3]").wait_for()
    page.get_by_role("button", name="Send").click()
    page.get_by_role("region", name="Output sums").wait_for()
    assert violations(page) == []
    page.get_by_label("JSON", exact=True).check()
    page.get_by_label("The request as JSON").fill('{"inputs": []}')
    page.get_by_role("button", name="Send").click()
    page.get_by_role("alert").get_by_text("400").wait_for()
    assert violations(page) == []


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing_where_a_token_is_asked_for_and_the_predictor_is_away(
    tmp_path: Path, visit: Open, theme: str
) -> None:
    tokens = tmp_path / "tokens"
    tokens.write_text("token\n")
    transformer = start_transformer(1, "--enable_ui", f"--auth_token_file={tokens}", wait=False)
    try:
        page = visit(transformer.url, viewport=PHONE, color_scheme=theme).page
        page.get_by_label("Token").fill("wrong")
        page.get_by_role("button", name="Use it").click()
        page.get_by_text("The token is not one that is known here.").wait_for()
        page.get_by_text("The transformer says: not ready: ").wait_for()
        assert violations(page) == []
    finally:
        transformer.process.stop()
