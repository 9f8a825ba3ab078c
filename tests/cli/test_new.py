"""`tandem new`: what it writes runs, is typed, and says truly how to go on."""

from __future__ import annotations

import json
import os
import re
import shlex
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import onnx
import pytest
from harness import DIGITS, ROOT, Process
from tandem import settings
from tandem_cli.__main__ import main
from tandem_cli.new import names, scaffold
from tandem_predictor.settings import Settings as PredictorSettings
from tandem_transformer.settings import Settings as TransformerSettings
from tandem_transformer.transformer import find

TANDEM = (sys.executable, "-m", "tandem_cli")
KINDS = (onnx.TensorProto.FLOAT, onnx.TensorProto.INT64, onnx.TensorProto.BOOL, onnx.TensorProto.STRING)


@dataclass
class Done:
    status: int
    out: str
    err: str


@pytest.fixture
def new(tmp_path, monkeypatch, capsys):
    """Runs the command in a folder of its own."""
    monkeypatch.chdir(tmp_path)

    def new(kind: str, name: str, model: Path | None = None) -> Done:
        given = [f"--model={model}"] if model else []
        monkeypatch.setattr(sys, "argv", ["tandem", "new", kind, name, *given])
        status = main()
        return Done(status, *capsys.readouterr())

    return new


def graph(file: Path, *types: int, shape: tuple[str | int, ...] = ("n", 3)) -> Path:
    """A model that gives back each of its inputs."""
    given = [onnx.helper.make_tensor_value_info(f"in {i}", kind, shape) for i, kind in enumerate(types)]
    gives = [onnx.helper.make_tensor_value_info(f"out-{i}", kind, shape) for i, kind in enumerate(types)]
    nodes = [onnx.helper.make_node("Identity", [f"in {i}"], [f"out-{i}"]) for i in range(len(types))]
    made = onnx.helper.make_graph(nodes, "g", given, gives)
    onnx.save(onnx.helper.make_model(made, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=9), file)
    return file


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> list[Path]:
    """A transformer for every sort of tensor, a Python model around a file, and a transformer without a model."""
    home = tmp_path_factory.mktemp("new")
    every = graph(home / "every.onnx", *KINDS)
    for kind, name, model in (
        ("transformer", "every-sort", every),
        ("predictor", "around", DIGITS / "model.onnx"),
        ("transformer", "plain", None),
    ):
        scaffold.make(kind, home / name, model)
    return [home / name for name in ("every-sort", "around", "plain")]


def test_the_tests_of_what_was_made_pass(folders):
    running = [
        subprocess.Popen(
            [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", folder.name],
            cwd=folder.parent,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for folder in folders[:2]
    ]
    for process in running:
        out, _ = process.communicate(timeout=60)
        assert process.returncode == 0, out
        assert "2 passed" in out


def test_it_is_typed_strictly_and_linted_and_formatted(folders):
    for folder in folders:
        checks = [
            ["mypy", "--strict", f"--cache-dir={ROOT / '.cache' / 'mypy-authors'}", "."],
            ["ruff", "check", "--isolated", "--no-cache", "."],
            ["ruff", "format", "--isolated", "--no-cache", "--check", "."],
        ]
        for check in checks:
            done = subprocess.run(
                [sys.executable, "-m", *check], cwd=folder, capture_output=True, text=True, check=False, timeout=100
            )
            assert done.returncode == 0, done.stdout + done.stderr


def test_the_class_has_the_tensors_of_the_model(new):
    new("transformer", "my-digits", DIGITS / "model.onnx")
    found = find("my-digits/transformer.py")
    assert [(spec.name, spec.datatype, tuple(spec.shape)) for spec in (*found.inputs, *found.outputs)] == [
        ("image", "FP32", (-1, 8, 8)),
        ("probabilities", "FP32", (-1, 10)),
    ]
    assert found.__name__ == "MyDigits"


@pytest.mark.parametrize(("kind", "model"), [("transformer", DIGITS / "model.onnx"), ("predictor", None)])
def test_the_next_steps_work_as_they_are_printed(tmp_path, kind, model):
    command = [*TANDEM, "new", kind, "mine", *([f"--model={model}"] if model else [])]
    printed = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    test, up, ask = [line.strip() for line in printed.partition("Next:\n")[2].splitlines()]
    assert test == f"{sys.executable} -m pytest mine"  # which another test runs
    ports = [f"--{name}=0" for name in ("grpc_port", "predictor.http_port")]
    http, hop = free_port(), free_port()
    process = Process(*shlex.split(up), f"--http_port={http}", f"--predictor.grpc_port={hop}", *ports, cwd=tmp_path)
    try:
        process.wait_for(lambda line: "tandem: ready at" in line)
        asked = ask.replace("127.0.0.1:8000", f"127.0.0.1:{http}")
        assert asked != ask
        answer = subprocess.run(["bash", "-c", asked], cwd=tmp_path, capture_output=True, text=True, check=True)
        outputs = json.loads(answer.stdout)["outputs"]
        assert [output["name"] for output in outputs] == (["probabilities"] if model else ["y"])
    finally:
        assert process.stop() == 0
    readme = (tmp_path / "mine" / "README.md").read_text()
    assert ask in readme
    assert "python -m pytest mine" in readme
    assert str(tmp_path) not in readme


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("My_Model", "try my-model"),
        ("MyModel", "try my-model"),
        ("3d-net", "try d-net"),
        ("model-", "try model"),
        ("a" * 51, f"try {'a' * 50}"),
        ("été", "try t"),
        ("..", "50 at most"),
        ("taken", "taken is there already: choose another name, or remove it"),
        ("no/such/folder", "there is no folder no/such"),
    ],
)
def test_a_name_that_cannot_be_is_one_line_with_the_nearest_that_can(new, tmp_path, name, why):
    (tmp_path / "taken").mkdir()
    done = new("transformer", name)
    assert done.status == 2
    assert done.err.startswith("tandem new: ")
    assert done.err.endswith(f"{why}\n")
    assert done.err.count("\n") == 1
    assert os.listdir(tmp_path) == ["taken"]


@pytest.mark.parametrize(
    ("name", "cls"), [("a", "A"), ("my-2nd-net", "My2ndNet"), ("none", "MyNone"), ("transformer", "MyTransformer")]
)
def test_a_class_gets_a_name_that_python_takes(name, cls):
    assert names.class_name(name) == cls


@pytest.mark.parametrize(
    ("text", "why"), [(None, "there is no such file"), ("no onnx", "cannot be loaded by ONNX Runtime")]
)
def test_a_file_that_is_no_model_is_one_line_and_leaves_nothing(new, tmp_path, text, why):
    file = tmp_path / "my.onnx"
    if text:
        file.write_text(text)
    done = new("transformer", "mine", file)
    assert (done.status, done.err.count("\n")) == (2, 1)
    assert why in done.err
    assert not (tmp_path / "mine").exists()


def test_a_request_has_every_sort_of_tensor_that_json_can_carry(new, tmp_path):
    new("transformer", "every", graph(tmp_path / "every.onnx", *KINDS))
    inputs = json.loads(Path("every/request.json").read_text())["inputs"]
    assert [tensor["datatype"] for tensor in inputs] == ["FP32", "INT64", "BOOL", "BYTES"]
    done = new("predictor", "half", graph(tmp_path / "half.onnx", onnx.TensorProto.FLOAT16))
    assert "curl" not in done.out
    assert not Path("half/request.json").exists()


def test_text_needs_more_than_a_python_model_that_is_made(new, tmp_path):
    done = new("predictor", "mine", graph(tmp_path / "text.onnx", onnx.TensorProto.STRING))
    assert done.status == 2
    assert "serve the file as it is" in done.err


def test_weights_beside_a_model_come_with_it(new, tmp_path):
    file = graph(tmp_path / "big.onnx", onnx.TensorProto.FLOAT)
    (tmp_path / "big.onnx.data").write_text("weights")
    new("transformer", "mine", file)
    assert sorted(os.listdir("mine/model")) == ["big.onnx.data", "model.onnx"]


@pytest.mark.parametrize(("kind", "cls"), [("transformer", TransformerSettings), ("predictor", PredictorSettings)])
def test_the_image_is_told_by_variables_that_the_service_reads(new, kind, cls):
    new(kind, "mine")
    given = re.findall(r"(TANDEM_\w+)=(\S+)", Path("mine/Containerfile").read_text())
    parsed, problems = settings.parse(cls, f"tandem-{kind}", "", [], dict(given))
    assert not problems
    assert set(parsed.sources.values()) == {"default", *(name for name, _ in given)}
    assert len(given) > 0
