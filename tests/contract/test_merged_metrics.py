"""--merge_predictor_metrics: one scrape shows both services, told apart by the label `container`."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

import pytest
from contract.client import ask
from harness import DIGITS, Pair, metric, start_predictor, start_transformer
from parts import require
from prometheus_client.parser import text_string_to_metric_families

OURS, THEIRS = "transformer-container", "kserve-container"


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    predictor = start_predictor(f"--model_dir={DIGITS}", "--model_name=digits")
    flags = ("--merge_predictor_metrics", f"--predictor_metrics_url={predictor.url}/metrics")
    transformer = start_transformer(predictor.grpc_port, "--model_name=digits", "--transformer=identity", *flags)
    try:
        tensor = {"name": "image", "shape": [1, 8, 8], "datatype": "FP32", "data": [0.0] * 64}
        for _ in range(3):
            assert ask(f"{transformer.url}/v2/models/digits/infer", "POST", {"inputs": [tensor]}).status == 200
        yield Pair(transformer, predictor, "digits")
    finally:
        transformer.process.stop()
        predictor.process.stop()


def scrape(pair: Pair) -> str:
    reply = ask(f"{pair.transformer.url}/metrics")
    assert (reply.status, reply.headers["content-type"]) == (200, "text/plain; version=0.0.4; charset=utf-8")
    return reply.body.decode()


def test_one_scrape_shows_both_and_whose_each_sample_is(pair: Pair) -> None:
    shown = scrape(pair)
    for container in (OURS, THEIRS):
        assert metric(shown, "tandem_requests_total", container=container, model_name="digits", code="OK") == 3
        assert metric(shown, "tandem_ready", container=container) == 1
    assert metric(shown, "tandem_batch_rows_count", container=THEIRS) == 3
    assert metric(shown, "tandem_hop_total", container=OURS) == 3
    assert metric(shown, "tandem_predictor_scrape_up", container=OURS) == 1


def test_each_value_is_the_one_that_its_service_shows_and_each_name_stands_once(pair: Pair) -> None:
    shown = scrape(pair)
    names = [line.split()[2] for line in shown.splitlines() if line.startswith("# TYPE")]
    assert len(names) == len(set(names))
    merged = {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(shown)
        for sample in family.samples
    }
    theirs = ask(f"{pair.predictor.url}/metrics").body.decode()
    for family in text_string_to_metric_families(theirs):
        for sample in family.samples:
            labels = {**sample.labels, "container": THEIRS}
            assert merged[sample.name, *sorted(labels.items())] == sample.value


@pytest.mark.system
def test_promtool_has_nothing_to_say(pair: Pair) -> None:
    command = [require("promtool"), "check", "metrics"]
    done = subprocess.run(command, input=scrape(pair).encode(), capture_output=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_without_the_predictor_the_transformers_own_stay(pair: Pair) -> None:
    pair.predictor.process.kill()
    shown = scrape(pair)
    assert metric(shown, "tandem_requests_total", container=OURS, code="OK") == 3
    assert metric(shown, "tandem_predictor_scrape_up", container=OURS) == 0
    assert THEIRS not in shown
    pair.transformer.process.entry("the predictor's metrics cannot be had")
    scrape(pair)
    told = [line for line in pair.transformer.process.lines if "metrics cannot be had" in line]
    assert len(told) == 1
