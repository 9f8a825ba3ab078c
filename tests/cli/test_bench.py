"""`tandem bench` on a real pair: what it counts is what was served."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from contract.client import ask
from harness import DIGITS, PHOTOS, Pair, Process, metric, running_pair
from tandem_cli.bench.recorder import Histogram, Recorder

BENCH = (sys.executable, "-m", "tandem_cli", "bench")


@pytest.fixture(scope="module")
def digits() -> Iterator[Pair]:
    with running_pair("digits", (f"--model_dir={DIGITS}",), ("--transformer=identity",)) as pair:
        yield pair


def bench(url: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    quick = ("--duration=0.5", "--warm_up=0.1")
    command = [*BENCH, f"--url={url}", *quick, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def figures(url: str, file: Path, *arguments: str) -> tuple[list[dict[str, Any]], str]:
    done = bench(url, f"--json={file}", *arguments)
    assert done.returncode == 0, done.stderr
    return json.loads(file.read_text()), done.stdout


def served(pair: Pair, protocol: str) -> float:
    exposition = ask(f"{pair.transformer.url}/metrics").body.decode()
    return metric(exposition, "tandem_requests_total", protocol=protocol, code="OK")


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_what_it_counts_the_pair_has_served(digits: Pair, protocol: str, tmp_path: Path) -> None:
    url = digits.transformer.url if protocol == "http" else f"grpc://{digits.transformer.target}"
    ask(digits.infer_url, "POST", {})  # so that there is a metric
    figures(url, tmp_path / "first.json", "--model_name=digits", "--concurrency=2")
    before = served(digits, protocol)
    levels, printed = figures(url, tmp_path / "b.json", "--model_name=digits", "--concurrency=1,4", "--batch=3")
    assert [level["concurrency"] for level in levels] == [1, 4]
    assert all(set(level["outcomes"]) == {"ok"} and level["rps"] > 0 for level in levels)
    assert all(level["phases_seconds"]["inference"] > 0 for level in levels)
    assert served(digits, protocol) - before >= sum(level["outcomes"]["ok"] for level in levels)
    for word in ("callers", "req/s", "p99", "inference", "█"):
        assert word in printed


def test_arrivals_come_at_their_rate_and_no_faster(digits: Pair, tmp_path: Path) -> None:
    arguments = ("--model_name=digits", "--rate=40", "--arrivals=constant")
    ((level),), _ = figures(digits.transformer.url, tmp_path / "b.json", *arguments)
    assert level["rate"] == 40
    assert 1 <= sum(level["outcomes"].values()) <= 21


def test_files_are_sent_and_what_is_refused_is_no_failure(tmp_path: Path, pair: Pair) -> None:
    flags = ("--max_in_flight=1",)
    with running_pair("digits", (f"--model_dir={DIGITS}",), ("--transformer=identity", *flags)) as narrow:
        arguments = ("--model_name=digits", "--concurrency=16", "--shape=image:1,8,8")
        (level,), printed = figures(narrow.transformer.url, tmp_path / "b.json", *arguments)
    assert level["outcomes"]["429"] > 0
    assert "failed:" not in printed
    (level,), _ = figures(pair.transformer.url, tmp_path / "c.json", str(PHOTOS), "--concurrency=2")
    assert set(level["outcomes"]) == {"ok"}


def test_one_ctrl_c_ends_it_with_what_was_measured(digits: Pair) -> None:
    url = f"--url={digits.transformer.url}"
    process = Process(*BENCH, url, "--model_name=digits", "--concurrency=1,2", "--duration=60", "--warm_up=0.1")
    before = served(digits, "http")
    while served(digits, "http") < before + 50:  # it is on its way
        assert process.process.poll() is None
    assert process.stop(signal.SIGINT) == 0
    assert "Traceback" not in process.log


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--shape=nothing:1",), "--shape: unknown input nothing; the model's inputs are: image"),
        (("--shape=image",), "--shape image: expected NAME:N,N such as x:1,3,224,224"),
        (("nowhere.jpg",), "nowhere.jpg: no such file"),
        (("--plot=figures.pdf",), "--plot figures.pdf: expected a name that ends in .png or .svg"),
    ],
)
def test_bad_use_is_one_line_and_status_2(digits: Pair, arguments: tuple[str, ...], told: str) -> None:
    done = bench(digits.transformer.url, "--model_name=digits", *arguments)
    assert (done.returncode, done.stderr) == (2, f"tandem: {told}\n")


def test_without_a_server_it_says_so() -> None:
    done = bench("http://127.0.0.1:1")
    assert done.returncode == 1
    assert "http://127.0.0.1:1 cannot be reached" in done.stderr


@pytest.mark.system
def test_a_plot_is_a_picture(digits: Pair, tmp_path: Path) -> None:
    file = tmp_path / "plot.png"
    assert bench(digits.transformer.url, "--model_name=digits", "--concurrency=1,2", f"--plot={file}").returncode == 0
    assert file.read_bytes().startswith(b"\x89PNG")


def test_percentiles_are_right_to_within_one_percent() -> None:
    seconds = np.random.default_rng(5).lognormal(-5, 1.5, 20_000)
    histogram = Histogram()
    for each in seconds.tolist():
        histogram.add(each)
    for percent, rank in ((1, 200), (50, 10_000), (90, 18_000), (99, 19_800), (99.9, 19_980)):
        exact = np.sort(seconds)[rank - 1]
        assert abs(histogram.percentile(percent) / exact - 1) < 0.01
    assert histogram.most == seconds.max()


def test_phases_are_means_of_the_answers_that_tell_them() -> None:
    recorder = Recorder()
    recorder.record("ok", 0.1, {"inference": 0.02})
    recorder.record("ok", 0.1, {"inference": 0.04})
    recorder.record("ok", 0.1, {})
    recorder.record("429", 0.1, {})
    recorder.record("cut off", 0.1, {})
    assert recorder.phases["inference"] == pytest.approx(0.03)
    assert (recorder.shed, recorder.failed, recorder.latencies.count) == (1, {"cut off": 1}, 3)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--shape=image:9000000,8,8",), "input 'image': [9000000, 8, 8] is too large"),
        (("--json=nowhere/figures.json",), "--json nowhere/figures.json: there is no folder nowhere"),
        (("--concurrency=" + "9" * 400,), "is no number from 1 to 4096"),
    ],
)
def test_what_would_end_badly_is_refused_before_it_begins(digits: Pair, arguments: tuple[str, ...], told: str) -> None:
    done = bench(digits.transformer.url, "--model_name=digits", *arguments)
    assert done.returncode == 2
    assert told in done.stderr
    assert "Traceback" not in done.stderr


def test_a_file_that_is_no_archive_is_told(digits: Pair, tmp_path: Path) -> None:
    (tmp_path / "bad.npz").write_bytes(b"PK\x03\x04garbage")
    done = bench(digits.transformer.url, "--model_name=digits", str(tmp_path / "bad.npz"))
    assert (done.returncode, "expected a .npy or .npz file" in done.stderr) == (1, True)
