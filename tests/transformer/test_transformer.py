"""The base class, and how --transformer finds a class."""

from __future__ import annotations

import statistics
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from tandem.context import Context
from tandem.lifecycle import Fatal
from tandem_transformer import Transformer
from tandem_transformer.transformer import BUILT_IN, find
from tandem_transformer.transformers.identity import Identity
from tandem_transformer.transformers.images import ImageClassification
from transformer.fakes import model

MINE = """
from tandem_transformer import Transformer

class Mine(Transformer):
    def preprocess(self, inputs, context):
        return {name: -array for name, array in inputs.items()}

class Stranger:
    pass

number = 3
"""


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Iterator[Path]:
    """A folder for modules, which are forgotten after the test."""
    before = sys.modules.copy()
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "mine_for_tests.py").write_text(MINE)
    yield tmp_path
    for name, module in list(sys.modules.items()):
        if str(getattr(module, "__file__", "")).startswith(str(tmp_path)):
            del sys.modules[name]
    sys.modules.update(before)


def test_the_base_class_passes_everything_through():
    base, arrays = Transformer(), {"x": np.ones(2)}
    base.setup(model(), {})
    assert base.preprocess(arrays, Context()) is arrays
    assert base.postprocess(arrays, Context()) is arrays
    assert (base.inputs, base.outputs, base.close()) == ((), (), None)


@pytest.mark.parametrize(("name", "cls"), [("identity", Identity), ("image-classification", ImageClassification)])
def test_a_built_in_is_found_by_its_name(name, cls):
    assert find(name) is cls
    assert name in BUILT_IN


@pytest.mark.parametrize("where", ["mine_for_tests", "{folder}/mine_for_tests.py"])
def test_a_class_is_found_in_a_module_or_a_file(folder, where):
    found = find(f"{where.format(folder=folder)}:Mine")
    assert issubclass(found, Transformer)
    assert found().preprocess({"x": np.ones(1)}, Context())["x"].tolist() == [-1]


def test_a_file_may_lie_in_a_folder_with_a_colon_in_its_name(folder):
    odd = folder / "a:b"
    odd.mkdir()
    (odd / "mine.py").write_text(MINE)
    assert find(f"{odd}/mine.py:Mine").__name__ == "Mine"


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("nothing", "expected identity, image-classification, module:Class or /path/file.py:Class"),
        ("", "expected identity, image-classification, module:Class or /path/file.py:Class"),
        ("mine_for_tests:", "expected identity, image-classification, module:Class or /path/file.py:Class"),
        (":Mine", "expected identity, image-classification, module:Class or /path/file.py:Class"),
        ("mine_for_tests:Yours", "mine_for_tests defines no class Yours"),
        ("mine_for_tests:number", "mine_for_tests defines no class number"),
        ("mine_for_tests:Stranger", "Stranger is no subclass of tandem_transformer.Transformer"),
        ("no_such_module_here:Mine", "cannot import no_such_module_here: ModuleNotFoundError: No module named"),
        ("/no/such/file.py:Mine", "cannot import /no/such/file.py: FileNotFoundError: there is no file /no"),
        (
            "{folder}/broken.py:Mine",
            "cannot import {folder}/broken.py: ZeroDivisionError: division by zero ({folder}/broken.py:1)",
        ),
        ("{folder}/typo.py:Mine", "cannot import {folder}/typo.py: SyntaxError: invalid syntax ({folder}/typo.py:1)"),
    ],
)
def test_what_cannot_be_found_is_fatal_and_says_why(folder, reference, message):
    (folder / "broken.py").write_text("1 / 0")
    (folder / "typo.py").write_text("class Mine(:")
    reference = reference.format(folder=folder)
    with pytest.raises(Fatal) as caught:
        find(reference)
    assert str(caught.value).startswith(f"--transformer={reference}: {message.format(folder=folder)}")


def test_a_file_that_is_called_like_a_library_does_not_take_its_place(folder):
    (folder / "statistics.py").write_text(MINE)
    find(f"{folder}/statistics.py:Mine")
    assert sys.modules["statistics"] is statistics
