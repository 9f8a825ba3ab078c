"""docs/gpu.md: its blocks as they stand, and what it says of them, on the CPU."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from contract.client import ask
from harness import DIGITS, FLOATS_MODEL, PHOTOS, ROOT, Pair, metric, running_pair
from tandem import TensorSpec
from tandem.client import Client
from tandem.tensors import objects
from tandem_predictor.devices.nvml import Gpus

PAGE = (ROOT / "docs" / "gpu.md").read_text()
PHOTO = PHOTOS / "cat_chelsea.jpg"


def block(language: str, containing: str) -> str:
    found = re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    (text,) = [text for text in found if containing in text]
    return text


@pytest.fixture(scope="module")
def stepped() -> Iterator[Pair]:
    """The default model without its normalisation and its softmax, by the page's command, with the page's option."""
    command, folder, *flags = shlex.split(block("sh", "--normalize=127/128"))
    assert (command, folder) == ("tandem-predictor", "--model_dir=/models")
    (option,) = re.findall(r"`(--transformer_options=labels=imagenet)`", PAGE)
    with running_pair("custom-model", (f"--model_dir={FLOATS_MODEL}", *flags), (option,)) as pair:
        yield pair


def test_pixels_go_in_and_the_best_come_out_as_from_the_default_model(stepped: Pair, pair: Pair) -> None:
    answers = []
    for each in (stepped, pair):
        with Client(each.transformer.url) as client:
            answers.append(client.infer("custom-model", {"input-0": objects([PHOTO.read_bytes()] * 3)}))
    assert answers[0]["labels"].tolist() == answers[1]["labels"].tolist()
    assert answers[0]["classes"].tolist() == answers[1]["classes"].tolist()
    np.testing.assert_allclose(answers[0]["output-0"], answers[1]["output-0"], atol=1e-4)


def test_the_predictor_shows_pixels_and_the_best(stepped: Pair) -> None:
    with Client(stepped.predictor.url) as client:
        metadata = client.metadata("custom-model")
    assert metadata.inputs == (TensorSpec("x", "UINT8", (-1, 224, 224, 3)),)
    assert metadata.outputs == (TensorSpec("logits", "FP32", (-1, 5)), TensorSpec("classes", "INT64", (-1, 5)))


@pytest.mark.parametrize(
    ("flags", "line"),
    [
        (("--device=cuda",), "--device=cuda: this ONNX Runtime has no CUDA provider; install tandem-predictor[cuda]"),
        (("--normalize=127/128",), "--normalize: expected one input FP32 or FP16 [N,3,height,width]"),
        (("--normalize=127",), "--normalize: got '127', expected MEAN/STD"),
        (("--device=gpu",), "--device: got 'gpu', expected auto, cpu, cuda or cuda:N"),
    ],
)
def test_what_cannot_be_is_one_line_and_status_2(flags: tuple[str, ...], line: str) -> None:
    ports = ("--host=127.0.0.1", "--http_port=0", "--grpc_port=0")
    command = [sys.executable, "-m", "tandem_predictor", f"--model_dir={DIGITS}", *ports, *flags]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    (told,) = [text for text in done.stderr.splitlines() if not text.startswith("{")]
    assert line in told


def test_python_models_have_no_steps(tmp_path: Path) -> None:
    (tmp_path / "model.py").write_text("class Model: ...")
    command = [
        sys.executable,
        "-m",
        "tandem_predictor",
        f"--model_dir={tmp_path}",
        "--allow_python_models",
        "--top_k=5",
    ]
    ports = ("--host=127.0.0.1", "--http_port=0", "--grpc_port=0")
    done = subprocess.run([*command, *ports], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert "--normalize and --top_k are for models of ONNX and PyTorch, and model is Python" in done.stderr


def test_the_program_of_the_page_is_served(tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="PyTorch's build for the CPU is not to be had (requirements/torch.txt)")
    command = [sys.executable, "-W", "ignore", "-c", block("python", "torch.export.save")]
    subprocess.run(command, cwd=tmp_path, check=True, timeout=100)
    flags = (f"--model_dir={tmp_path}", "--max_batch_size=2048", "--allow_python_models")
    with running_pair("m", flags, ("--transformer=identity",)) as pair, Client(pair.transformer.url) as client:
        rows = np.random.default_rng(1).random((5, 4), np.float32)
        answer = client.infer("m", {"input": rows})["output-0"]
        assert answer.shape == (5, 3)
        np.testing.assert_allclose(answer.sum(axis=1), 1, atol=1e-5)
        with Client(pair.predictor.url) as predictor:
            config = predictor.config("m")
        assert (config["backend"], config["max_batch_size"]) == ("pytorch", 1024)
        exposition = ask(f"{pair.predictor.url}/metrics").body.decode()
    for phase in ("copy_in", "compute", "copy_out"):
        assert metric(exposition, "tandem_device_seconds_count", model_name="m", phase=phase) >= 1


def test_the_script_that_measures_runs_on_the_cpu() -> None:
    command = [sys.executable, "-m", "bench.device", "--device=cpu", "--batches=2", "--seconds=0.5", "--rounds=1"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=110, check=False)
    assert done.returncode == 0, done.stderr
    assert re.search(r"^\| 2 \| [\d,]+ \| [\d,]+ \| \d+\.\d\d \| - \| - \|$", done.stdout, re.MULTILINE), done.stdout
    assert not list(Path("/dev/shm").glob("tandem_bench_*"))  # noqa: S108 - where shared memory lies


class NVMLError(Exception):
    """As NVIDIA's."""


class StandInNvml:
    """Two GPUs, one of which does not know its power."""

    NVMLError = NVMLError

    def nvmlDeviceGetCount(self) -> int:  # noqa: N802 - NVIDIA's names
        return 2

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:  # noqa: N802
        return index

    def nvmlDeviceGetUUID(self, gpu: int) -> str:  # noqa: N802
        return f"GPU-{gpu}"

    def __getattr__(self, name: str) -> object:
        def ask(gpu: int) -> object:
            if gpu and "Power" in name:
                raise NVMLError
            return (
                type("Answer", (), {"used": 5, "total": 9, "gpu": 50})()
                if "Memory" in name or "Rates" in name
                else 7000
            )

        return ask


def test_the_page_names_the_metrics_of_a_gpu() -> None:
    families = {family.name: family for family in Gpus(StandInNvml(), triton=True).collect()}
    for name in families:
        start = name.rpartition("_")[0]
        assert name in PAGE or f"`{start}_*`" in PAGE or f"`{start.rpartition('_')[0]}_*`" in PAGE, name
    values = {(s.name, s.labels["gpu_uuid"]): s.value for f in families.values() for s in f.samples}
    assert values["tandem_gpu_memory_used_bytes", "GPU-1"] == 5
    assert values["nv_gpu_utilization", "GPU-0"] == 0.5
    assert values["nv_gpu_power_usage", "GPU-0"] == 7
    assert ("nv_gpu_power_usage", "GPU-1") not in values
    own = [family.name for family in Gpus(StandInNvml(), triton=False).collect()]
    assert own == ["tandem_gpu_memory_used_bytes", "tandem_gpu_memory_total_bytes"]
