"""`tandem up`, as `make run` starts it: two processes, one log, one Ctrl-C."""

from __future__ import annotations

import os
import select
import signal
import socket
import time
from pathlib import Path

import pytest
from contract.client import ask
from harness import DEFAULT_MODEL, DIGITS, PHOTOS, Process, metric
from security import Authority

FREE = ("--http_port=0", "--grpc_port=0", "--predictor.http_port=0")


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def up(*flags: str) -> Process:
    return Process.python("tandem_cli", "up", "--host=127.0.0.1", *flags)


def ports() -> list[str]:
    names = ("--http_port", "--grpc_port", "--predictor.http_port", "--predictor.grpc_port")
    return [f"{name}={free_port()}" for name in names]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_classifies_a_photo_and_ends_cleanly_on_one_signal(number: int) -> None:
    process = up(
        *ports(), "--model_name=custom-model", f"--model_dir={DEFAULT_MODEL}", "--try", str(PHOTOS / "coffee.jpg")
    )
    process.wait_for(lambda line: "grpcurl -plaintext" in line)
    assert "espresso" in process.log
    for phase in ("preprocess", "queue", "inference", "postprocess"):
        assert phase in process.log
    start = time.monotonic()
    assert process.stop(number) == 0
    assert time.monotonic() - start < 15
    stops = [line.split(" ", 1)[0] for line in process.lines if line.endswith("stopped")]
    assert stops == ["transformer", "predictor"]
    assert "outlasted" not in process.log


def test_behind_tls_it_says_where_it_is_ready(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    files = (*authority.issue("both", "localhost", "127.0.0.1").flags(), f"--predictor_ssl_ca_certs={authority.file}")
    process = up(*ports(), *files, "--model_name=digits", "--transformer=identity", f"--model_dir={DIGITS}")
    process.wait_for(lambda line: "ready at https://127.0.0.1:" in line)
    assert process.stop() == 0


def test_with_the_page_it_says_where_that_is_and_finds_the_predictors_metrics_on_any_port() -> None:
    flags = ("--enable_ui", "--merge_predictor_metrics", "--model_name=digits", "--transformer=identity")
    process = up(*ports(), *flags, f"--model_dir={DIGITS}")
    line = process.wait_for(lambda line: line if "in a browser: " in line else None)
    url = line.rpartition(" ")[2]
    assert ask(url, headers={"Accept": "text/html"}).headers["content-type"] == "text/html; charset=utf-8"
    assert metric(ask(f"{url}metrics").body.decode(), "tandem_ready", container="kserve-container") == 1
    assert process.stop() == 0


def test_a_taken_port_is_named_and_ends_the_pair_with_status_2() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        process = up(*ports()[:3], f"--predictor.grpc_port={port}", f"--model_dir={DIGITS}")
        assert process.end() == 2
    assert process.lines == [
        f"tandem: cannot listen for the predictor on port {port} (--predictor.grpc_port): it is taken"
    ]


def test_when_one_service_dies_the_other_is_stopped() -> None:
    process = up(*ports(), f"--model_dir={DIGITS}", "--model_name=digits", "--transformer=identity")
    process.wait_for(lambda line: "tandem: ready" in line)
    os.kill(child(process, "tandem_predictor"), signal.SIGKILL)
    assert process.end() == 1
    assert "the predictor ended with status -9" in process.log
    assert any(line.startswith("transformer") and line.endswith("stopped") for line in process.lines)


def test_the_services_die_with_it() -> None:
    process = up(*ports(), f"--model_dir={DIGITS}", "--model_name=digits", "--transformer=identity")
    process.wait_for(lambda line: "tandem: ready" in line)
    children = [child(process, name) for name in ("tandem_predictor", "tandem_transformer")]
    handles = [os.pidfd_open(number) for number in children]
    os.kill(process.process.pid, signal.SIGKILL)
    process.end()
    for handle in handles:
        assert wait_for_end(handle)
        os.close(handle)


def test_a_bad_value_is_one_line_and_status_2() -> None:
    process = up("--max_batch_size=none")
    assert process.end() == 2
    assert len(process.lines) == 1
    assert process.lines[0].startswith("tandem: --max_batch_size: got 'none', expected an integer from 1 to 65536")


def test_a_class_that_does_not_fit_is_one_line_and_status_2(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(
        "from tandem_transformer import Transformer\n\n"
        "class Mine(Transformer):\n    def preprocess(self, inputs):\n        return inputs\n"
    )
    process = up(*ports(), f"--model_dir={DIGITS}", f"--transformer={file}")
    assert process.end() == 2
    told = (
        f"--transformer={file}: Mine.preprocess is preprocess(self, inputs), expected preprocess(self, inputs, context)"
    )
    assert [line for line in process.lines if "--transformer" in line] == [f"transformer | tandem-transformer: {told}"]
    assert "Traceback" not in process.log


def child(parent: Process, module: str) -> int:
    """The process id of the child that runs `module`."""
    task = Path(f"/proc/{parent.process.pid}/task/{parent.process.pid}/children")
    for number in task.read_text().split():
        if module.encode() in Path(f"/proc/{number}/cmdline").read_bytes():
            return int(number)
    raise AssertionError(f"no child runs {module}")


def wait_for_end(handle: int) -> bool:
    return bool(select.select([handle], [], [], 15)[0])
