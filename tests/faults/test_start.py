"""What keeps a service from starting is one clear line and exit status 2."""

from __future__ import annotations

import os
import signal
import socket
from pathlib import Path

import pytest
from faults.test_handoff import nth
from harness import DIGITS, Process, start_predictor

PREDICTOR = ("tandem_predictor", "--host=127.0.0.1", f"--model_dir={DIGITS}")
TRANSFORMER = ("tandem_transformer", "--host=127.0.0.1")


@pytest.mark.parametrize("program", [PREDICTOR, TRANSFORMER], ids=["predictor", "transformer"])
@pytest.mark.parametrize("door", ["http_port", "grpc_port"])
@pytest.mark.parametrize("host", ["127.0.0.1", ""], ids=["loopback", "every interface"])
def test_a_taken_port_is_named(program: tuple[str, ...], door: str, host: str) -> None:
    other = "grpc_port" if door == "http_port" else "http_port"
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        process = Process.python(*program, f"--host={host}", f"--{door}={port}", f"--{other}=0")
        assert process.end() == 2
    assert len([line for line in process.lines if not line.startswith("{")]) == 1
    assert f"port {port} (--{door}): it is taken" in process.lines[-1]


@pytest.mark.parametrize(
    ("program", "flags", "words"),
    [
        ("tandem_predictor", ["--http_port=x", "--max_batch_size=0"], ["--http_port: got 'x'", "--max_batch_size"]),
        ("tandem_predictor", ["--model_dir=/nowhere"], ["--model_dir=/nowhere: there is no such folder"]),
        ("tandem_predictor", [f"--model_dir={Path(__file__).parent}"], ["expected model.onnx"]),
        (
            "tandem_transformer",
            ["--grpc_port=70000"],
            ["--grpc_port: got '70000', expected an integer from 0 to 65535"],
        ),
        (
            "tandem_transformer",
            ["--transformer=nonsense"],
            ["--transformer=nonsense", "identity, image-classification"],
        ),
        ("tandem_transformer", ["--transformer=no.such:Class"], ["cannot import no.such"]),
        (
            "tandem_transformer",
            ["--predictor_protocol=v1", "--predictor_host=unix:///s"],
            ["a Unix socket is for", "grpc-v2"],
        ),
        ("tandem_transformer", ["--transformer_options=oops"], ["'oops' is not of the form name=value"]),
    ],
)
def test_a_mistake_is_explained_without_a_traceback(program: str, flags: list[str], words: list[str]) -> None:
    process = Process.python(program, "--host=127.0.0.1", *flags)
    assert process.end() == 2
    assert "Traceback" not in process.log
    for word in words:
        assert word in process.log


def test_without_any_model_the_predictor_says_where_it_looks() -> None:
    process = Process.python("tandem_predictor", "--host=127.0.0.1", env={"TANDEM_DEFAULT_MODEL_DIR": ""})
    if Path("/mnt/models").is_dir() and any(Path("/mnt/models").iterdir()):
        process.kill()
        pytest.skip("this machine has models in /mnt/models, KServe's place for them")
    assert process.end() == 2
    assert process.lines[-1].startswith("tandem-predictor: no model: give --model_dir")


def test_a_damaged_model_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"not onnx")
    process = Process.python(
        "tandem_predictor", "--host=127.0.0.1", "--http_port=0", "--grpc_port=0", f"--model_dir={tmp_path}"
    )
    assert process.end() == 2
    assert f"{tmp_path / 'model.onnx'} cannot be loaded" in process.lines[-1]


def test_unknown_flags_are_warned_about_once_and_ignored() -> None:
    process = Process.python(
        *PREDICTOR, "--http_port=0", "--grpc_port=0", "--log_format=json", "--modle_name=x", "--new-thing", "7"
    )
    process.entry("ready")
    assert process.stop() == 0
    assert "outlasted" not in process.log
    warnings = [line for line in process.lines if "ignored unknown flags" in line]
    assert len(warnings) == 1
    assert "did you mean --model_name?" in warnings[0]
    assert "--new_thing" in warnings[0]


def test_print_config_shows_each_setting_and_where_it_comes_from() -> None:
    process = Process.python(
        "tandem_predictor", "--max-batch-size", "7", "--print_config", env={"TANDEM_PREDICTOR_GRACE": "5"}
    )
    assert process.end() == 0
    lines = {line.split("=")[0]: line for line in process.lines}
    assert "--max_batch_size=7" in lines["--max_batch_size"]
    assert lines["--max_batch_size"].endswith("# --max_batch_size")
    assert lines["--grace"].endswith("# TANDEM_PREDICTOR_GRACE")
    assert lines["--http_port"].endswith("# default")


def test_a_predictor_leaves_nothing_in_its_users_home(tmp_path: Path) -> None:
    predictor = start_predictor(f"--model_dir={DIGITS}", "--model_name=digits", env={"HOME": str(tmp_path)})
    try:
        assert list(tmp_path.rglob("*")) == []
        opened = [os.readlink(file) for file in Path(f"/proc/{predictor.process.process.pid}/fd").iterdir()]
        assert not [name for name in opened if name.endswith((".db", ".db-wal"))]
    finally:
        predictor.process.stop()


@pytest.mark.parametrize("workers", [1, 2])
def test_sigusr1_switches_debug_on_and_off_in_every_process(workers: int) -> None:
    process = Process.python(
        *TRANSFORMER, "--http_port=0", "--grpc_port=0", "--log_format=json", f"--workers={workers}"
    )
    line_of_each = "a worker listens" if workers > 1 else "listening"
    process.wait_for(nth(workers, f'"message":"{line_of_each}"'))
    for level in ("DEBUG", "INFO"):
        process.send(signal.SIGUSR1)
        process.wait_for(nth(workers, f"the log level is now {level}"))  # two signals that wait are one
    assert process.stop() == 0
    assert sum("the log level is now INFO" in line for line in process.lines) == workers
