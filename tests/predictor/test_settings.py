"""The predictor's flags, and the folder that they point to."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from tandem.settings import load, parse
from tandem_predictor.settings import Settings, model_folder


def read(*argv: str, **environ: str) -> Settings:
    return load(Settings, "tandem-predictor", "summary", argv, environ)[0]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("http_port", 8080),
        ("grpc_port", 8082),
        ("host", ""),
        ("grpc_socket", ""),
        ("model_name", ""),
        ("model_dir", ""),
        ("allow_python_models", False),
        ("max_queue_delay_us", 0),
        ("max_message_bytes", 64 * 2**20),
        ("drain_idle", 1.0),
        ("workers", 1),
        ("device", "auto"),
        ("model_control", "none"),
    ],
)
def test_the_defaults_are_those_of_the_contract(name: str, value: object):
    assert getattr(read(), name) == value
    assert getattr(Settings(), name) == value


@pytest.mark.parametrize(
    ("argv", "name", "value"),
    [
        (["--max_batch_size=8"], "max_batch_size", 8),
        (["--max-batch-size", "8"], "max_batch_size", 8),
        (["--max_queue_delay_us=2500"], "max_queue_delay_us", 2500),
        (["--max_queue_size=1"], "max_queue_size", 1),
        (["--allow_python_models"], "allow_python_models", True),
        (["--allow-python-models", "--device=cpu"], "allow_python_models", True),
        (["--allow_python_models=false"], "allow_python_models", False),
        (["--allow_python_models", "1"], "allow_python_models", True),
        (["--model_dir=/a-b/c"], "model_dir", "/a-b/c"),
        (["--grpc_socket", "/run/tandem.sock"], "grpc_socket", "/run/tandem.sock"),
        (["--request_timeout_seconds=0.5"], "request_timeout_seconds", 0.5),
        (["--device", "cuda"], "device", "cuda"),
        (["--model_control=explicit"], "model_control", "explicit"),
        (["--instances=2"], "instances", 2),
        (["--threads=3"], "threads", 3),
        (["--grpc_port=0"], "grpc_port", 0),
    ],
)
def test_a_flag_is_read_in_each_of_its_forms(argv: list[str], name: str, value: object):
    assert getattr(read(*argv), name) == value


def test_a_variable_stands_in_for_a_flag_and_the_flag_wins():
    environ = {"TANDEM_PREDICTOR_MAX_BATCH_SIZE": "16", "TANDEM_PREDICTOR_ALLOW_PYTHON_MODELS": "true"}
    assert read(**environ).max_batch_size == 16
    assert read(**environ).allow_python_models is True
    assert read("--max_batch_size=2", **environ).max_batch_size == 2
    assert read(TANDEM_TRANSFORMER_MAX_BATCH_SIZE="16").max_batch_size == Settings().max_batch_size


@pytest.mark.parametrize(
    ("argument", "expected"),
    [
        ("--max_batch_size=0", "an integer from 1 to"),
        ("--max_batch_size=many", "an integer from 1 to"),
        ("--max_queue_size=-1", "an integer from 1 to"),
        ("--max_queue_delay_us=1.5", "an integer from 0 to"),
        ("--device=tpu", "auto, cpu, cuda or cuda:N"),
        ("--model_control=poll", "one of none, explicit"),
        ("--grpc_port=65536", "an integer from 0 to 65535"),
        ("--allow_python_models=perhaps", "true or false"),
        ("--drain_idle=-1", "a number from 0 to"),
        ("--request_timeout_seconds=nan", "a number from 0 to"),
        ("--model_dir", "no value"),
    ],
)
def test_a_bad_value_is_one_line_and_status_2(argument: str, expected: str, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as caught:
        read(argument)
    (line,) = capsys.readouterr().err.splitlines()
    assert caught.value.code == 2
    assert line.startswith(f"tandem-predictor: {argument.partition('=')[0]}: got ")
    assert expected in line


def test_all_problems_are_told_at_once_with_flag_or_variable():
    argv = ["--max_batch_size=0", "--device=tpu"]
    _, problems = parse(Settings, "tandem-predictor", "", argv, {"TANDEM_PREDICTOR_THREADS": "x"})
    assert [problem.partition(":")[0] for problem in sorted(problems)] == [
        "--device",
        "--max_batch_size",
        "TANDEM_PREDICTOR_THREADS",
    ]


def test_an_unknown_flag_is_a_warning_with_the_nearest_known_one():
    parsed, problems = parse(Settings, "tandem-predictor", "", ["--max_batchsize=3"], {})
    assert (problems, parsed.warnings) == (
        [],
        ["ignored unknown flags: --max_batchsize (did you mean --max_batch_size?)"],
    )


def test_settings_are_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        read().max_batch_size = 3


@pytest.mark.parametrize(
    ("flag", "mounted", "default", "expected"),
    [
        ("chosen", True, "image", "chosen"),
        ("chosen", False, "", "chosen"),
        ("", True, "image", "mounted"),
        ("", True, "", "mounted"),
        ("", False, "image", "image"),
        ("", False, "", None),
    ],
)
def test_the_model_folder_is_the_flag_else_the_mount_else_the_default(tmp_path, flag, mounted, default, expected):
    (tmp_path / "mounted").mkdir()
    if mounted:
        (tmp_path / "mounted" / "model.onnx").touch()
    environ = {"TANDEM_DEFAULT_MODEL_DIR": default} if default else {}
    folder = model_folder(Settings(model_dir=flag), environ, tmp_path / "mounted")
    assert (folder and folder.name) == expected


@pytest.mark.parametrize("kind", ["absent", "file"])
def test_a_mount_that_is_no_folder_does_not_count(tmp_path: Path, kind: str):
    (tmp_path / "file").touch()
    assert model_folder(Settings(), {}, tmp_path / kind) is None
    assert model_folder(Settings(), {"TANDEM_DEFAULT_MODEL_DIR": "/d"}, tmp_path / kind) == Path("/d")
