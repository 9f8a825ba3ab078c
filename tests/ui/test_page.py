"""What a person does with the page, in a real browser, against a real pair."""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from contract.client import ask, rest_request
from harness import PHOTOS, Pair, start_predictor, start_transformer
from ui.conftest import SUMS, Open, Visit
from ui.prefix import below_a_prefix

pytestmark = pytest.mark.system

CAT = PHOTOS / "cat_chelsea.jpg"
PHASES = ["network", "decode", "preprocess", "hop", "queue", "batch", "inference", "postprocess", "encode"]


def drop(page: Any, selector: str, file: Path) -> None:
    """Let go of a file over an element, as a file manager does."""
    box = page.locator(selector).bounding_box()
    where = {"x": box["x"] + box["width"] / 2, "y": box["y"] + box["height"] / 2}
    session = page.context.new_cdp_session(page)
    data = {"items": [], "files": [str(file)], "dragOperationsMask": 1}
    for kind in ("dragEnter", "dragOver", "drop"):
        session.send("Input.dispatchDragEvent", {"type": kind, **where, "data": data})


def classified(visit: Visit) -> None:
    visit.page.get_by_role("button", name="Send").click()
    visit.page.locator(".labels li").first.wait_for()


def wait_for_text(page: Any, selector: str, text: str, patience: float = 20) -> None:
    script = "([selector, text]) => document.querySelector(selector)?.textContent.includes(text)"
    page.wait_for_function(script, arg=[selector, text], timeout=patience * 1e3)


def wait_for_number(page: Any, chart: int, least: float) -> None:
    """Until the first of a chart's newest values, which may be none while a reading fails, is `least` or more."""
    script = """([chart, least]) =>
        parseFloat(document.querySelectorAll(".chart")[chart].querySelector(".now b").textContent) >= least"""
    page.wait_for_function(script, arg=[chart, least], timeout=20_000)


def test_a_dropped_photo_gets_its_label_and_shows_where_its_time_went(photos_pair: Pair, visit: Open) -> None:
    seen = visit(photos_pair.transformer.url)
    seen.page.get_by_text("Choose photos").wait_for()
    drop(seen.page, ".drop", CAT)
    seen.page.get_by_text("cat_chelsea.jpg").wait_for()
    classified(seen)
    assert seen.page.locator(".labels .label").all_inner_texts()[0] == "tiger cat"
    assert seen.page.locator(".labels li").count() == 5
    assert seen.page.get_by_alt_text("cat_chelsea.jpg").evaluate("image => image.naturalWidth") > 0
    rows = seen.page.locator(".waterfall tbody tr")
    assert [row.get_attribute("data-phase") for row in rows.all()] == PHASES
    for bar in seen.page.locator(".waterfall .track > div").all():
        assert bar.bounding_box()["width"] >= 2
    said = seen.page.locator("#said").inner_text()
    assert said.startswith("Answered in ")
    assert "tiger cat, " in said
    assert seen.refused == []


def test_the_bars_lie_one_after_another_and_within_the_time_that_was_measured(photos_pair: Pair, visit: Open) -> None:
    seen = visit(photos_pair.transformer.url)
    seen.page.locator("input[type=file]").set_input_files(CAT)
    classified(seen)
    boxes = {
        row.get_attribute("data-phase"): row.locator(".track > div").bounding_box()
        for row in seen.page.locator(".waterfall tbody tr").all()
    }
    ends = {name: (box["x"], box["x"] + box["width"]) for name, box in boxes.items()}
    for before, after in (("decode", "preprocess"), ("preprocess", "hop"), ("queue", "batch"), ("batch", "inference")):
        assert ends[before][1] <= ends[after][0] + 3, (before, after, ends)  # a bar is never thinner than 2 px
    for outer, inner in (("network", "decode"), ("network", "encode"), ("hop", "queue"), ("hop", "inference")):
        assert ends[outer][0] - 1 <= ends[inner][0], (outer, inner, ends)
        assert ends[inner][1] <= ends[outer][1] + 3, (outer, inner, ends)
    assert ends["postprocess"][0] >= ends["hop"][1] - 1


def test_several_photos_are_one_request_and_each_has_its_labels_beside_it(photos_pair: Pair, visit: Open) -> None:
    seen = visit(photos_pair.transformer.url)
    seen.page.locator("input[type=file]").set_input_files([CAT, PHOTOS / "coffee.jpg"])
    seen.page.get_by_role("button", name="Send").click()
    seen.page.locator("figure.photo").nth(1).wait_for()
    firsts = [figure.locator(".label").first.inner_text() for figure in seen.page.locator("figure.photo").all()]
    assert firsts == ["tiger cat", "espresso"]


@pytest.mark.parametrize("kind", ["photo", "json"])
def test_the_copied_command_asks_the_same(kind: str, photos_pair: Pair, sums_pair: Pair, visit: Open) -> None:
    pair = photos_pair if kind == "photo" else sums_pair
    seen = visit(pair.transformer.url, permissions=["clipboard-read", "clipboard-write"])
    if kind == "photo":
        seen.page.locator("input[type=file]").set_input_files(CAT)
    else:
        seen.page.get_by_label("x FP32 [-1, 3]").fill("[1, 2, 3, 4, 5, 6]")
    seen.page.get_by_role("button", name="Copy as curl").click()
    seen.page.get_by_text("Copied.").wait_for()
    command = seen.page.evaluate("navigator.clipboard.readText()")
    done = subprocess.run(["sh", "-c", command], cwd=PHOTOS, capture_output=True, text=True, timeout=60, check=False)
    assert ('"tiger cat"' if kind == "photo" else '"data":[6.0,15.0]') in done.stdout, (command, done)
    assert "server-timing: " in done.stderr.lower()


def test_a_model_of_numbers_has_a_form_made_of_its_metadata(sums_pair: Pair, visit: Open) -> None:
    seen = visit(sums_pair.transformer.url)
    field = seen.page.get_by_label("x FP32 [-1, 3]")
    assert field.input_value() == "[[0, 0, 0]]"
    field.fill("[[1, 2, 3], [4, 5, 6]]")
    seen.page.get_by_text("now [2, 3]").wait_for()
    seen.page.get_by_role("button", name="Send").click()
    seen.page.get_by_role("region", name="Output sums").wait_for()
    assert seen.page.locator(".values td").all_inner_texts() == ["6", "15"]
    assert [row.get_attribute("data-phase") for row in seen.page.locator(".waterfall tbody tr").all()] == [
        *("network", "decode", "hop", "queue", "batch", "inference", "encode")
    ]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "x: is empty; expected a JSON array, such as [[0, 0, 0]]"),
        ("1, 2", "x: is not JSON; expected an array, such as [[0, 0, 0]]"),
        ('[["a", 2, 3]]', 'x: "a" is not a number'),
        ("[[1, 2, 3], [4]]", "x: the rows differ in length"),
        ("[1, 2, 3, 4]", "x: 4 elements, expected a multiple of 3 for shape [-1, 3]"),
        ("[[1, 2]]", "x: the shape is [1, 2], expected [-1, 3]"),
        ("[[[1, 2, 3]]]", "x: the array is nested 3 deep, expected 2, as in [-1, 3]"),
    ],
)
def test_what_cannot_be_right_is_told_at_its_field_and_not_sent(
    sums_pair: Pair, visit: Open, text: str, complaint: str
) -> None:
    seen = visit(sums_pair.transformer.url)
    field = seen.page.get_by_label("x FP32 [-1, 3]")
    field.fill(text)
    seen.page.get_by_role("button", name="Send").click()
    seen.page.get_by_text(complaint, exact=True).wait_for()
    assert field.get_attribute("aria-invalid") == "true"
    assert field.evaluate("field => field === document.activeElement")
    assert seen.page.locator("#answer").inner_text().startswith("What the pair answers")


def test_a_refusal_is_shown_in_the_servers_words(photos_pair: Pair, visit: Open) -> None:
    seen = visit(photos_pair.transformer.url)
    seen.page.get_by_text("Write text instead").click()
    seen.page.get_by_label("or its base64 text").fill("no image")
    seen.page.get_by_role("button", name="Send").click()
    alert = seen.page.get_by_role("alert").locator("visible=true")
    alert.wait_for()
    words = ask(
        photos_pair.infer_url,
        "POST",
        rest_request([b""])
        | {"inputs": [{"name": "input-0", "shape": [1], "datatype": "BYTES", "data": ["no image"]}]},
    )
    assert alert.inner_text().splitlines() == ["400: the request is not right", "", words.json["error"]]
    assert seen.refused == [400]


def test_json_begins_as_the_form_and_is_sent_as_it_is_written(sums_pair: Pair, visit: Open) -> None:
    seen = visit(sums_pair.transformer.url)
    seen.page.get_by_label("x FP32 [-1, 3]").fill("[[1, 1, 1]]")
    seen.page.get_by_label("JSON", exact=True).check()
    box = seen.page.get_by_label("The request as JSON")
    assert box.input_value() == '{"inputs":[{"name":"x","datatype":"FP32","shape":[1,3],"data":[[1, 1, 1]]}]}'
    box.fill('{"inputs": [')
    seen.page.get_by_role("button", name="Send").click()
    seen.page.get_by_text("The request: not JSON: ").wait_for()
    box.fill('{"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 3], "data": [0.5, 1, 2]}]}')
    box.press("Control+Enter")
    seen.page.get_by_role("region", name="Output sums").wait_for()
    assert seen.page.locator(".values td").all_inner_texts() == ["3.5"]


def test_without_a_mouse_everything_can_be_done(photos_pair: Pair, visit: Open) -> None:
    seen = visit(photos_pair.transformer.url)
    seen.page.get_by_text("Choose photos").wait_for()
    keys, reached = seen.page.keyboard, []
    for _ in range(12):
        keys.press("Tab")
        script = "(e => e.id || e.type || e.name || e.textContent.trim())(document.activeElement)"
        reached.append(seen.page.evaluate(script))
        ring = seen.page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        zone = seen.page.evaluate("getComputedStyle(document.activeElement.parentElement).outlineStyle")
        span = seen.page.evaluate(
            "getComputedStyle(document.activeElement.nextElementSibling ?? document.body).outlineStyle"
        )
        assert "solid" in (ring, zone, span), reached
        if seen.page.evaluate("document.activeElement.type") == "file":
            with seen.page.expect_file_chooser() as chooser:
                keys.press("Space")
            chooser.value.set_files(CAT)
        if reached[-1] == "send":
            break
    assert reached[:3] == ["", "theme", "radio"] or reached[:3] == ["Skip to the request", "theme", "radio"]
    assert reached[-1] == "send"
    keys.press("Enter")
    seen.page.locator(".labels li").first.wait_for()
    assert seen.page.locator(".labels .label").all_inner_texts()[0] == "tiger cat"


def test_the_theme_is_the_systems_until_another_is_chosen_which_is_remembered(sums_pair: Pair, visit: Open) -> None:
    seen = visit(sums_pair.transformer.url, color_scheme="dark")
    shade = "getComputedStyle(document.body).backgroundColor"
    dark = seen.page.evaluate(shade)
    button = seen.page.locator("#theme")
    assert button.inner_text() == "Theme: system"
    button.click()
    assert button.inner_text() == "Theme: light"
    light = seen.page.evaluate(shade)
    assert light != dark
    seen.page.reload()
    assert (button.inner_text(), seen.page.evaluate(shade)) == ("Theme: light", light)
    button.click()
    assert (button.inner_text(), seen.page.evaluate(shade)) == ("Theme: dark", dark)


@pytest.mark.parametrize("width", [320, 390, 768, 1280])
def test_nothing_has_to_be_scrolled_sideways(photos_pair: Pair, visit: Open, width: int) -> None:
    seen = visit(photos_pair.transformer.url, viewport={"width": width, "height": 800})
    seen.page.locator("input[type=file]").set_input_files(CAT)
    classified(seen)
    assert seen.page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.fixture
def load(sums_pair: Pair) -> Iterator[None]:
    """Four callers at a time, until the test ends."""
    body = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 3], "data": [1, 2, 3]}]}
    stop = threading.Event()

    def call() -> None:
        while not stop.wait(0.01):
            assert ask(sums_pair.infer_url, "POST", body).status == 200

    with ThreadPoolExecutor(4) as pool:
        callers = [pool.submit(call) for _ in range(4)]
        yield
        stop.set()
    for caller in callers:
        caller.result()


def test_the_charts_move_under_load_and_say_so_in_words(sums_pair: Pair, visit: Open, load: None) -> None:
    seen = visit(sums_pair.transformer.url)
    rate, latency, batch = (seen.page.locator(".chart").nth(index) for index in range(3))
    for chart in (rate, latency, batch):
        chart.locator(".empty").wait_for(state="hidden", timeout=20_000)
    first = rate.locator("path.line-0").get_attribute("d")
    seen.page.wait_for_function(
        "first => document.querySelector('path.line-0').getAttribute('d') !== first", arg=first, timeout=20_000
    )
    assert rate.get_by_role("img").get_attribute("aria-labelledby")
    wait_for_number(seen.page, 0, 10)
    assert "Now: p50 " in latency.locator("desc").text_content()
    wait_for_number(seen.page, 2, 1)
    rate.get_by_text("As a table").click()
    rate.locator("tbody tr").nth(1).wait_for()


def test_a_predictor_that_dies_is_told_and_so_is_its_return(visit: Open) -> None:
    predictor = start_predictor(*SUMS)
    transformer = start_transformer(predictor.grpc_port, "--model_name=sums", "--transformer=identity", "--enable_ui")
    try:
        seen = visit(transformer.url)
        wait_for_text(seen.page, "#health-predictor", "Predictor ready")
        predictor.process.kill()
        wait_for_text(seen.page, "#health-predictor", "no answer")
        wait_for_text(seen.page, "#health-transformer", "not ready")
        wait_for_text(seen.page, "#reason", "The transformer says: not ready: ")
        assert "not ready" in seen.page.locator("#said").inner_text()
        seen.page.get_by_role("button", name="Send").click()
        seen.page.get_by_text("503: not ready").wait_for()
        predictor = start_predictor(*SUMS, grpc_port=predictor.grpc_port)
        wait_for_text(seen.page, "#health-predictor", "Predictor ready")
        wait_for_text(seen.page, "#said", "The pair is ready again.")
        seen.page.get_by_role("button", name="Send").click()
        seen.page.get_by_role("region", name="Output sums").wait_for()
    finally:
        transformer.process.stop()
        predictor.process.stop()


def test_a_pair_that_starts_after_the_page_gets_its_form(visit: Open) -> None:
    predictor = start_predictor(*SUMS)
    predictor.process.stop()
    flags = ("--model_name=sums", "--transformer=identity", "--enable_ui")
    transformer = start_transformer(predictor.grpc_port, *flags, wait=False)
    try:
        seen = visit(transformer.url)
        seen.page.get_by_text("The form appears as soon as the predictor is ready.").wait_for()
        wait_for_text(seen.page, ".chart:last-child .empty", "start the transformer with --merge_predictor_metrics")
        predictor = start_predictor(*SUMS, grpc_port=predictor.grpc_port)
        seen.page.get_by_label("x FP32 [-1, 3]").wait_for(timeout=20_000)
    finally:
        transformer.process.stop()
        predictor.process.stop()


def test_a_page_whose_transformer_has_gone_says_so(visit: Open) -> None:
    predictor = start_predictor(*SUMS)
    transformer = start_transformer(predictor.grpc_port, "--model_name=sums", "--transformer=identity", "--enable_ui")
    try:
        seen = visit(transformer.url)
        wait_for_text(seen.page, "#health-transformer", "Transformer ready")
        transformer.process.stop()
        wait_for_text(seen.page, "#health-transformer", "no answer")
        wait_for_text(seen.page, "#health-predictor", "not known")
        seen.page.get_by_role("button", name="Send").click()
        seen.page.get_by_role("alert").get_by_text("The transformer does not answer").wait_for()
    finally:
        transformer.process.stop()
        predictor.process.stop()


def test_where_a_token_is_needed_the_page_asks_for_it_and_forgets_it(tmp_path: Path, visit: Open) -> None:
    tokens = tmp_path / "tokens"
    tokens.write_text("open-sesame\n")
    predictor = start_predictor(*SUMS)
    flags = ("--model_name=sums", "--transformer=identity", "--enable_ui", f"--auth_token_file={tokens}")
    transformer = start_transformer(predictor.grpc_port, *flags)
    try:
        seen = visit(transformer.url, permissions=["clipboard-read", "clipboard-write"])
        field = seen.page.get_by_label("Token")
        field.fill("wrong")
        seen.page.get_by_role("button", name="Use it").click()
        seen.page.get_by_text("The token is not one that is known here.").wait_for()
        field.fill("open-sesame")
        seen.page.get_by_role("button", name="Use it").click()
        seen.page.get_by_label("x FP32 [-1, 3]").wait_for()
        assert field.is_hidden()
        seen.page.get_by_role("button", name="Send").click()
        seen.page.get_by_role("region", name="Output sums").wait_for()
        seen.page.get_by_role("button", name="Copy as curl").click()
        seen.page.get_by_text("Copied.").wait_for()
        command = seen.page.evaluate("navigator.clipboard.readText()")
        assert "open-sesame" not in command
        environment = {**os.environ, "TOKEN": "open-sesame"}
        assert '"data":[0.0]' in subprocess.check_output(["sh", "-c", command], text=True, env=environment)
        kept = seen.page.evaluate("JSON.stringify({ ...localStorage, ...sessionStorage }) + document.cookie")
        assert "open-sesame" not in kept
        seen.page.reload()
        seen.page.get_by_label("Token").wait_for()
    finally:
        transformer.process.stop()
        predictor.process.stop()


def test_behind_a_path_prefix_everything_is_found(photos_pair: Pair, visit: Open) -> None:
    with below_a_prefix(photos_pair.transformer.url) as url:
        seen = visit(url)
        seen.page.locator("input[type=file]").set_input_files(CAT)
        classified(seen)
        wait_for_text(seen.page, "#health-predictor", "Predictor ready")
        assert seen.refused == []
        seen.page.close()


def test_a_page_that_nobody_sees_asks_for_nothing(sums_pair: Pair, visit: Open) -> None:
    script = """
        Object.defineProperty(document, "hidden", { get: () => !window.seen });
        const real = window.setTimeout.bind(window);
        window.setTimeout = (call, delay) => real(call, delay / 100); // two seconds are twenty milliseconds
    """
    seen = visit(sums_pair.transformer.url, script)
    ten_polls = "new Promise((resolve) => setTimeout(resolve, 20_000))"
    metrics = f"{sums_pair.transformer.url}/metrics"
    seen.page.evaluate(ten_polls)
    assert metrics not in seen.asked
    appear = 'window.seen = true, document.dispatchEvent(new Event("visibilitychange"))'
    seen.page.evaluate(appear)
    wait_for_text(seen.page, "#health-predictor", "Predictor ready")
    assert metrics in seen.asked
    seen.page.evaluate("window.seen = false")
    seen.page.evaluate(ten_polls)  # the one that was on its way comes to its end
    before = seen.asked.count(metrics)
    seen.page.evaluate(ten_polls)
    assert seen.asked.count(metrics) == before
