"""The page's arithmetic, run where it runs: in the browser."""

from __future__ import annotations

import math
from typing import Any

import pytest
from harness import Pair
from ui.conftest import Open

pytestmark = pytest.mark.system


@pytest.fixture
def page(sums_pair: Pair, visit: Open) -> Any:
    return visit(sums_pair.transformer.url).page


def test_quantiles_are_those_of_prometheus(page: Any) -> None:
    counts = [[0.001, 0], [0.01, 50], [0.1, 98], [1, 99], ["inf", 100]]
    script = """async ([shares, counts]) => {
        const { quantile } = await import("/ui/metrics.js");
        const finite = counts.map(([bound, count]) => [bound === "inf" ? Infinity : bound, count]);
        return shares.map((share) => quantile(share, finite));
    }"""
    got = page.evaluate(script, [[0.25, 0.5, 0.9, 0.99, 1], counts])
    assert got == pytest.approx([0.0055, 0.01, 0.085, 1, 1])
    assert page.evaluate(script, [[0.5], [[1, 0], ["inf", 0]]]) == [None]


def test_a_scrape_is_read_with_the_predictors_samples_kept_apart(page: Any) -> None:
    text = "\n".join([
        'tandem_requests_total{code="OK",container="transformer-container",model_name="a\\"b",protocol="http"} 3.0',
        'tandem_requests_total{code="INVALID_ARGUMENT",container="transformer-container"} 2.0',
        'tandem_requests_total{code="OK",container="kserve-container"} 100.0',
        'tandem_request_seconds_bucket{container="transformer-container",le="0.1",protocol="http"} 1.0',
        'tandem_request_seconds_bucket{container="transformer-container",le="0.1",protocol="grpc"} 2.0',
        'tandem_request_seconds_bucket{container="transformer-container",le="+Inf"} 5.0',
        'tandem_batch_rows_sum{container="kserve-container"} 12.0',
        'tandem_batch_rows_count{container="kserve-container"} 4.0',
        'tandem_predictor_channel_ready{container="transformer-container"} 1.0',
        'tandem_predictor_scrape_up{container="transformer-container"} 1.0',
        'tandem_ready{container="kserve-container"} 0.0',
    ])  # fmt: skip
    script = """async (text) => {
        const { snapshot, between } = await import("/ui/metrics.js");
        const [before, after] = [snapshot("", 10), snapshot(text, 12)];
        before.merged = true;
        return { after: { ...after, buckets: [...after.buckets.values()] }, point: between(before, after) };
    }"""
    found = page.evaluate(script, text)
    after, point = found["after"], found["point"]
    assert (after["requests"], after["failures"], after["buckets"]) == (5, 2, [3, 5])
    assert (after["channel"], after["merged"], after["predictorReady"]) == (True, True, False)
    assert (point["rate"], point["failures"], point["batch"]) == (2.5, 1, 3)


def test_a_restart_is_no_rate(page: Any) -> None:
    script = """async () => {
        const { snapshot, between } = await import("/ui/metrics.js");
        const line = (count) => `tandem_requests_total{code="OK"} ${count}`;
        return between(snapshot(line(9), 1), snapshot(line(1), 3));
    }"""
    assert page.evaluate(script) is None


@pytest.mark.parametrize(
    ("datatype", "shape", "text", "expected"),
    [
        ("FP32", [-1, 3], "[1,2,3,4,5,6]", [2, 3]),
        ("FP32", [], "1.5", []),
        ("FP32", [2, 2], "[[1,2],[3,4]]", [2, 2]),
        ("INT64", [-1], "[9007199254740993]", [1]),
        ("BOOL", [-1], "[true, false]", [2]),
        ("BYTES", [-1, 1], '[["a"], ["b"]]', [2, 1]),
        ("FP32", [-1, -1], "[[1, 2]]", [1, 2]),
        ("FP32", [-1, -1], "[1, 2]", "nest the array: [-1, -1] leaves 2 dimensions open"),
        ("UINT8", [-1], "[256]", "256 is not a UINT8"),
        ("INT8", [-1], "[1.5]", "1.5 is not an INT8"),
        ("BOOL", [-1], "[1]", "1 is neither true nor false"),
        ("FP32", [4], "[1, 2]", "the shape is [2], expected [4]"),
        ("FP32", [2, 2], "[1, 2]", "2 elements, expected 4 for shape [2, 2]"),
        ("FP32", [-1], "[null]", "null is not a number"),
    ],
)
def test_what_is_written_becomes_a_tensor(page: Any, datatype: str, shape: list[int], text: str, expected: Any) -> None:
    script = """async ([spec, text]) => {
        const { fromJson, Invalid } = await import("/ui/tensors.js");
        try {
            const tensor = fromJson(text, spec);
            return [tensor.shape, tensor.data];
        } catch (error) {
            return error instanceof Invalid ? error.message : String(error);
        }
    }"""
    got = page.evaluate(script, [{"name": "x", "datatype": datatype, "shape": shape}, text])
    if isinstance(expected, str):
        assert got == expected
    else:  # the numbers go as they were written: JavaScript's have 53 bits
        assert got == [expected, text if text.startswith("[") else f"[{text}]"]


def test_a_transformers_own_timers_lie_in_their_phase_and_count_once(page: Any) -> None:
    header = "decode;dur=1, lookup;dur=2, preprocess;dur=3, queue;dur=1, inference;dur=4, hop;dur=2, encode;dur=1"
    script = """async (header) => {
        const { layout, parse } = await import("/ui/waterfall.js");
        return layout(parse(header), 16);
    }"""
    rows = {row["name"]: row for row in page.evaluate(script, header)}
    starts = {name: row["start"] for name, row in rows.items()}
    expected = {"network": 0, "decode": 2, "preprocess": 3, "lookup": 3, "hop": 6, "queue": 7, "inference": 8}
    assert starts == {**expected, "encode": 13}
    assert (rows["network"]["span"], rows["network"]["ms"], rows["hop"]["span"], rows["hop"]["ms"]) == (16, 4, 7, 2)
    assert math.isclose(sum(row["ms"] for name, row in rows.items() if name != "lookup"), 16)


def test_whole_numbers_of_64_bits_are_shown_as_they_came(page: Any) -> None:
    script = """async (text) => {
        const { render } = await import("/ui/answer.js");
        return [...render(text, []).element.querySelectorAll("td")].map((cell) => cell.textContent);
    }"""
    text = '{"outputs":[{"name":"y","datatype":"INT64","shape":[3],"data":[9007199254740993,-9223372036854775808,7]}]}'
    assert page.evaluate(script, text) == ["9007199254740993", "-9223372036854775808", "7"]
