"""Models with what surrounds them on their device: ONNX Runtime's own CPU, by its IO binding too."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from harness import ROOT
from onnx import TensorProto, helper
from predictor import stand_in_cupy
from tandem import TensorSpec
from tandem.errors import Internal
from tandem.inference import Arrays
from tandem_predictor.devices import CPU
from tandem_predictor.devices.cuda import CudaLane
from tandem_predictor.devices.lane import HostLane
from tandem_predictor.devices.scale import scale
from tandem_predictor.runtime import LoadError
from tandem_predictor.runtimes import Plan, open_runtimes
from tandem_predictor.runtimes.bound import BoundSession
from tandem_predictor.runtimes.on_device import PHASES, OnDevice, padded
from tandem_predictor.runtimes.onnx import OnnxRuntime, open_session, specs
from tandem_predictor.runtimes.sessions import Sessions
from tandem_predictor.stacking import Buffers

DIGITS = Path(__file__).parent.parent / "models" / "digits" / "model.onnx"
FLOATS = ROOT / ".cache" / "variants" / "efficientnet-lite0-floats" / "1" / "model.onnx"
PIXELS = ROOT / ".cache" / "models" / "efficientnet-lite0" / "1" / "model.onnx"
tensor = helper.make_tensor_value_info


@pytest.fixture
def lane(monkeypatch: pytest.MonkeyPatch) -> CudaLane:
    """A GPU's lane over the stand-in for CuPy, whose memory ONNX Runtime reads as the CPU's."""
    monkeypatch.setitem(sys.modules, "cupy", stand_in_cupy.cupy)
    monkeypatch.setitem(sys.modules, "cupyx", stand_in_cupy.cupyx)
    return CudaLane(CPU)


def bound(file: Path, lane: CudaLane) -> BoundSession:
    session = open_session(file, threads=1)
    return BoundSession(session, lane, "onnxruntime_onnx", *specs(session))


def plain(file: Path) -> OnnxRuntime:
    return OnnxRuntime(Sessions(open_session(file, threads=1)))


def images(rows: int) -> np.ndarray:
    return np.random.default_rng(rows).random((rows, 8, 8), np.float32)


def saved(folder: Path, nodes: list, inputs: list, outputs: list) -> Path:
    graph = helper.make_graph(nodes, "test", inputs, outputs)
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), folder / "model.onnx"
    )
    return folder / "model.onnx"


def test_sizes_are_powers_of_two():
    assert [padded(rows) for rows in range(10)] == [1, 1, 2, 4, 4, 8, 8, 8, 8, 16]


@pytest.mark.parametrize("rows", [0, 1, 2, 3, 5])
def test_a_bound_session_answers_as_the_plain_one(lane: CudaLane, rows: int):
    runtime = OnDevice(bound(DIGITS, lane), lane)
    expected = plain(DIGITS).run({"image": images(rows)})["probabilities"]
    np.testing.assert_allclose(runtime.run({"image": images(rows)})["probabilities"], expected, atol=1e-6)


def test_a_bound_session_knows_the_model(lane: CudaLane):
    runtime = OnDevice(bound(DIGITS, lane), lane)
    assert (runtime.inputs, runtime.outputs) == (plain(DIGITS).inputs, plain(DIGITS).outputs)
    assert runtime.platform == "onnxruntime_onnx"
    assert runtime.device == lane.device


def test_outputs_of_unknown_shape_are_taken_from_the_engine(lane: CudaLane, tmp_path: Path):
    node = helper.make_node("NonZero", ["x"], ["places"])
    double = helper.make_node("Add", ["x", "x"], ["double"])
    file = saved(
        tmp_path,
        [node, double],
        [tensor("x", TensorProto.FLOAT, [2, 3])],
        [tensor("places", TensorProto.INT64, [2, "found"]), tensor("double", TensorProto.FLOAT, [2, 3])],
    )
    array = np.array([[0, 5, 0], [7, 0, 9]], "f4")
    result = OnDevice(bound(file, lane), lane).run({"x": array})
    assert result["places"].tolist() == [[0, 1, 1], [1, 0, 2]]
    assert result["double"].tolist() == (2 * array).tolist()


def test_each_phase_is_observed(lane: CudaLane):
    seen: list[tuple[str, float]] = []
    OnDevice(bound(DIGITS, lane), lane, observe=lambda *phase: seen.append(phase)).run({"image": images(1)})
    assert [phase for phase, _ in seen] == list(PHASES)
    assert all(seconds > 0 for _, seconds in seen)


class Odd:
    """An engine that gives as many rows as it likes."""

    platform, max_batch_size = "odd", None
    inputs = outputs = (TensorSpec("x", "FP32", (-1, 1)),)

    def __init__(self, rows: int) -> None:
        self.sizes: list[int] = []
        self._rows = rows

    def run(self, inputs: Arrays) -> Arrays:
        self.sizes.append(len(inputs["x"]))
        return {"x": inputs["x"][: self._rows]}


def test_a_padded_batch_that_comes_back_in_another_size_is_refused(lane: CudaLane):
    with pytest.raises(Internal, match=r"returned \[3, 1\] of 'x' for a batch of 4 rows"):
        OnDevice(Odd(3), lane).run({"x": np.ones((3, 1), "f4")})


@pytest.mark.parametrize(("most", "sizes"), [(1, [1]), (4, [1, 2, 4]), (6, [1, 2, 4, 8])])
def test_the_warm_up_has_seen_every_size_that_occurs(lane: CudaLane, most: int, sizes: list[int]):
    engine = Odd(99)
    runtime = OnDevice(engine, lane)
    runtime.warm_up(most)
    assert engine.sizes == sizes
    for rows in range(1, most + 1):
        runtime.run({"x": np.ones((rows, 1), "f4")})
    assert set(engine.sizes) == set(sizes)


def test_nothing_is_padded_on_the_cpu():
    engine = Odd(99)
    OnDevice(engine, HostLane()).warm_up(3)
    assert engine.sizes == [1, 3]


def test_a_normalised_model_takes_pixels_and_answers_the_same():
    """The default model without its normalisation and its softmax, given both, is the default model."""
    plan = Plan(instances=1, threads=2, scale=scale("127/128"), top_k=5)
    runtime = open_runtimes(FLOATS, plan)[0]
    assert runtime.inputs == (TensorSpec("x", "UINT8", (-1, 224, 224, 3)),)
    assert runtime.outputs == (TensorSpec("logits", "FP32", (-1, 5)), TensorSpec("classes", "INT64", (-1, 5)))
    pixels = np.random.default_rng(5).integers(0, 256, (2, 224, 224, 3), np.uint8)
    got = runtime.run({"x": pixels})
    expected = plain(PIXELS).run({"image": pixels})["probabilities"]
    order = np.argsort(-expected, axis=1)[:, :5]
    assert got["classes"].tolist() == order.tolist()
    np.testing.assert_allclose(got["logits"], np.take_along_axis(expected, order, axis=1), atol=1e-4)


def test_steps_run_on_the_device(lane: CudaLane, tmp_path: Path):
    shape = ["N", 3, 2, 2]
    node = helper.make_node("Flatten", ["x"], ["scores"])
    file = saved(
        tmp_path,
        [node],
        [tensor("x", TensorProto.FLOAT, shape)],
        [tensor("scores", TensorProto.FLOAT, ["N", 12])],
    )
    runtime = OnDevice(bound(file, lane), lane, scale=scale("1:2:3/2"), top_k=2)
    image = np.zeros((3, 2, 2, 3), np.uint8)
    image[:, 0, 1, 2] = 200, 100, 50  # the third channel of the upper right pixel
    got = runtime.run({"x": image})
    assert got["classes"][:, 0].tolist() == [2 * 4 + 1] * 3
    assert got["scores"][:, 0] == pytest.approx(1)


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ([("x", TensorProto.FLOAT, ["N", 8, 8])], r"'x' FP32 \[-1, 8, 8\]"),
        ([("x", TensorProto.UINT8, ["N", 4, 4, 3])], r"'x' UINT8"),
        ([("x", TensorProto.FLOAT, ["N", 3, 4, 4]), ("y", TensorProto.FLOAT, ["N", 3, 4, 4])], r"'x' .*, 'y' "),
    ],
)
def test_a_model_that_takes_no_image_cannot_be_normalised(tmp_path: Path, inputs: list, message: str):
    nodes = [helper.make_node("Identity", [name], [f"out-{name}"]) for name, _, _ in inputs]
    outputs = [tensor(f"out-{name}", kind, shape) for name, kind, shape in inputs]
    file = saved(tmp_path, nodes, [tensor(*each) for each in inputs], outputs)
    with pytest.raises(LoadError, match=rf"^--normalize: expected one input FP32 or FP16 .*, got {message}"):
        open_runtimes(file, Plan(instances=1, threads=1, scale=scale("0/1")))


def test_a_model_without_scores_has_no_best(tmp_path: Path):
    outputs = [tensor("y", TensorProto.FLOAT, ["N", 8, 8])]
    file = saved(
        tmp_path, [helper.make_node("Identity", ["x"], ["y"])], [tensor("x", TensorProto.FLOAT, ["N", 8, 8])], outputs
    )
    with pytest.raises(LoadError, match=r"^--top_k: expected one output FP32 or FP16 \[N,classes\], none called"):
        open_runtimes(file, Plan(instances=1, threads=1, top_k=2))


def test_more_than_all_classes_are_all():
    runtime = open_runtimes(DIGITS, Plan(instances=1, threads=1, top_k=99))[0]
    assert runtime.outputs[0].shape == (-1, 10)
    got = runtime.run({"image": images(2)})
    assert got["probabilities"].shape == got["classes"].shape == (2, 10)


def test_every_request_is_copied_to_memory_that_the_lane_made():
    made: list[np.ndarray] = []

    def allocate(shape, dtype):
        made.append(np.empty(shape, dtype))
        return made[-1]

    buffers = Buffers(4, allocate)
    one = np.frombuffer(images(1).tobytes(), "f4").reshape(1, 8, 8)
    stacked = buffers.stack([{"image": one}])["image"]
    assert np.may_share_memory(stacked, made[0])
    assert stacked.flags.writeable  # PyTorch wants it
    assert buffers.hold(stacked)
    again = buffers.stack([{"image": images(2)}, {"image": images(1)}])["image"]
    assert len(made) == 1
    np.testing.assert_array_equal(again, np.concatenate([images(2), images(1)]))
    larger = buffers.stack([{"image": images(9)}])["image"]  # of a model that does not batch
    np.testing.assert_array_equal(larger, images(9))


def test_texts_and_scalars_need_no_such_memory():
    buffers = Buffers(4, lambda shape, dtype: pytest.fail("asked for"))
    request = {"text": np.array([b"a", b"b"], object), "scalar": np.array(3.0)}
    stacked = buffers.stack([request])
    assert stacked["text"].tolist() == [b"a", b"b"]
    assert stacked["scalar"] == 3
