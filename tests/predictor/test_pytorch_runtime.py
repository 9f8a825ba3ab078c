"""PyTorch's programs and scripts on the CPU, where its build for the CPU can be had (`make test` says so)."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from harness import ROOT, Pair, running_pair
from predictor.fakes import NEVER, Rig
from tandem import TensorSpec
from tandem.client import Client
from tandem.codec import config_file
from tandem.errors import Internal
from tandem.tensors import DTYPES
from tandem_predictor.devices import CPU, NotInstalled
from tandem_predictor.foreign.described import Described
from tandem_predictor.runtime import LoadError, batchable
from tandem_predictor.runtimes import Plan, open_runtimes, pytorch

torch = pytest.importorskip("torch", reason="PyTorch's build for the CPU is not to be had (requirements/torch.txt)")
PLAN = Plan(instances=2, threads=1)
DIM = torch.export.Dim


class Affine(torch.nn.Module):
    """Two inputs, one by keyword; two outputs."""

    def forward(self, x, *, weight):
        return x * weight, x.sum(1, keepdim=True)


class Named(torch.nn.Module):
    def forward(self, x):
        return {"double": x * 2, "half": x / 2}


class InPlace(torch.nn.Module):
    def forward(self, x):
        return x.add_(1)


class Fixed(torch.nn.Module):
    def forward(self, x):
        return x.flip(0)


def exported(folder: Path, module, arguments, keywords=None, shapes=None) -> Path:
    file = folder / "model.pt2"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of PyTorch about itself
        torch.export.save(torch.export.export(module, arguments, keywords, dynamic_shapes=shapes), file)
    return file


def scripted(folder: Path, module) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that TorchScript is deprecated
        torch.jit.script(module).save(str(folder / "model.pt"))
    return folder / "model.pt"


def affine(folder: Path) -> Path:
    batch = DIM("batch", max=64)
    shapes = {"x": {0: batch}, "weight": {0: batch}}
    return exported(folder, Affine(), (torch.ones(2, 3),), {"weight": torch.ones(2, 3)}, shapes)


def named(folder: Path) -> Path:
    return exported(folder, Named(), (torch.ones(2, 3),), shapes={"x": {0: DIM("batch")}})


def test_a_program_says_what_it_takes_and_gives(tmp_path: Path):
    runtime = open_runtimes(affine(tmp_path), PLAN)[0]
    assert runtime.inputs == [TensorSpec("x", "FP32", (-1, 3)), TensorSpec("weight", "FP32", (-1, 3))]
    assert runtime.outputs == [TensorSpec("output-0", "FP32", (-1, 3)), TensorSpec("output-1", "FP32", (-1, 1))]
    assert runtime.platform == "pytorch_libtorch"
    assert runtime.device == CPU
    assert batchable(runtime)
    assert runtime.max_batch_size == 64


@pytest.mark.parametrize("rows", [0, 1, 2, 5, 64])
def test_a_program_runs_batches_of_any_size(tmp_path: Path, rows: int):
    runtime = open_runtimes(affine(tmp_path), PLAN)[0]
    x, weight = np.random.default_rng(rows).random((2, rows, 3), np.float32)
    got = runtime.run({"x": x, "weight": weight})
    np.testing.assert_array_equal(got["output-0"], x * weight)
    np.testing.assert_allclose(got["output-1"], x.sum(1, keepdims=True), rtol=1e-6)


def test_a_dictionary_names_the_outputs(tmp_path: Path):
    runtime = open_runtimes(named(tmp_path), PLAN)[0]
    assert [spec.name for spec in runtime.outputs] == ["double", "half"]
    assert runtime.run({"x": np.ones((1, 3), "f4")})["half"].tolist() == [[0.5] * 3]


@pytest.mark.parametrize("datatype", [name for name in DTYPES if name != "BYTES"])
def test_every_datatype_goes_through(tmp_path: Path, datatype: str):
    dtype = DTYPES[datatype]
    example = torch.zeros(2, 3, dtype=getattr(torch, dtype.name))
    runtime = open_runtimes(exported(tmp_path, Fixed(), (example,)), PLAN)[0]
    assert runtime.inputs == [TensorSpec("x", datatype, (2, 3))]
    array = np.array([[0, 1, 1], [1, 0, 1]]).astype(dtype)
    own = runtime.allocate((2, 3), dtype)
    own[...] = array
    got = runtime.run({"x": own})["output-0"]
    assert got.dtype == dtype
    np.testing.assert_array_equal(got, array[::-1])


async def test_a_model_that_writes_to_its_input_spoils_nobodys_request(tmp_path: Path):
    file = exported(tmp_path, InPlace(), (torch.ones(2, 3),), shapes={"x": {0: DIM("batch")}})
    request = {"x": np.frombuffer(np.zeros((1, 3), "f4").tobytes(), "f4").reshape(1, 3)}
    async with Rig(*open_runtimes(file, PLAN)) as rig:
        for _ in range(3):
            outcome = await rig.batcher.submit(request, NEVER)
            assert outcome.outputs["output-0"].tolist() == [[1, 1, 1]]
    assert not request["x"].any()


def test_nothing_is_recorded_for_gradients(tmp_path: Path):
    linear = exported(tmp_path, torch.nn.Linear(3, 2), (torch.ones(2, 3),), shapes=({0: DIM("batch")},))
    assert open_runtimes(linear, PLAN)[0].run({"input": np.ones((4, 3), "f4")})["output-0"].shape == (4, 2)


def test_threads_are_those_that_were_asked_for(tmp_path: Path):
    seen = []
    engine = open_runtimes(named(tmp_path), Plan(instances=1, threads=2))[0]
    with engine._lane.current():
        seen.append(torch.get_num_threads())
    with open_runtimes(named(tmp_path), PLAN)[0]._lane.current():
        seen.append(torch.get_num_threads())
    assert seen == [2, 1]


CONFIG = """
backend: "pytorch" max_batch_size: 8
input [ { name: "INPUT__1" data_type: TYPE_FP32 dims: [ 3 ] }, { name: "INPUT__0" data_type: TYPE_FP32 dims: [ 3 ] } ]
output [ { name: "OUTPUT__0" data_type: TYPE_FP32 dims: [ 3 ] } ]
output [ { name: "OUTPUT__1" data_type: TYPE_FP32 dims: [ 1 ] } ]
"""
ORDERED = CONFIG.replace("INPUT__1", "first").replace("INPUT__0", "second")
ARGUMENTS = CONFIG.replace("INPUT__1", "weight").replace("INPUT__0", "x")


class Script(torch.nn.Module):
    def forward(self, x: torch.Tensor, weight: torch.Tensor):
        return x - weight, x.sum(1, keepdim=True)


@pytest.mark.parametrize(
    ("config", "x", "weight"),
    [(CONFIG, "INPUT__0", "INPUT__1"), (ORDERED, "first", "second"), (ARGUMENTS, "x", "weight")],
)
def test_a_script_is_described_by_its_config(tmp_path: Path, config: str, x: str, weight: str):
    declared = config_file.decode(config)[0]
    runtime = Described(open_runtimes(scripted(tmp_path, Script()), PLAN, declared)[0], declared, "config.pbtxt")
    assert {spec.name for spec in runtime.inputs} == {x, weight}
    got = runtime.run({x: np.full((2, 3), 5, "f4"), weight: np.full((2, 3), 2, "f4")})
    assert got["OUTPUT__0"].tolist() == [[3] * 3] * 2
    assert got["OUTPUT__1"].tolist() == [[15]] * 2


def test_a_program_takes_the_names_of_its_config(tmp_path: Path):
    declared = config_file.decode(CONFIG)[0]
    runtime = Described(open_runtimes(affine(tmp_path), PLAN, declared)[0], declared, "config.pbtxt")
    got = runtime.run({"INPUT__0": np.full((2, 3), 5, "f4"), "INPUT__1": np.full((2, 3), 2, "f4")})
    assert got["OUTPUT__0"].tolist() == [[10] * 3] * 2


def test_a_script_without_a_config_says_what_to_do(tmp_path: Path):
    with pytest.raises(LoadError, match=r"TorchScript does not say what it takes; describe .* in a config\.pbtxt"):
        open_runtimes(scripted(tmp_path, Script()), PLAN)


@pytest.mark.parametrize("saved", [{"weight": torch.ones(2)}, torch.nn.Linear(2, 2)])
def test_a_pickle_is_not_loaded(tmp_path: Path, saved):
    torch.save(saved, tmp_path / "model.pt")
    with pytest.raises(LoadError, match=r"model\.pt is no TorchScript .*export it with torch\.export\.save"):
        open_runtimes(tmp_path / "model.pt", PLAN)


def test_a_pickle_is_no_program(tmp_path: Path):
    torch.save({"weight": torch.ones(2)}, tmp_path / "model.pt2")
    with pytest.raises(LoadError, match=r"model\.pt2 cannot be loaded by torch\.export: .*archive_format"):
        open_runtimes(tmp_path / "model.pt2", PLAN)


@pytest.mark.parametrize("content", [b"", b"not a program", b"PK\x03\x04"])
def test_what_is_no_program_is_told(tmp_path: Path, content: bytes):
    (tmp_path / "model.pt2").write_bytes(content)
    with pytest.raises(LoadError, match=r"model\.pt2 cannot be loaded by torch\.export: .") as caught:
        open_runtimes(tmp_path / "model.pt2", PLAN)
    assert "\n" not in str(caught.value)


def test_a_module_that_breaks_its_promise_is_an_error():
    spec = TensorSpec("x", "FP32", (-1,))
    with pytest.raises(Internal, match="returned 2 tensors, expected 1"):
        pytorch.Engine(lambda tensors: (1, 2), [spec], [spec]).run({"x": 1})
    with pytest.raises(Internal, match="returned no 'x'; it returned: y"):
        pytorch.Engine(lambda tensors: {"y": 1}, [spec], [spec]).run({"x": 1})


def test_without_pytorch_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(NotInstalled, match=r"^PyTorch is missing .*install tandem-predictor\[torch\]$"):
        open_runtimes(tmp_path / "model.pt2", PLAN)


@pytest.mark.skipif(torch.version.cuda is not None, reason="this PyTorch is built for CUDA")
def test_a_pytorch_for_the_cpu_says_so():
    with pytest.raises(NotInstalled, match="built for the CPU"):
        pytorch.probe(0)


@pytest.fixture(scope="module")
def torch_pair(tmp_path_factory: pytest.TempPathFactory):
    sys.path.insert(0, str(ROOT))
    from bench import torch_program  # noqa: PLC0415 - which needs PyTorch

    folder = tmp_path_factory.mktemp("torch") / "1"
    folder.mkdir()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of PyTorch about itself
        torch.export.save(torch_program.program(torch_program.SOURCE), folder / "model.pt2")
    with running_pair("custom-model", (f"--model_dir={folder.parent}", "--allow_python_models")) as pair:
        yield pair


def test_the_default_model_in_pytorch_sees_what_it_sees_in_onnx_runtime(torch_pair: Pair, pair: Pair):
    photo = (ROOT / "examples/image-classification/photos/cat_chelsea.jpg").read_bytes()
    answers = []
    for each in (torch_pair, pair):
        with Client(each.transformer.url) as client:
            answers.append(client.infer("custom-model", {"input-0": np.array([photo], object)}))
    assert answers[0]["classes"].tolist() == answers[1]["classes"].tolist()
    np.testing.assert_allclose(answers[0]["output-0"], answers[1]["output-0"], atol=1e-4)
