"""The model repository: which models a folder holds, and the loaded ones.

D/model.onnx             one model, version 1
D/<version>/model.onnx   one model's versions
D/<model>/<version>/model.onnx   several models       (model.py in place of model.onnx throughout)

A config.pbtxt beside the versions makes it a model of Triton's: its file name, its choice of versions.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from tandem.errors import NotFound, Unavailable
from tandem.metadata import ModelMetadata
from tandem.model.config import ModelConfig, ModelIndex
from tandem.model.statistics import Statistics

from tandem_predictor.batcher import Batcher
from tandem_predictor.foreign import description
from tandem_predictor.foreign.description import Description
from tandem_predictor.runtime import LoadError
from tandem_predictor.runtimes import BACKENDS, CODE, FILES


@dataclass(frozen=True, slots=True)
class ModelFile:
    """A model version on disk."""

    name: str
    version: str
    file: Path  # of a --model_class, the class
    description: Description | None = None  # its config.pbtxt

    @property
    def backend(self) -> str:
        """What runs it, as Triton calls it; a class is its user's Python."""
        return BACKENDS.get(self.file.suffix, "python")


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A model version that takes requests."""

    metadata: ModelMetadata
    version: str
    config: ModelConfig
    statistics: Statistics
    batcher: Batcher
    labels: Mapping[str, Sequence[str]] = field(default_factory=dict)  # by output
    default_priority: int = 0


def discover(folder: Path, model_name: str, *, allow_python: bool) -> list[ModelFile]:
    """The models of `folder`; `model_name` selects one, and renames the only one. Raises LoadError."""
    if not folder.is_dir():
        raise LoadError(f"--model_dir={folder}: there is no such folder")
    found = _scan(folder, model_name, allow_python=allow_python)
    names = sorted({model.name for model in found})
    if not found:
        raise LoadError(f"--model_dir={folder}: {_nothing(folder)}")
    if model_name and model_name not in names:
        if len(names) > 1:
            raise LoadError(f"--model_name={model_name}: {folder} holds the models {', '.join(names)}")
        found = [replace(model, name=model_name) for model in found]
    return [_allowed(model, allow_python=allow_python) for model in found if model_name in ("", model.name)]


class Repository:
    """The loaded models, by name and version. The newest version answers where none is asked for."""

    def __init__(self, files: Sequence[ModelFile]) -> None:
        self.names = list(dict.fromkeys(file.name for file in files))
        self._models: dict[str, dict[str, LoadedModel]] = {name: {} for name in self.names}
        self._expected = {(file.name, file.version) for file in files}
        self._unloaded: set[tuple[str, str]] = set()
        self._failed: set[tuple[str, str]] = set()

    def add(self, model: LoadedModel) -> None:
        """Make `model` available, in place of an older load of it, whose requests are still answered."""
        name, version = model.metadata.name, model.version
        if name not in self._models:
            self.names.append(name)
        versions = self._models.setdefault(name, {})
        if old := versions.get(version):
            old.batcher.retire()
        versions[version] = model
        self._expected.add((name, version))
        self._unloaded.discard((name, version))
        self._failed.discard((name, version))

    def fail(self, name: str, version: str) -> None:
        """The model cannot be loaded; the log says why."""
        self._failed.add((name, version))

    def find(self, name: str, version: str) -> LoadedModel:
        """The model; raises NotFound naming what there is, or Unavailable while it is loading."""
        if name not in self._models:
            raise NotFound(f"model '{name[:100]}' is not found; this server holds: {', '.join(self.names)}")
        known = sorted((known for owner, known in self._expected if owner == name), key=int)
        if version and version not in known:
            raise NotFound(f"version '{version[:20]}' of model '{name}' is not found; there is: {', '.join(known)}")
        if found := self._models[name].get(version or known[-1]):
            return found
        state = self._state(name, version or known[-1])
        raise Unavailable(f"not ready: model '{name}' is {state or 'still loading'}", retry_after=1)

    def loaded(self) -> Sequence[LoadedModel]:
        """Every loaded model version."""
        return [model for versions in self._models.values() for model in versions.values()]

    def index(self) -> Sequence[ModelIndex]:
        """Every known model version, loaded or not."""
        entries = []
        for name, version in sorted(self._expected):
            ready = version in self._models[name]
            reason = "" if ready else self._state(name, version) or "loading"
            entries.append(ModelIndex(name, version, ready, reason))
        return entries

    def unload(self, name: str) -> None:
        """Let go of a model once what is queued and running has been answered. Raises NotFound."""
        if name not in self._models:
            raise NotFound(f"model '{name[:100]}' is not found; this server holds: {', '.join(self.names)}")
        for version, model in self._models[name].items():
            self._unloaded.add((name, version))
            model.batcher.retire()
        self._models[name] = {}

    def keep(self, name: str, versions: Collection[str]) -> None:
        """Forget the versions of `name` that are not in `versions`, once their requests have been answered."""
        for version in [version for version in self._models[name] if version not in versions]:
            self._models[name].pop(version).batcher.retire()
        self._expected = {(owner, known) for owner, known in self._expected if owner != name or known in versions}

    def _state(self, name: str, version: str) -> str:
        """What has become of a version that is not loaded; nothing yet, if that is empty."""
        if (name, version) in self._failed:
            return "not to be loaded; the predictor's log says why"
        return "unloaded" if (name, version) in self._unloaded else ""

    def close(self) -> None:
        """Stop every model's workers."""
        for versions in self._models.values():
            for model in versions.values():
                model.batcher.close()


def _allowed(model: ModelFile, *, allow_python: bool) -> ModelFile:
    """The model, unless it is code that is not to be run; raises LoadError, or notes it where others may be served."""
    if allow_python or model.file.suffix not in CODE:
        return model
    what = "is Python code, which" if model.file.suffix == ".py" else "may hold Python code (PyTorch pickles some), and"
    problem = f"{model.file} {what} is only run with --allow_python_models"
    if not model.description:
        raise LoadError(problem)
    return replace(model, description=replace(model.description, problem=problem))


def _scan(folder: Path, name: str, *, allow_python: bool) -> list[ModelFile]:
    described = description.read(folder)
    own = name or (described.declared.name if described else "") or "model"
    if file := _model_file(folder, allow_python=allow_python):
        return [ModelFile(own, "1", file, described)]
    if versions := _versions(folder, own, described, allow_python=allow_python):
        return versions
    children = sorted(child for child in folder.iterdir() if child.is_dir() and not child.name.startswith("."))
    found = []
    for child in children:
        described = description.read(child)
        if described and described.declared.name not in ("", child.name):
            problem = f"{child / description.NAME}: the name is '{described.declared.name}', the folder's {child.name}"
            described = replace(described, problem=described.problem or problem)
        found += _versions(child, child.name, described, allow_python=allow_python)
    return found


def _versions(folder: Path, name: str, described: Description | None, *, allow_python: bool) -> list[ModelFile]:
    """The versions of a model; one of a described model that cannot be served says why."""
    filename = described.declared.filename if described else ""
    numbered = [child for child in folder.iterdir() if child.is_dir() and child.name.isascii() and child.name.isdigit()]
    files = {
        child.name: file
        for child in sorted(numbered, key=lambda child: int(child.name))
        if (file := _model_file(child, filename, allow_python=allow_python))
    }
    if described is None:
        return [ModelFile(name, version, file) for version, file in files.items()]
    chosen = described.declared.versions.choose([int(version) for version in files])
    if described.problem or not chosen:
        problem = described.problem or f"{folder}: no version that its {description.NAME} chooses has a model file"
        return [ModelFile(name, "1", folder, replace(described, problem=problem))]
    return [ModelFile(name, version, file, described) for version, file in files.items() if int(version) in chosen]


def _model_file(folder: Path, filename: str = "", *, allow_python: bool) -> Path | None:
    """The file of that name, else the preferred file; one that is not allowed only where there is no other."""
    present = [folder / name for name in ((filename,) if filename else FILES) if (folder / name).is_file()]
    allowed = [file for file in present if allow_python or file.suffix not in CODE]
    return next(iter(allowed + present), None)


def _nothing(folder: Path) -> str:
    strays = sorted(child.name for child in folder.iterdir() if child.suffix == ".onnx")
    hint = f" ({strays[0]} is there: rename it to model.onnx)" if strays else ""
    return f"no model here; expected model.onnx, <version>/model.onnx or <model>/<version>/model.onnx{hint}"
