"""A model.py: what it must define, what it is called with, and what is said when it does otherwise."""

from __future__ import annotations

import asyncio
from pathlib import Path
from textwrap import dedent

import numpy as np
import pytest
from tandem import InvalidInput, TensorSpec
from tandem.errors import Internal
from tandem.tensors import objects
from tandem_predictor.runtime import LoadError, batchable
from tandem_predictor.runtimes import Plan, open_runtimes
from tandem_predictor.runtimes.python import PythonRuntime, Wait, named

HEAD = """
import numpy as np
from tandem import InvalidInput, TensorSpec

class Model:
    inputs = [TensorSpec("x", "FP32", [-1, 2])]
    outputs = [TensorSpec("y", "FP32", [-1, 2]), TensorSpec("t", "BYTES", [-1])]
"""
BODY = """
    def predict(self, inputs):
        x = inputs["x"]
        return {"y": x * 2, "t": np.array([str(row.sum()) for row in x]), "extra": x}
"""
ONES = {"x": np.ones((2, 2), "<f4")}


@pytest.fixture
def write(tmp_path: Path):
    """Writes a model.py of `parts` and gives its path."""

    def write(*parts: str) -> Path:
        (tmp_path / "model.py").write_text("".join(parts))
        return tmp_path / "model.py"

    return write


def test_a_model_declares_its_tensors_and_predicts(write):
    runtime = PythonRuntime(write(HEAD, BODY))
    assert runtime.platform == "python"
    assert list(runtime.inputs) == [TensorSpec("x", "FP32", [-1, 2])]
    outputs = runtime.run(ONES)
    assert list(outputs) == ["y", "t"]
    assert outputs["y"].tolist() == [[2, 2], [2, 2]]
    assert outputs["t"].tolist() == [b"2.0", b"2.0"]


@pytest.mark.parametrize(
    ("line", "size", "expected"), [("", 0, False), ("max_batch_size = 0", 0, False), ("max_batch_size = 8", 8, True)]
)
def test_a_model_is_batched_only_when_it_says_how_far(write, line: str, size: int, expected: bool):
    runtime = PythonRuntime(write(HEAD, f"    {line}\n", BODY))
    assert (runtime.max_batch_size, batchable(runtime)) == (size, expected)


def test_a_model_of_fixed_size_is_not_batched_whatever_it_says(write):
    fixed = HEAD.replace('"FP32", [-1, 2]', '"FP32", [4, 2]')
    assert not batchable(PythonRuntime(write(fixed, "    max_batch_size = 8\n", BODY)))


def test_load_is_called_with_the_folder_of_the_file(write, tmp_path: Path):
    (tmp_path / "weights.txt").write_text("3")
    load = "    def load(self, path):\n        self.factor = float((path / 'weights.txt').read_text())\n"
    predict = "    def predict(self, inputs):\n        return {'y': inputs['x'] * np.float32(self.factor)}\n"
    head = HEAD.replace(', TensorSpec("t", "BYTES", [-1])', "")
    assert PythonRuntime(write(head, load, predict)).run(ONES)["y"].tolist() == [[3, 3], [3, 3]]


def test_each_instance_has_a_model_of_its_own(write):
    head = HEAD.replace(', TensorSpec("t", "BYTES", [-1])', "")
    count = """
    calls = 0
    def predict(self, inputs):
        self.calls += 1
        return {"y": inputs["x"] * self.calls}
"""
    first, second = open_runtimes(write(head, count), Plan(instances=2, threads=1))
    assert [runtime.run(ONES)["y"][0, 0] for runtime in (first, first, second)] == [1, 2, 1]


def test_a_model_that_takes_its_inputs_out_of_the_dict_leaves_the_request_whole(write):
    head = HEAD.replace(', TensorSpec("t", "BYTES", [-1])', "")
    inputs = dict(ONES)
    PythonRuntime(write(head, "    def predict(self, inputs):\n        return {'y': inputs.pop('x')}\n")).run(inputs)
    assert list(inputs) == ["x"]


def test_warming_up_does_not_call_predict(write):
    runtime = PythonRuntime(write(HEAD, "    def predict(self, inputs):\n        raise RuntimeError('called')\n"))
    runtime.warm_up(4)
    with pytest.raises(RuntimeError, match="called"):
        runtime.run(ONES)


def test_what_predict_raises_comes_through_as_it_is(write):
    raising = "    def predict(self, inputs):\n        raise InvalidInput('x is too dark')\n"
    with pytest.raises(InvalidInput, match=r"^x is too dark$"):
        PythonRuntime(write(HEAD, raising)).run(ONES)


@pytest.mark.parametrize(
    ("result", "text"),
    [
        ("None", "Model.predict returned NoneType, expected a dict"),
        ("inputs['x']", "Model.predict returned ndarray, expected a dict"),
        ("{'y': [[1.0, 2.0]]}", "returned 'y' as list, expected numpy.ndarray"),
        ("{'y': inputs['x']}", "returned no 't', which the model declares"),
        ("{'Y': inputs['x']}", "returned no 'y'"),
        ("{'y': inputs['x'].astype('f8')}", r"'y' as FP64 \[2, 2\], expected FP32"),
        ("{'y': inputs['x'][:, :1]}", r"'y' as FP32 \[2, 1\], expected FP32 \[-1, 2\]"),
        ("{'y': inputs['x'][0]}", r"'y' as FP32 \[2\]"),
        ("{'y': inputs['x'].astype('c8')}", "complex64 has no datatype"),
        ("{'y': inputs['x'], 't': inputs['x'][:, 0]}", r"'t' as FP32 \[2\], expected BYTES"),
    ],
)
def test_a_result_other_than_declared_is_the_models_fault_and_says_which(write, result: str, text: str):
    runtime = PythonRuntime(write(HEAD, f"    def predict(self, inputs):\n        return {result}\n"))
    with pytest.raises(Internal, match=text):
        runtime.run(ONES)


def test_elements_of_text_reach_the_model_as_bytes(write):
    head = "from tandem import TensorSpec\nclass Model:\n    inputs = outputs = [TensorSpec('t', 'BYTES', [-1])]\n"
    reverse = """
    def predict(self, inputs):
        texts = inputs["t"].copy()
        texts[:] = [element[::-1] for element in texts]
        return {"t": texts}
"""
    answer = PythonRuntime(write(head, reverse)).run({"t": objects([b"ab\x00", b"", b"\xff\xfe"])})
    assert answer["t"].tolist() == [b"\x00ba", b"", b"\xfe\xff"]


SPEC = "TensorSpec('x', 'FP32', [-1])"
PREDICT = "    def predict(self, inputs):\n        return inputs\n"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "defines no class Model"),
        ("class Other: pass", "defines no class Model"),
        ("class Model(", "loading failed: SyntaxError"),
        ("import no_such_module_anywhere", "loading failed: ModuleNotFoundError.*no_such_module_anywhere"),
        ("class Model:\n    def __init__(self): raise OSError('no GPU')", "loading failed: OSError.*no GPU"),
        (f"class Model:\n    def load(self, path): self.absent\n{PREDICT}", "loading failed: AttributeError.*absent"),
        (f"class Model:\n    def load(self, path): 1 / 0\n{PREDICT}", "loading failed: ZeroDivisionError"),
        ("class Model: pass", "no method predict"),
        ("class Model:\n    predict = 3", r"Model.predict is int, expected a method predict\(self, inputs\)"),
        (f"class Model:\n{PREDICT}", r"Model.inputs must be a sequence of tandem.TensorSpec"),
        (f"class Model:\n    inputs = [('x', 'FP32', [-1])]\n{PREDICT}", r"Model.inputs must be a sequence"),
        (f"class Model:\n    inputs = [{SPEC}]\n    outputs = ()\n{PREDICT}", "Model.outputs must be a sequence"),
        (
            f"class Model:\n    inputs = [TensorSpec('x', 'float', [1])]\n{PREDICT}",
            "'x' has the datatype float, expected one",
        ),
    ],
)
def test_a_file_that_is_no_model_says_why(write, text: str, why: str):
    with pytest.raises(LoadError, match=rf"model\.py.* {why}"):
        PythonRuntime(write("from tandem import TensorSpec\n", text))


def test_a_model_py_may_define_dataclasses_under_future_annotations(write):
    config = """
        from __future__ import annotations
        from dataclasses import dataclass

        @dataclass
        class Config:
            size: int = 3
        """
    PythonRuntime(write(dedent(config), HEAD, BODY))


def test_an_attribute_error_in_the_file_is_told_as_such(write):
    with pytest.raises(LoadError) as caught:
        PythonRuntime(write("import math\nmath.no_such_function(1)\n", HEAD, BODY))
    assert "no_such_function" in str(caught.value)


@pytest.mark.parametrize(
    "line", ["max_batch_size = None", "max_batch_size = 'lots'", "max_batch_size = -1", "inputs = None", "outputs = 3"]
)
def test_a_wrong_declaration_is_a_load_error(write, line: str):
    with pytest.raises(LoadError):
        PythonRuntime(write(HEAD, f"    {line}\n", BODY))


GIVES = """
    def predict(self, inputs):
        return self.answer(inputs)
"""
ASYNC = """
    async def load(self, path):
        import asyncio
        await asyncio.sleep(0)
        self.loop = asyncio.get_running_loop()

    async def predict(self, inputs):
        import asyncio
        assert asyncio.get_running_loop() is self.loop  # what load has opened on it can be used
        await asyncio.sleep(0)
        return {"y": inputs["x"], "t": np.array(["a", "b"])}
"""


async def in_a_thread(file: Path) -> PythonRuntime:
    """The model, loaded as the predictor does it: what is async, on the loop of this."""
    loop = asyncio.get_running_loop()
    wait: Wait = lambda work: asyncio.run_coroutine_threadsafe(work, loop).result()  # noqa: E731
    return await asyncio.to_thread(PythonRuntime, file, wait=wait)


async def test_load_and_predict_may_be_async_and_share_the_event_loop(write):
    runtime = await in_a_thread(write(HEAD, ASYNC))
    assert runtime.on_loop
    for _ in range(2):
        assert (await runtime.run(ONES))["y"].tolist() == [[1, 1], [1, 1]]


async def test_a_def_that_gives_a_coroutine_keeps_its_thread_which_waits_for_the_event_loop(write):
    runtime = await in_a_thread(write(HEAD, ASYNC.replace("async def predict", "async def answer"), GIVES))
    assert not runtime.on_loop
    assert (await asyncio.to_thread(runtime.run, ONES))["y"].tolist() == [[1, 1], [1, 1]]


async def test_what_an_async_model_returns_is_held_against_its_word(write):
    runtime = await in_a_thread(write(HEAD, "    async def predict(self, inputs):\n        return {}\n"))
    with pytest.raises(Internal, match="y"):
        await runtime.run(ONES)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("class Modle: pass", r"defines no class Model \(did you mean Modle\?\)"),
        ("class Model:\n    def predcit(self, inputs): pass", r"predict\(self, inputs\) \(did you mean predcit\?\)"),
        ("class Model:\n    def predict(self): pass", r"is predict\(self\), expected predict\(self, inputs\)"),
        ("class Model:\n    def predict(self, inputs): yield", "is a generator"),
        ("class Model:\n    def load(self): pass\n" + PREDICT, r"is load\(self\), expected load\(self, path\)"),
        ("class Model:\n    def __init__(self, size): pass", r"Model\(size\) cannot be made"),
        ("class Model:\n    def load(self, path):\n        1 / 0\n" + PREDICT, r"ZeroDivisionError.*model\.py:4\)"),
    ],
)
def test_a_class_that_does_not_fit_says_what_to_change(write, text, why):
    with pytest.raises(LoadError, match=why) as caught:
        PythonRuntime(write("from tandem import TensorSpec\n", text))
    assert "\n" not in str(caught.value)


def test_a_class_may_be_named_by_its_file_or_module(write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "own_models.py").write_text((HEAD + BODY).replace("class Model", "class Mine"))
    monkeypatch.syspath_prepend(tmp_path)
    for reference in (f"{tmp_path / 'own_models.py'}:Mine", "own_models:Mine"):
        assert PythonRuntime(*named(reference)).run(ONES)["y"].tolist() == [[2, 2], [2, 2]]
    with pytest.raises(LoadError, match="defines no class Yours"):
        PythonRuntime(*named("own_models:Yours"))


@pytest.mark.parametrize("reference", ["mine", "absent_models:Mine", "absent.models:Mine", ":Mine"])
def test_a_class_that_cannot_be_found_is_told_with_its_flag(reference: str):
    with pytest.raises(LoadError, match=f"--model_class={reference}"):
        named(reference)
