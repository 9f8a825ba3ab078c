"""The test kit: arrays through a pipeline, and a whole pair in the test's own process."""

from __future__ import annotations

import socket
import threading
import urllib.request
from pathlib import Path

import numpy as np
import pytest
from harness import DIGITS, ROOT, metric
from tandem import InvalidInput, ModelMetadata, TensorSpec
from tandem.errors import Internal
from tandem.lifecycle import Fatal
from tandem_cli import testing
from tandem_transformer import Transformer

SUMS = ROOT / "examples" / "row-sums"
ROWS = {"rows": np.float32([[1, 2, 3], [4, 5, 6]])}


class Plain(Transformer):
    def preprocess(self, inputs, context):
        with context.timer("plain"):
            return dict(inputs)


class Doubling(Transformer):
    """Doubles what goes in; notes what happens to it."""

    def __init__(self) -> None:
        self.calls: list[object] = []

    async def setup(self, model, options):
        self.calls.append((model.platform, dict(options)))

    def preprocess(self, inputs, context):
        self.calls.append((context.headers.get("user"), context.parameters.get("k")))
        return {name: array * 2 for name, array in inputs.items()}

    async def postprocess(self, outputs, context):
        return {name: array + 1 for name, array in outputs.items()}

    async def close(self):
        self.calls.append("closed")


def test_arrays_go_through_the_pipeline_and_a_function():
    transformer = Doubling()
    outputs = testing.run(
        transformer,
        {"x": np.float32([1, 2])},
        predictor=lambda arrays: {"y": -arrays["x"]},
        options={"a": "b"},
        headers={"User": "me"},
        parameters={"k": 3},
    )
    assert outputs["y"].tolist() == [-1, -3]
    assert transformer.calls == [("python", {"a": "b"}), ("me", 3), "closed"]


def test_without_a_predictor_the_model_gives_back_what_it_gets():
    assert testing.run(Doubling(), {"x": np.float32([1])})["x"].tolist() == [3]


@pytest.mark.parametrize("path", [DIGITS, str(DIGITS / "model.onnx")])
def test_a_real_model_may_stand_behind_it(path):
    transformer = Doubling()
    outputs = testing.run(transformer, {"image": np.zeros((2, 8, 8), np.float32)}, predictor=path)
    assert all(len(array) == 2 for array in outputs.values())
    assert transformer.calls[0] == ("onnxruntime_onnx", {})


def test_a_python_model_may():
    outputs = testing.run(Plain(), ROWS, predictor=SUMS)
    assert next(iter(outputs.values())).tolist() == [6, 15]


ASYNC = """
import asyncio
from tandem import TensorSpec

class Model:
    inputs = outputs = [TensorSpec("x", "FP32", [-1])]

    async def load(self, path):
        self.loop = asyncio.get_running_loop()

    async def predict(self, inputs):
        assert asyncio.get_running_loop() is self.loop
        return {"x": -inputs["x"]}
"""


def test_a_python_model_may_be_async(tmp_path: Path):
    (tmp_path / "model.py").write_text(ASYNC)
    assert testing.run(Doubling(), {"x": np.float32([1])}, predictor=tmp_path)["x"].tolist() == [-1]


def test_setup_is_told_of_the_model_that_is_given():
    class Reading(Transformer):
        inputs = (TensorSpec("a", "FP32", (-1,)),)

        def setup(self, model, options):
            self.name = model.inputs[0].name

        def preprocess(self, inputs, context):
            return {self.name: inputs["a"]}

    model = ModelMetadata("m", ("1",), "p", (TensorSpec("b", "FP32", (-1,)),), ())
    assert list(testing.run(Reading(), {"a": np.float32([1])}, model=model)) == ["b"]


class Failing(Transformer):
    def __init__(self, error):
        self.error = error

    def postprocess(self, outputs, context):
        raise self.error


@pytest.mark.parametrize("error", [KeyError("x"), InvalidInput("too dark"), Internal("no")])
def test_what_the_authors_code_raises_comes_out_as_it_is(error):
    with pytest.raises(type(error)) as caught:
        testing.run(Failing(error), ROWS)
    assert caught.value is error


def test_a_method_that_returns_something_else_is_told():
    class Listing(Transformer):
        def preprocess(self, inputs, context):
            return list(inputs.values())

    with pytest.raises(Internal, match=r"^Listing.preprocess returned list, expected a dict of NumPy arrays$"):
        testing.run(Listing(), ROWS)


def test_arrays_are_read_only_as_they_are_in_the_service():
    class Writing(Transformer):
        def preprocess(self, inputs, context):
            inputs["rows"][0] = 0
            return inputs

    with pytest.raises(ValueError, match="read-only"):
        testing.run(Writing(), ROWS)
    assert ROWS["rows"][0, 0] == 1


def test_a_tensor_that_is_not_as_declared_is_the_callers_fault():
    with pytest.raises(InvalidInput, match="input 'x': datatype is FP64, expected FP32"):
        testing.run(Plain(), {"rows": ROWS["rows"].astype(float)}, predictor=SUMS)


def test_a_pair_answers_in_a_test_of_three_lines():
    with testing.pair(SUMS, transformer=Plain) as pair:
        outputs = pair.infer(ROWS)
        exposition = urllib.request.urlopen(f"{pair.http_url}/metrics").read().decode()  # noqa: S310 - our own
    assert outputs["sums"].tolist() == [6, 15]
    assert metric(exposition, "tandem_step_seconds_count", model_name="model", step="plain") == 1
    assert any("set up Plain" in line for line in pair.logs)
    port = int(pair.grpc_url.rpartition(":")[2])
    with socket.create_server(("127.0.0.1", port)):  # it is free again
        pass
    assert "pair" not in {thread.name for thread in threading.enumerate()}


async def test_a_pair_in_an_async_test():
    async with testing.pair(SUMS, model_name="sums", flags=["--max_batch_size=4"]) as pair:
        assert (await pair.infer_async(ROWS))["sums"].tolist() == [6, 15]
        with pytest.raises(InvalidInput, match="input 'x'"):
            await pair.infer_async({"rows": np.float32([1])})


def test_two_pairs_can_live_beside_one_another():
    with testing.pair(SUMS) as one, testing.pair(DIGITS) as other:
        assert one.http_url != other.http_url
        assert one.infer(ROWS)["sums"].tolist() == [6, 15]
        assert other.infer({"image": np.zeros((1, 8, 8), np.float32)})


class Refusing(Transformer):
    def setup(self, model, options):
        raise OSError("no such shelf")


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"model_dir": "/no/such/folder"}, r"^--model_dir=/no/such/folder: there is no such folder$"),
        ({"model_dir": SUMS, "transformer": Refusing}, r"setup failed: OSError: no such shelf \(.*test_kit\.py:\d+\)$"),
        ({"model_dir": SUMS, "transformer": "nothing"}, r"^--transformer=nothing: expected identity, "),
        (
            {"model_dir": SUMS, "transformer": int},
            r"^transformer: int is no subclass of tandem_transformer.Transformer$",
        ),
        ({"model_dir": SUMS, "flags": ["--max_batch_size=no"]}, r"^--max_batch_size: got 'no', expected an integer"),
        ({"model_dir": SUMS, "flags": ["--max_batch_sice=3"]}, r"did you mean --max_batch_size\?"),
    ],
)
def test_a_pair_that_cannot_start_raises_the_one_line_that_says_why(settings, why):
    with pytest.raises(Fatal, match=why) as caught, testing.pair(**settings):
        pass
    assert "\n" not in str(caught.value)
    assert "pair" not in {thread.name for thread in threading.enumerate()}


def test_the_log_has_what_the_authors_code_raised():
    class Broken(Transformer):
        def preprocess(self, inputs, context):
            return {"rows": self.absent}

    with testing.pair(SUMS, transformer=Broken) as pair, pytest.raises(Internal, match="log says more"):
        pair.infer(ROWS)
    log = "\n".join(pair.logs)
    assert "Broken.preprocess failed" in log
    assert f'File "{Path(__file__)}"' in log
