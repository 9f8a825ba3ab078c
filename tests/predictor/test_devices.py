"""Where models run: the choice, its errors, and the lanes."""

from __future__ import annotations

import logging
import sys
from types import SimpleNamespace

import numpy as np
import onnxruntime as ort
import pytest
from predictor import stand_in_cupy
from tandem_predictor import devices
from tandem_predictor.devices import CPU, Device, NotInstalled, choose, cuda
from tandem_predictor.devices.cuda import CudaLane
from tandem_predictor.devices.scale import Scale, checked, scale
from tandem_predictor.runtime import LoadError
from tandem_predictor.runtimes import onnx

GPU = Device("cuda", 1)


@pytest.fixture
def cupy(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    monkeypatch.setitem(sys.modules, "cupy", stand_in_cupy.cupy)
    monkeypatch.setitem(sys.modules, "cupyx", stand_in_cupy.cupyx)
    stand_in_cupy.PINNED.clear()
    return stand_in_cupy.cupy


def absent(index: int) -> None:
    raise NotInstalled("no CUDA")


def broken(index: int) -> None:
    raise LoadError("no driver")


@pytest.mark.parametrize("text", ["auto", "cpu", "cuda", "cuda:0", "cuda:12"])
def test_devices_are_read(text: str):
    assert devices.parse(text) == text


@pytest.mark.parametrize("text", ["", "gpu", "cuda:", "cuda:x", "cuda:-1", "cpu:0", "auto:1", "cuda:1:2", "cuda:²"])
def test_what_is_no_device_is_refused(text: str):
    with pytest.raises(ValueError, match=r"^auto, cpu, cuda or cuda:N$"):
        devices.parse(text)


def test_a_device_that_works_is_taken():
    asked: list[int] = []
    assert [str(choose(wanted, asked.append)) for wanted in ("auto", "cuda", "cuda:3", "wanted:2")] == [
        *("cuda:0", "cuda:0", "cuda:3", "cuda:2")
    ]
    assert asked == [0, 0, 3, 2]


@pytest.mark.parametrize("probe", [absent, broken])
def test_only_auto_falls_back(probe):
    assert choose("auto", probe) == choose("wanted", probe) == choose("cpu", probe) == CPU
    with pytest.raises(LoadError, match=r"^--device=cuda:1: no "):
        choose("cuda:1", probe)


@pytest.mark.parametrize(
    ("wanted", "probe", "level"),
    [
        ("auto", absent, logging.DEBUG),  # as on every machine without a GPU
        ("auto", broken, logging.WARNING),
        ("wanted", absent, logging.WARNING),
    ],
)
def test_a_fall_back_is_told_where_it_surprises(wanted, probe, level, caplog: pytest.LogCaptureFixture):
    with caplog.at_level(logging.DEBUG, "tandem.predictor"):
        choose(wanted, probe)
    assert [(record.levelno, record.getMessage()) for record in caplog.records] == [(level, "the CPU is used")]
    assert caplog.records[0].reason


def test_without_cupy_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "cupy", None)
    with pytest.raises(NotInstalled, match=r"^CuPy is missing .*install tandem-predictor\[cuda\], or use cpu"):
        cuda.probe(0)


def test_a_gpu_that_is_not_there_is_told(cupy, monkeypatch: pytest.MonkeyPatch):
    cuda.probe(1)
    with pytest.raises(LoadError, match=r"^there is no GPU of that number; this machine has: cuda:0, cuda:1$"):
        cuda.probe(2)

    def count() -> int:
        raise cupy.cuda.runtime.CUDARuntimeError("cudaErrorNoDevice")

    monkeypatch.setattr(cupy.cuda.runtime, "getDeviceCount", count)
    with pytest.raises(LoadError, match=r"^no GPU, or no driver for it \(cudaErrorNoDevice\); mend that, or use cpu$"):
        cuda.probe(0)


@pytest.mark.skipif("CUDAExecutionProvider" in ort.get_available_providers(), reason="this machine has CUDA")
def test_an_onnxruntime_without_cuda_says_what_to_install():
    with pytest.raises(NotInstalled, match=r"no CUDA provider; install tandem-predictor\[cuda\] \(onnxruntime-gpu\)"):
        onnx.probe(0)


@pytest.mark.skipif("CUDAExecutionProvider" in ort.get_available_providers(), reason="this machine has CUDA")
def test_an_onnxruntime_that_overwrote_the_other_is_told(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(onnx, "_installed", lambda name: name == "onnxruntime-gpu")
    with pytest.raises(NotInstalled, match=r"onnxruntime-gpu in the place of onnxruntime, which overwrites it"):
        onnx.probe(0)


def test_the_memory_of_a_gpu_is_bounded(cupy):
    cuda.limit_memory(GPU, 123)
    assert stand_in_cupy.LIMITS.pop() == 123


@pytest.mark.parametrize("shape", [(3, 2), (0, 2), (1,)])
def test_a_lane_takes_arrays_there_and_back(cupy, shape):
    lane, array = CudaLane(GPU), np.arange(np.prod(shape), dtype="f4").reshape(shape)
    with lane.current():
        back = lane.download({"x": lane.upload(array)})
    np.testing.assert_array_equal(back["x"], array)
    assert back["x"] is stand_in_cupy.PINNED[-1]  # and not the view of a temporary


@pytest.mark.parametrize("rows", [0, 1, 3])
def test_a_lane_fills_up_with_zeros(cupy, rows: int):
    lane, array = CudaLane(GPU), np.ones((rows, 2), "i8")
    with lane.current():
        back = lane.download({"x": lane.upload(array, 4)})["x"]
    assert back.tolist() == [[1, 1]] * rows + [[0, 0]] * (4 - rows)


def test_batches_are_stacked_in_pinned_memory(cupy):
    made = CudaLane(GPU).allocate((2, 3), np.dtype("u1"))
    assert (made.shape, made.dtype) == ((2, 3), np.uint8)
    assert made is stand_in_cupy.PINNED[-1]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("127/128", Scale((127,), (128,))),
        ("1:2:3/4", Scale((1, 2, 3), (4,))),
        ("0.5/1:2:3.5", Scale((0.5,), (1, 2, 3.5))),
    ],
)
def test_scales_are_read(text: str, expected: Scale):
    assert scale(text) == expected
    assert checked(text) == text


@pytest.mark.parametrize("text", ["1", "1/0", "1/2/3", "1:2/3", "a/b", "1/nan", "inf/1", "/", "1:2:3/1:0:2"])
def test_what_is_no_scale_is_refused(text: str):
    with pytest.raises(ValueError, match="MEAN/STD"):
        checked(text)


def test_no_scale_is_none():
    assert checked("") == ""
