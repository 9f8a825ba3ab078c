"""A class that does not fit is refused at the start, in one line that says what to change."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

import pytest
from tandem.lifecycle import Fatal
from tandem_transformer.transformer import find

HEAD = """
from abc import ABC, abstractmethod
from functools import partial, wraps
from tandem_transformer import Transformer, each

"""


@pytest.fixture
def write(tmp_path: Path):
    """Writes a module of `text` and gives its path."""

    def write(text: str, name: str = "mine.py") -> Path:
        (tmp_path / name).write_text(HEAD + text)
        return tmp_path / name

    yield write
    for name, module in list(sys.modules.items()):
        if str(getattr(module, "__file__", "")).startswith(str(tmp_path)):
            del sys.modules[name]


def refusal(file: Path, name: str = ":Mine") -> str:
    with pytest.raises(Fatal) as caught:
        find(f"{file}{name}")
    text = str(caught.value)
    assert text.startswith(f"--transformer={file}{name}: ")
    assert "\n" not in text
    return text.removeprefix(f"--transformer={file}{name}: ")


BODY = "class Mine(Transformer):\n    "


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (
            BODY + "def preprocess(self, inputs): return inputs",
            "Mine.preprocess is preprocess(self, inputs), expected preprocess(self, inputs, context)",
        ),
        (
            BODY + "async def postprocess(self, outputs): return outputs",
            "Mine.postprocess is postprocess(self, outputs), expected postprocess(self, outputs, context)",
        ),
        (
            BODY + "def preprocess(inputs: dict[str, int], context: object): return inputs",
            "Mine.preprocess is preprocess(inputs, context), expected preprocess(self, inputs, context)",
        ),
        (BODY + "def setup(self): pass", "Mine.setup is setup(self), expected setup(self, model, options)"),
        (BODY + "def close(self, force): pass", "Mine.close is close(self, force), expected close(self)"),
        (
            BODY + "def preprocess(self, inputs, context, *, size): return inputs",
            "Mine.preprocess is preprocess(self, inputs, context, *, size), expected preprocess(self, inputs, context)",
        ),
        (
            BODY + "@staticmethod\n    def preprocess(self, inputs, context): return inputs",
            "Mine.preprocess is preprocess(self, inputs, context), expected preprocess(self, inputs, context)",
        ),
        (
            BODY + "def preprocess(self, inputs, context): yield inputs",
            "Mine.preprocess is a generator: it must return its result, not yield it",
        ),
        (
            BODY + "async def preprocess(self, inputs, context): yield inputs",
            "Mine.preprocess is a generator: it must return its result, not yield it",
        ),
        (
            BODY + "preprocess = None",
            "Mine.preprocess is NoneType, expected a method preprocess(self, inputs, context)",
        ),
        (
            BODY + "def __init__(self, path, size=3): pass",
            "Mine(path, size=3) cannot be made: Tandem makes it without arguments",
        ),
        (
            "class Mine(Transformer, ABC):\n    @abstractmethod\n    def lookup(self): ...",
            "Mine is abstract: it lacks lookup",
        ),
        ("class Mine: pass", "Mine is no subclass of tandem_transformer.Transformer"),
    ],
)
def test_a_class_that_does_not_fit_is_told_what_to_change(write, text, why):
    assert refusal(write(text)) == why


@pytest.mark.parametrize(
    "text",
    [
        BODY + "def preprocess(self, tensors, _): return tensors",
        BODY + "def preprocess(self, *anything): return anything[0]",
        BODY + "def preprocess(self, inputs, context, size=3): return inputs",
        BODY + "@staticmethod\n    def preprocess(inputs, context): return inputs",
        BODY + "@classmethod\n    def preprocess(cls, inputs, context): return inputs",
        BODY + "@each\n    def preprocess(self, item, context): return item",
        BODY + "def __init__(self, size=3): pass",
        BODY + "async def setup(self, model, options): pass\n    async def close(self): pass",
    ],
)
def test_whatever_can_be_called_as_it_will_be_fits(write, text):
    assert find(f"{write(text)}:Mine").__name__ == "Mine"


def test_a_misspelt_class_gets_the_nearest_name(write):
    file = write("class Celsius(Transformer): pass\nclass Kelvin(Transformer): pass\n")
    assert refusal(file, ":Celcius") == f"{file} defines no class Celcius (did you mean Celsius?)"


def test_a_misspelt_built_in_gets_the_nearest_name():
    with pytest.raises(Fatal, match=r"did you mean image-classification\?"):
        find("image-clasification")


def test_a_misspelt_method_is_warned_about(write, caplog):
    find(f"{write(BODY + 'def pre_process(self, inputs, context): return inputs')}:Mine")
    assert [record.getMessage() for record in caplog.records] == [
        "Mine.pre_process is never called; did you mean preprocess?"
    ]


def test_a_file_with_one_transformer_needs_no_class_name(write):
    text = "class Base(Transformer, ABC):\n    @abstractmethod\n    def f(self): ...\n"
    text += "class Mine(Base):\n    def f(self): pass\n"
    assert find(str(write(text))).__name__ == "Mine"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "it defines no subclass of tandem_transformer.Transformer"),
        ("class A(Transformer): pass\nclass B(Transformer): pass", "it defines A, B: add :Class"),
    ],
)
def test_without_a_class_name_a_file_must_define_exactly_one(write, text, why):
    assert refusal(write(text), "") == why


def test_what_the_authors_own_code_raises_is_placed_in_it_and_traced_in_the_log(write, caplog):
    file = write("import json\n\ndef read(text):\n    return json.loads(text)\n\nread('{')\n")
    line = len((HEAD + "import json\n\ndef read(text):\n").splitlines()) + 1
    text = refusal(file)
    assert text.startswith(f"cannot import {file}: JSONDecodeError: Expecting property name")
    assert text.endswith(f"({file}:{line})")  # and not in json's own code
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert "read('{')" in record.getMessage()
    assert "importlib" not in record.getMessage()
    assert "modules.py" not in record.getMessage()


def test_a_library_that_is_not_there_is_named_with_the_line_that_wants_it(write):
    file = write("import no_such_library\n")
    line = len(HEAD.splitlines()) + 1
    assert refusal(file).endswith(f"ModuleNotFoundError: No module named 'no_such_library' ({file}:{line})")
