"""A Triton repository: its config.pbtxt decides names, versions, batches and shapes, unless a flag was given."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from harness import DIGITS
from predictor.fakes import AwaitedRuntime
from tandem import TensorSpec
from tandem.codec import config_file
from tandem_predictor.devices import CPU, NotInstalled, choose
from tandem_predictor.foreign.described import Described
from tandem_predictor.foreign.terms import Terms, terms
from tandem_predictor.repository import discover
from tandem_predictor.runtime import LoadError, batchable
from tandem_predictor.runtimes import Plan, open_runtimes
from tandem_predictor.settings import Settings

X = 'input [{ name: "image" data_type: TYPE_FP32 dims: [ 8, 8 ] }]'
Y = 'output [{ name: "probabilities" data_type: TYPE_FP32 dims: [ 10 ] }]'


def repository(root: Path, models: dict[str, str], *versions: int, file: str = "model.onnx") -> Path:
    """Models by name with their config.pbtxt, each of them the digits."""
    for name, text in models.items():
        for version in versions or (1,):
            (root / name / str(version)).mkdir(parents=True)
            shutil.copy(DIGITS / "model.onnx", root / name / str(version) / file)
        (root / name / "config.pbtxt").write_text(text)
    return root


def described(text: str) -> Described:
    (runtime,) = open_runtimes(DIGITS / "model.onnx", Plan(instances=1, threads=1))
    return Described(runtime, config_file.decode(text)[0], "config.pbtxt")


def test_the_policy_and_the_file_name_are_the_configurations(tmp_path: Path):
    text = 'default_model_filename: "net.onnx" version_policy { latest { num_versions: 2 } }'
    models = discover(repository(tmp_path, {"net": text}, 1, 2, 3, file="net.onnx"), "", allow_python=False)
    assert [(model.name, model.version, model.file.name) for model in models] == [
        ("net", "2", "net.onnx"),
        ("net", "3", "net.onnx"),
    ]


def test_the_folder_of_one_model_has_its_configurations_name(tmp_path: Path):
    folder = repository(tmp_path, {"net": 'name: "mine"'}) / "net"
    assert [model.name for model in discover(folder, "", allow_python=False)] == ["mine"]
    assert [model.name for model in discover(folder, "yours", allow_python=False)] == ["yours"]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('name: "other"', "the name is 'other', the folder's net"),
        ("ensemble_scheduling { }", "ensemble_scheduling"),
        ('default_model_filename: "absent.onnx"', "no version that its config.pbtxt chooses has a model file"),
        ("version_policy { specific { versions: [ 9 ] } }", "no version that its config.pbtxt chooses"),
    ],
)
def test_what_cannot_be_served_is_known_beside_what_can(tmp_path: Path, text: str, problem: str):
    models = discover(repository(tmp_path, {"good": "", "net": text}), "", allow_python=False)
    good, bad = models
    assert good.description
    assert (good.name, good.description.problem) == ("good", "")
    assert bad.description
    assert problem in bad.description.problem


def test_a_batch_dimension_stands_before_the_files_dims():
    runtime = described(f"max_batch_size: 8 {X} {Y}")
    assert [list(spec.shape) for spec in (*runtime.inputs, *runtime.outputs)] == [[-1, 8, 8], [-1, 10]]
    assert batchable(runtime)
    assert runtime.run({"image": np.zeros((2, 8, 8), "<f4")})["probabilities"].shape == (2, 10)


def test_a_size_of_0_is_never_batched_and_shows_the_whole_shape():
    whole = X.replace("[ 8, 8 ]", "[ 1, 8, 8 ]") + Y.replace("[ 10 ]", "[ 1, 10 ]")
    runtime = described(whole)
    assert [list(spec.shape) for spec in (*runtime.inputs, *runtime.outputs)] == [[1, 8, 8], [1, 10]]
    assert not batchable(runtime)


def test_a_reshape_is_between_the_callers_shape_and_the_models():
    flat = X.replace("dims: [ 8, 8 ]", "dims: [ 64 ] reshape { shape: [ 8, 8 ] }")
    split = Y.replace("dims: [ 10 ]", "dims: [ 2, 5 ] reshape { shape: [ 10 ] }")
    runtime = described(f"max_batch_size: 8 {flat} {split}")
    outputs = runtime.run({"image": np.zeros((3, 64), "<f4")})
    assert outputs["probabilities"].shape == (3, 2, 5)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            f"max_batch_size: 4 {X.replace('FP32', 'UINT8')} {Y}",
            "input 'image' is UINT8 in the file, FP32 in the model",
        ),
        (f"max_batch_size: 4 {X.replace('8, 8', '8, 9')} {Y}", r"\[-1, 8, 9\] in the file, the first being max_batch"),
        (f"{X} {Y}", r"input 'image' is \[8, 8\] in the file, \[-1, 8, 8\] in the model"),
        (f"max_batch_size: 4 {X.replace('image', 'x')} {Y}", "input 'image' of the model is missing; the file has: x"),
        (f"max_batch_size: 4 {X} {Y.replace('proba', 'pro')}", "the model has no output 'probilities'"),
    ],
)
def test_a_contradiction_names_the_tensor_and_both_sides(text: str, problem: str):
    with pytest.raises(LoadError, match=problem):
        described(text)


async def test_an_async_model_is_held_to_it_too():
    runtime = AwaitedRuntime()
    runtime.outputs = (*runtime.outputs, TensorSpec("z", "FP32", (-1,)))
    x2 = 'input [{ name: "x" data_type: TYPE_FP32 dims: [ 1, 2 ] reshape: { shape: [ 2 ] } }]'
    y2 = 'output [{ name: "y" data_type: TYPE_FP32 dims: [ 2, 1 ] reshape: { shape: [ 2 ] } }]'
    model = Described(runtime, config_file.decode(f"max_batch_size: 4 {x2} {y2}")[0], "config.pbtxt")
    assert model.on_loop
    outputs = await model.run({"x": np.ones((3, 1, 2), "f4")})
    assert {name: array.shape for name, array in outputs.items()} == {"y": (3, 2, 1)}


FILE = """
max_batch_size: 16 instance_group [{ count: 3 kind: KIND_CPU }]
dynamic_batching {
  max_queue_delay_microseconds: 70 default_priority_level: 2 default_queue_policy { max_queue_size: 5 }
}
"""


def test_the_file_decides_where_no_flag_was_given():
    declared = config_file.decode(FILE)[0]
    assert terms(Settings(), (), declared) == Terms(16, 70, 5, 3, "cpu", 2)
    assert terms(Settings(), (), None) == Terms(0, 0, 1024, 0, "auto")


def test_a_flag_that_was_given_wins():
    given = {"max_batch_size": 4, "max_queue_delay_us": 0, "max_queue_size": 1024, "instances": 0}
    assert terms(Settings(**given), given, config_file.decode(FILE)[0]) == Terms(4, 0, 1024, 0, "cpu", 2)


@pytest.mark.parametrize(("gpus", "index"), [("", 0), ("gpus: [ 3, 1 ]", 3)])
def test_a_gpu_that_is_not_there_is_told(gpus: str, index: int, caplog: pytest.LogCaptureFixture):
    found = terms(Settings(), (), config_file.decode(f"instance_group [{{ count: 1 kind: KIND_GPU {gpus} }}]")[0])
    asked: list[int] = []

    def probe(number: int) -> None:
        asked.append(number)
        raise NotInstalled("no CUDA")

    assert choose(found.device, probe) == CPU
    assert asked == [index]
    assert "the CPU is used" in caplog.text


def test_parameters_of_the_file_are_steps():
    text = 'parameters { key: "top_k" value { string_value: "5" } } ' + (
        'parameters { key: "normalize" value { string_value: "1/2" } }'
    )
    declared = config_file.decode(text)[0]
    found = terms(Settings(), (), declared)
    assert (found.normalize, found.top_k) == ("1/2", 5)
    given = {"normalize": "", "top_k": 2}
    assert terms(Settings(**given), given, declared).top_k == 2
    with pytest.raises(LoadError, match=r"parameter 'top_k' of the config\.pbtxt: "):
        terms(Settings(), (), replace(declared, parameters={"top_k": "five"}))
