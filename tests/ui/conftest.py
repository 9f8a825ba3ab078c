"""A real Chromium that looks at the page of a real pair, and what the page must never do."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import pytest
from harness import DEFAULT_MODEL, ROOT, Pair, start_predictor, start_transformer
from parts import missing, require

DESKTOP, PHONE = {"width": 1280, "height": 800}, {"width": 390, "height": 844}
SUMS = ("--model_name=sums", f"--model_dir={ROOT / 'examples' / 'row-sums'}", "--allow_python_models")


class Visit:
    """A page that was opened, and what went on behind it."""

    def __init__(self, page: Any, url: str) -> None:
        self.page, self.url = page, url
        self.errors: list[str] = []  # of the console: scripts that failed, violations of the policy
        self.asked: list[str] = []
        self.foreign: list[str] = []
        self.refused: list[int] = []
        page.on("console", self._said)
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("request", self._asked)
        page.on("response", lambda reply: self.refused.append(reply.status) if reply.status >= 400 else None)
        page.goto(f"{url}/")

    def _said(self, message: Any) -> None:
        expected = message.text.startswith("Failed to load resource")  # a status, which the test looks at itself
        if message.type in ("error", "warning") and not expected:
            self.errors.append(message.text)

    def _asked(self, request: Any) -> None:
        self.asked.append(request.url)
        if urlsplit(request.url.removeprefix("blob:")).netloc != urlsplit(self.url).netloc:
            self.foreign.append(request.url)


Open = Callable[..., Visit]


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    program = require("chromium")
    try:
        from playwright.sync_api import sync_playwright  # noqa: PLC0415 - only `make test-system` installs it
    except ImportError:
        missing("playwright is not installed; `make .venv/system` installs it")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program)
        yield browser
        browser.close()


@pytest.fixture
def visit(chromium: Any) -> Iterator[Open]:
    """Open the page at a URL, `script` run before its own; its console stays clean and it asks nobody else."""
    visits, contexts = [], []

    def go(url: str, script: str = "", **options: Any) -> Visit:
        context = chromium.new_context(**{"viewport": DESKTOP, "reduced_motion": "reduce", **options})
        context.add_init_script(script)
        contexts.append(context)
        visits.append(Visit(context.new_page(), url))
        return visits[-1]

    yield go
    for context in contexts:
        context.close()
    assert [(one.errors, one.foreign) for one in visits] == [([], [])] * len(visits)


@contextmanager
def serving(model: str, predictor_flags: tuple[str, ...], *flags: str) -> Iterator[Pair]:
    """A pair with the page, whose transformer shows the predictor's metrics too."""
    predictor = start_predictor(*predictor_flags)
    try:
        merging = ("--merge_predictor_metrics", f"--predictor_metrics_url={predictor.url}/metrics")
        transformer = start_transformer(predictor.grpc_port, f"--model_name={model}", "--enable_ui", *merging, *flags)
        try:
            yield Pair(transformer, predictor, model)
        finally:
            transformer.process.stop()
    finally:
        predictor.process.stop()


@pytest.fixture(scope="module")
def photos_pair() -> Iterator[Pair]:
    with serving("custom-model", ("--model_name=custom-model", f"--model_dir={DEFAULT_MODEL}")) as pair:
        yield pair


@pytest.fixture(scope="module")
def sums_pair() -> Iterator[Pair]:
    with serving("sums", SUMS, "--transformer=identity") as pair:
        yield pair
