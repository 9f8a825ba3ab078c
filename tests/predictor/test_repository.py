"""Which models a folder holds, and who is found by name and version."""

from __future__ import annotations

from pathlib import Path

import pytest
from predictor.fakes import NEVER, FakeRuntime, Rig, x
from tandem.errors import NotFound, Unavailable
from tandem.metadata import ModelMetadata
from tandem.model.config import ModelConfig
from tandem_predictor.repository import LoadedModel, ModelFile, Repository, discover
from tandem_predictor.runtime import LoadError


def tree(root: Path, *files: str) -> Path:
    """`root` with empty `files`; nothing is loaded here."""
    for file in files:
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).touch()
    return root


def found(folder: Path, name: str = "", *, allow_python: bool = False) -> list[tuple[str, str, str]]:
    models = discover(folder, name, allow_python=allow_python)
    return [(model.name, model.version, str(model.file.relative_to(folder))) for model in models]


@pytest.mark.parametrize(
    ("files", "name", "expected"),
    [
        (["model.onnx"], "", [("model", "1", "model.onnx")]),
        (["model.onnx"], "digits", [("digits", "1", "model.onnx")]),
        (["1/model.onnx"], "", [("model", "1", "1/model.onnx")]),
        (["3/model.onnx"], "digits", [("digits", "3", "3/model.onnx")]),
        (["2/model.onnx", "10/model.onnx"], "", [("model", "2", "2/model.onnx"), ("model", "10", "10/model.onnx")]),
        (["a/1/model.onnx"], "", [("a", "1", "a/1/model.onnx")]),
        (["a/1/model.onnx"], "a", [("a", "1", "a/1/model.onnx")]),
        (["a/1/model.onnx", "a/2/model.onnx"], "b", [("b", "1", "a/1/model.onnx"), ("b", "2", "a/2/model.onnx")]),
        (["a/1/model.onnx", "b/7/model.onnx"], "", [("a", "1", "a/1/model.onnx"), ("b", "7", "b/7/model.onnx")]),
        (["a/1/model.onnx", "b/7/model.onnx"], "b", [("b", "7", "b/7/model.onnx")]),
        (["2024/1/model.onnx"], "", [("2024", "1", "2024/1/model.onnx")]),
        (["a/1/model.onnx", ".cache/1/model.onnx", "notes/readme.txt"], "", [("a", "1", "a/1/model.onnx")]),
        (["1/model.onnx", "2/weights.bin", "v3/model.onnx"], "", [("model", "1", "1/model.onnx")]),
        (["a/1/model.onnx", "a/²/model.onnx"], "", [("a", "1", "a/1/model.onnx")]),
    ],
)
def test_the_layout_names_the_models_and_their_versions(tmp_path: Path, files: list[str], name: str, expected):
    assert found(tree(tmp_path, *files), name) == expected


@pytest.mark.parametrize("place", ["", "1/", "a/1/"])
def test_python_code_is_only_run_when_that_is_allowed(tmp_path: Path, place: str):
    folder = tree(tmp_path, f"{place}model.py")
    with pytest.raises(LoadError, match="--allow_python_models"):
        found(folder)
    assert [file for _, _, file in found(folder, allow_python=True)] == [f"{place}model.py"]


def test_a_model_py_may_use_the_model_onnx_beside_it(tmp_path: Path):
    folder = tree(tmp_path, "model.py", "model.onnx")
    assert found(folder, allow_python=True) == [("model", "1", "model.py")]
    assert found(folder, allow_python=False) == [("model", "1", "model.onnx")]


@pytest.mark.parametrize(
    ("files", "name", "text"),
    [
        ([], "", "no model here; expected model.onnx"),
        (["readme.txt"], "", "no model here"),
        (["efficientnet.onnx"], "", "efficientnet.onnx is there: rename it to model.onnx"),
        (["a/model.onnx"], "", "no model here"),
        (["a/1/model.onnx", "b/1/model.onnx"], "c", "--model_name=c: .* holds the models a, b"),
    ],
)
def test_a_folder_without_the_model_says_what_is_wrong(tmp_path: Path, files: list[str], name: str, text: str):
    with pytest.raises(LoadError, match=text):
        found(tree(tmp_path, *files), name)


@pytest.mark.parametrize("place", ["absent", "file"])
def test_a_folder_that_is_none_is_named(tmp_path: Path, place: str):
    (tmp_path / "file").touch()
    with pytest.raises(LoadError, match=f"{place}: there is no such folder"):
        found(tmp_path / place)


@pytest.mark.parametrize("name", ["model.pt2", "model.pt"])
def test_programs_of_pytorch_may_be_code(tmp_path: Path, name: str):
    folder = tree(tmp_path, f"1/{name}")
    with pytest.raises(LoadError, match=rf"{name} may hold Python code .* is only run with --allow_python_models"):
        found(folder)
    assert found(folder, allow_python=True) == [("model", "1", f"1/{name}")]
    assert found(tree(tmp_path, "1/model.onnx")) == [("model", "1", "1/model.onnx")]


def test_a_python_model_that_is_not_selected_is_no_obstacle(tmp_path: Path):
    folder = tree(tmp_path, "digits/1/model.onnx", "other/1/model.py")
    assert found(folder, "digits") == [("digits", "1", "digits/1/model.onnx")]


FILES = [ModelFile(name, version, Path("model.onnx")) for name, version in (("a", "2"), ("a", "10"), ("b", "1"))]


def loaded(rig: Rig, name: str, version: str) -> LoadedModel:
    config = ModelConfig(name, "fake", "fake", 4, 0, (), ())
    return LoadedModel(ModelMetadata(name, (version,), "fake", (), ()), version, config, rig.statistics, rig.batcher)


@pytest.fixture
def repository() -> Repository:
    repository = Repository(FILES)
    for file in FILES:
        repository.add(loaded(Rig(FakeRuntime()), file.name, file.version))
    return repository


@pytest.mark.parametrize(
    ("name", "version", "answers"),
    [("a", "", "10"), ("a", "2", "2"), ("a", "10", "10"), ("b", "", "1"), ("b", "1", "1")],
)
def test_a_model_is_found_by_name_and_version_and_the_newest_by_name_alone(repository, name, version, answers):
    model = repository.find(name, version)
    assert (model.metadata.name, model.version) == (name, answers)


@pytest.mark.parametrize(
    ("name", "version", "text"),
    [
        ("c", "", r"model 'c' is not found; this server holds: a, b$"),
        ("", "", "model '' is not found"),
        ("A", "", "model 'A' is not found"),
        ("a", "3", r"version '3' of model 'a' is not found; there is: 2, 10$"),
        ("a", "02", "version '02' of model 'a' is not found"),
        ("b", "latest", "version 'latest' of model 'b' is not found"),
    ],
)
def test_what_is_unknown_is_not_found_and_the_error_says_what_there_is(repository, name, version, text):
    with pytest.raises(NotFound, match=text):
        repository.find(name, version)


@pytest.mark.parametrize(("name", "version"), [("n" * 10_000, ""), ("a", "9" * 10_000)])
def test_an_endless_name_is_cut_in_the_error(repository, name, version):
    with pytest.raises(NotFound) as caught:
        repository.find(name, version)
    assert len(caught.value.message) < 250


def test_a_model_that_is_still_loading_is_unavailable_and_worth_a_retry():
    repository = Repository(FILES)
    repository.add(loaded(Rig(FakeRuntime()), "a", "2"))
    assert repository.find("a", "2").version == "2"
    for name, version in (("a", "10"), ("a", ""), ("b", "")):
        with pytest.raises(Unavailable, match="still loading") as caught:
            repository.find(name, version)
        assert caught.value.retry_after == 1


def test_the_names_are_listed_once_in_order():
    assert Repository(FILES).names == ["a", "b"]


async def test_closing_stops_the_workers_of_every_model():
    repository, rigs = Repository(FILES), [Rig(FakeRuntime()) for _ in FILES]
    for rig, file in zip(rigs, FILES, strict=True):
        repository.add(loaded(rig, file.name, file.version))
    repository.close()
    for rig in rigs:
        with pytest.raises(RuntimeError, match="shutdown"):
            await rig.batcher.submit(x(1), NEVER)


def states(repository: Repository) -> dict[str, str]:
    return {f"{entry.name}/{entry.version}": entry.reason or entry.state for entry in repository.index()}


def test_an_unloaded_model_is_unavailable_until_it_is_loaded_again(repository):
    repository.unload("a")
    assert states(repository) == {"a/2": "unloaded", "a/10": "unloaded", "b/1": "READY"}
    for version in ("", "2", "10"):
        with pytest.raises(Unavailable, match="model 'a' is unloaded"):
            repository.find("a", version)
    assert repository.find("b", "").version == "1"
    again = loaded(Rig(FakeRuntime()), "a", "10")
    repository.add(again)
    assert repository.find("a", "") is again
    assert states(repository) == {"a/2": "unloaded", "a/10": "READY", "b/1": "READY"}


def test_a_model_that_came_later_is_found_and_listed(repository):
    repository.add(loaded(Rig(FakeRuntime()), "c", "1"))
    repository.add(loaded(Rig(FakeRuntime()), "a", "11"))
    assert (repository.find("c", "").version, repository.find("a", "").version) == ("1", "11")
    assert repository.names == ["a", "b", "c"]


def test_unloading_closes_the_workers_of_the_model_and_of_no_other():
    repository, rigs = Repository(FILES), [Rig(FakeRuntime()) for _ in FILES]
    for rig, file in zip(rigs, FILES, strict=True):
        repository.add(loaded(rig, file.name, file.version))
    repository.unload("a")
    for rig in rigs[:2]:
        with pytest.raises(RuntimeError, match="shutdown"):
            rig.workers[0].executor.submit(int)
    assert rigs[2].workers[0].executor.submit(int).result() == 0


@pytest.mark.parametrize("name", ["c", "", "n" * 10_000])
def test_an_unknown_model_cannot_be_unloaded(repository, name: str):
    with pytest.raises(NotFound, match="this server holds: a, b") as caught:
        repository.unload(name)
    assert len(caught.value.message) < 250


async def test_an_unloaded_model_is_unavailable_and_answers_what_it_has(repository):
    rig, newer = Rig(), Rig()
    async with rig, newer:
        repository.add(loaded(rig, "b", "1"))
        running = await rig.occupy()
        repository.unload("b")
        with pytest.raises(Unavailable, match="model 'b' is unloaded"):
            repository.find("b", "1")
        rig.runtime.open()
        assert (await running[0]).outputs["y"].tolist() == [[-2]]
        repository.add(loaded(newer, "b", "1"))
        assert repository.find("b", "").batcher is newer.batcher


async def test_a_model_loaded_again_takes_the_place_of_the_old_one_which_still_answers(repository):
    old, new = Rig(), Rig()
    async with old, new:
        repository.add(loaded(old, "b", "1"))
        running = await old.occupy()
        repository.add(loaded(new, "b", "1"))
        assert repository.find("b", "").batcher is new.batcher
        assert [model.metadata.name for model in repository.loaded()].count("b") == 1
        old.runtime.open()
        assert (await running[0]).outputs["y"].tolist() == [[-2]]
        with pytest.raises(RuntimeError, match="shutdown"):
            await old.batcher.submit(x(1), NEVER)


def test_the_index_says_of_each_version_whether_it_is_ready_and_why_not():
    repository = Repository(FILES)
    repository.add(loaded(Rig(FakeRuntime()), "b", "1"))
    repository.unload("b")
    repository.add(loaded(Rig(FakeRuntime()), "a", "2"))
    index = {(entry.name, entry.version): (entry.state, entry.reason) for entry in repository.index()}
    assert index == {
        ("a", "2"): ("READY", ""),
        ("a", "10"): ("UNAVAILABLE", "loading"),
        ("b", "1"): ("UNAVAILABLE", "unloaded"),
    }
