"""ONNX Runtime on real, tiny models."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper
from predictor.fakes import NEVER, Rig, used_to
from tandem import InvalidInput, TensorSpec
from tandem.tensors import DTYPES, objects
from tandem_predictor.devices import CPU, Device
from tandem_predictor.runtime import LoadError, batchable
from tandem_predictor.runtimes import Plan, open_runtimes, sessions
from tandem_predictor.runtimes.onnx import Cuda, NoCuda, OnnxRuntime, open_session
from tandem_predictor.runtimes.sessions import ALONE, FIRST, MOST, Sessions

DIGITS = Path(__file__).parent.parent / "models" / "digits" / "model.onnx"
Build = Callable[..., Path]
tensor = helper.make_tensor_value_info
FLOAT, STRING, INT64 = TensorProto.FLOAT, TensorProto.STRING, TensorProto.INT64


@pytest.fixture
def build(tmp_path: Path) -> Build:
    """Saves a graph of `nodes` as model.onnx and gives its path."""

    def build(nodes: list, inputs: list, outputs: list) -> Path:
        graph = helper.make_graph(nodes, "test", inputs, outputs)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        onnx.save(model, tmp_path / "model.onnx")
        return tmp_path / "model.onnx"

    return build


def opened(file: Path) -> OnnxRuntime:
    return OnnxRuntime(Sessions(open_session(file, threads=1)))


def identity(build: Build, kind: int, shape: list) -> OnnxRuntime:
    return opened(
        build([helper.make_node("Identity", ["x"], ["y"])], [tensor("x", kind, shape)], [tensor("y", kind, shape)])
    )


def images(count: int) -> np.ndarray:
    return np.random.default_rng(count).random((count, 8, 8), np.float32)


def test_the_metadata_is_the_graphs():
    digits = opened(DIGITS)
    assert digits.inputs == [TensorSpec("image", "FP32", (-1, 8, 8))]
    assert digits.outputs == [TensorSpec("probabilities", "FP32", (-1, 10))]
    assert (digits.platform, digits.max_batch_size, batchable(digits)) == ("onnxruntime_onnx", None, True)


@pytest.mark.parametrize("count", [0, 1, 5])
def test_a_model_gives_one_row_of_output_a_row_of_input(count: int):
    outputs = opened(DIGITS).run({"image": images(count)})
    assert list(outputs) == ["probabilities"]
    assert outputs["probabilities"].shape == (count, 10)
    np.testing.assert_allclose(outputs["probabilities"].sum(1), 1, rtol=1e-5)


@pytest.mark.parametrize(
    "datatype",
    ["BOOL", "UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64", "FP16", "FP32", "FP64"],
)
def test_every_plain_datatype_goes_in_and_out_as_it_is(build: Build, datatype: str):
    dtype = DTYPES[datatype]
    runtime = identity(build, helper.np_dtype_to_tensor_dtype(dtype), ["N", 2])
    assert runtime.inputs == [TensorSpec("x", datatype, (-1, 2))]
    assert runtime.outputs == [TensorSpec("y", datatype, (-1, 2))]
    array = np.array([[0, 1], [1, 0]]).astype(dtype)
    answer = runtime.run({"x": array})["y"]
    assert answer.dtype == dtype
    np.testing.assert_array_equal(answer, array)


@pytest.mark.parametrize("shape", [(4,), (2, 2), (0,), ()])
def test_text_is_utf_8_bytes_on_both_sides(build: Build, shape: tuple[int, ...]):
    runtime = identity(build, STRING, ["N", *[None] * (len(shape) - 1)] if shape else [])
    assert runtime.inputs[0].datatype == runtime.outputs[0].datatype == "BYTES"
    words = objects(["grüße".encode(), b"", b"a\x00b\x00", "例".encode()][: int(np.prod(shape))]).reshape(shape)
    answer = runtime.run({"x": words})["y"]
    assert (answer.dtype, answer.shape) == (np.dtype(object), shape)
    assert answer.tolist() == words.tolist()


def test_bytes_that_are_not_text_are_the_callers_fault(build: Build):
    with pytest.raises(InvalidInput, match="input 'x': an element is not UTF-8"):
        identity(build, STRING, ["N"]).run({"x": objects([b"fine", b"\xff\xfe"])})


def test_several_inputs_and_outputs_keep_the_graphs_order(build: Build):
    file = build(
        [helper.make_node("Sub", ["b", "a"], ["z"]), helper.make_node("Concat", ["a", "b"], ["y"], axis=1)],
        [tensor("b", FLOAT, ["N", 2]), tensor("a", FLOAT, ["N", 2])],
        [tensor("z", FLOAT, ["N", 2]), tensor("y", FLOAT, ["N", 4])],
    )
    runtime = opened(file)
    assert [spec.name for spec in runtime.inputs] == ["b", "a"]
    assert [spec.name for spec in runtime.outputs] == ["z", "y"]
    outputs = runtime.run({"a": np.ones((1, 2), "<f4"), "b": np.full((1, 2), 3, "<f4")})
    assert {name: array.tolist() for name, array in outputs.items()} == {"z": [[2, 2]], "y": [[1, 1, 3, 3]]}


@pytest.mark.parametrize(
    ("inside", "outside", "expected"),
    [(["N", 3], ["N", 3], True), ([4, 3], [4, 3], False), ([None, 3], [None, 3], True), ([1, "M"], [1, "M"], False)],
)
def test_only_a_variable_first_dimension_makes_a_model_batchable(build: Build, inside, outside, expected: bool):
    node = helper.make_node("Relu", ["x"], ["y"])
    assert batchable(opened(build([node], [tensor("x", FLOAT, inside)], [tensor("y", FLOAT, outside)]))) is expected


def test_a_fixed_output_makes_a_model_unbatchable(build: Build):
    node = helper.make_node("ReduceMax", ["x"], ["y"], axes=[0], keepdims=1)
    assert not batchable(opened(build([node], [tensor("x", FLOAT, ["N", 3])], [tensor("y", FLOAT, [1, 3])])))


def test_one_input_of_fixed_size_makes_a_model_unbatchable(build: Build):
    node = helper.make_node("Mul", ["x", "scale"], ["y"])
    inputs = [tensor("x", FLOAT, ["N", 3]), tensor("scale", FLOAT, [3])]
    assert not batchable(opened(build([node], inputs, [tensor("y", FLOAT, ["N", 3])])))


@pytest.mark.parametrize(("kind", "shape"), [(FLOAT, ["N", "W", 2]), (STRING, ["N"]), (INT64, [3, "M"]), (FLOAT, [])])
def test_warming_up_finds_a_shape_for_any_model(build: Build, kind: int, shape: list):
    identity(build, kind, shape).warm_up(4)
    with pytest.raises(Exception, match="rank"):  # so that a warm-up which ran nothing would be seen
        identity(build, FLOAT, ["N"]).run({"x": np.zeros((1, 1), "<f4")})


def test_the_instances_of_a_model_may_run_at_the_same_time_and_agree():
    async def both() -> list[np.ndarray]:
        runs = [asyncio.to_thread(runtime.run, {"image": images(40)}) for runtime in runtimes]
        return [outputs["probabilities"] for outputs in await asyncio.gather(*runs)]

    runtimes = open_runtimes(DIGITS, Plan(instances=4, threads=1))
    answers = asyncio.run(both())
    assert len(answers) == 4
    for answer in answers[1:]:
        np.testing.assert_array_equal(answer, answers[0])


@pytest.mark.parametrize("apart", [False, True])
async def test_a_batch_of_strangers_gives_each_what_it_gets_alone(apart: bool):
    digits = opened(DIGITS)
    digits.habit = used_to(apart=apart)
    requests = [{"image": images(count)} for count in (1, 3, 2, 1, 5)]
    alone = [digits.run(request)["probabilities"] for request in requests]
    async with Rig(digits, rows=8) as rig:
        outcomes = await asyncio.gather(*[rig.batcher.submit(request, NEVER) for request in requests])
        assert rig.metric("tandem_batch_rows_sum") == 12
        assert rig.metric("tandem_batch_rows_count") < len(requests)
    for outcome, expected in zip(outcomes, alone, strict=True):
        np.testing.assert_allclose(outcome.outputs["probabilities"], expected, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("content", [None, b"", b"not a model", DIGITS.read_bytes()[:200]])
def test_a_file_that_is_no_model_says_so(tmp_path: Path, content: bytes | None):
    file = tmp_path / "model.onnx"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(LoadError, match=r"model\.onnx cannot be loaded by ONNX Runtime: ."):
        open_session(file, threads=1)


def test_a_tensor_that_the_protocol_cannot_carry_is_named(build: Build):
    output = helper.make_tensor_sequence_value_info("list", FLOAT, None)
    file = build([helper.make_node("SplitToSequence", ["x"], ["list"])], [tensor("x", FLOAT, ["N"])], [output])
    with pytest.raises(LoadError, match="'list' of the model is seq"):
        opened(file)


@pytest.mark.skipif("CUDAExecutionProvider" in ort.get_available_providers(), reason="this machine has CUDA")
@pytest.mark.filterwarnings("ignore")  # the engine here, which has no CUDA, says so and takes the CPU
def test_cuda_that_fails_is_an_error_where_the_engine_would_take_the_cpu():
    with pytest.raises(NoCuda, match=r"^ONNX Runtime finds no GPU, or not all of CUDA's libraries"):
        open_session(DIGITS, threads=1, gpu=Cuda(0))


@pytest.mark.skipif("CUDAExecutionProvider" in ort.get_available_providers(), reason="this machine has CUDA")
@pytest.mark.filterwarnings("ignore")
def test_cuda_that_fails_at_the_load_falls_back_only_where_nobody_asked_for_it(caplog: pytest.LogCaptureFixture):
    plan = Plan(instances=2, threads=1, device=Device("cuda", 0))
    assert [runtime.device for runtime in open_runtimes(DIGITS, plan)] == [CPU, CPU]
    assert "the CPU is used" in caplog.text
    with pytest.raises(LoadError, match=r"^--device=cuda:0: ONNX Runtime finds no GPU"):
        open_runtimes(DIGITS, replace(plan, wanted="cuda:0"))


def test_the_provider_gets_its_options():
    assert Cuda(1).options() == {"device_id": "1", "use_tf32": "0"}
    expected = {"device_id": "0", "use_tf32": "1", "gpu_mem_limit": "1024"}
    assert Cuda(0, mem_limit=1024, allow_tf32=True).options() == expected


class Recorder:
    """A session that notes each run, takes as long as it is told by the clock, and may be held in one."""

    def __init__(self, clock: Clock, seconds: float) -> None:
        self.clock = clock
        self.seconds = seconds
        self.runs = 0
        self.hold: threading.Barrier | None = None

    def run(self, names, inputs):
        self.runs += 1
        self.clock.now += self.seconds
        if self.hold:
            self.hold.wait(10)
            self.hold.wait(10)
        return [np.zeros(1)]


class Clock:
    """Time as the sessions see it."""

    now = 100.0

    def perf_counter(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(sessions, "time", made)
    return made


def lonely_runs(clock: Clock, narrow: float, wide: float, count: int) -> tuple[int, int]:
    """How many of `count` runs were narrow and how many wide, where a run takes so many seconds."""
    both = Recorder(clock, narrow), Recorder(clock, wide)
    made = Sessions(*both)
    for _ in range(count):
        made.run([], {"x": np.zeros((1, 2))})
    return both[0].runs, both[1].runs


def test_a_run_has_every_cpu_once_several_in_a_row_were_alone(clock: Clock):
    assert lonely_runs(clock, narrow=2, wide=1, count=ALONE + FIRST - 1) == (ALONE, FIRST - 1)


@pytest.mark.parametrize(("narrow", "wide", "loser"), [(1, 2, 1), (2, 1, 0), (1, 1, 0), (1, 0.96, 0)])
def test_what_loses_is_tried_more_and_more_seldom(clock: Clock, narrow: float, wide: float, loser: int):
    counts = lonely_runs(clock, narrow, wide, ALONE + 10 * MOST)
    tries = counts[loser] - (0 if loser else ALONE)
    assert tries < 10 + 8 + FIRST  # at 8, 16, ... and then at each MOST


def test_a_session_that_has_become_faster_is_found(clock: Clock):
    """As where something else wanted the CPUs at first."""
    narrow, wide = Recorder(clock, 2), Recorder(clock, 3)
    made = Sessions(narrow, wide)
    for _ in range(ALONE + 3 * FIRST):
        made.run([], {})
    wide.seconds, before = 1, wide.runs
    for _ in range(100):
        made.run([], {})
    assert wide.runs - before > 50


def test_one_slow_run_is_forgotten_soon(clock: Clock):
    narrow, wide = Recorder(clock, 2), Recorder(clock, 1)
    made = Sessions(narrow, wide)
    for number in range(ALONE + 200):
        wide.seconds = 30 if number == ALONE + FIRST - 2 else 1  # just before the other is tried
        made.run([], {})
    assert narrow.runs < ALONE + 2 * FIRST


def test_a_run_beside_another_is_narrow_and_so_are_the_next(clock: Clock):
    narrow, wide = Recorder(clock, 2), Recorder(clock, 1)
    made = Sessions(narrow, wide)
    for _ in range(ALONE):
        made.run([], {})
    wide.hold = threading.Barrier(2)
    lonely = threading.Thread(target=made.run, args=([], {}))
    lonely.start()
    wide.hold.wait(10)  # it runs, with every CPU
    made.run([], {})
    wide.hold.wait(10)
    lonely.join()
    made.run([], {})
    assert (narrow.runs, wide.runs) == (ALONE + 2, 1)


def test_both_sessions_give_the_same_scores():
    file = Path(DIGITS)
    runtimes = open_runtimes(file, Plan(instances=1, threads=1, lonely_threads=2))
    scores = [runtimes[0].run({"image": images(3)})["probabilities"] for _ in range(ALONE + 2)]
    assert np.abs(scores[0] - scores[-1]).max() < 1e-6
