"""Writes the folder: templates, filled in with the tensors of a model.

a model file -> its tensors -> texts -> templates -> files, and the commands to try next
"""

from __future__ import annotations

import glob
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path
from string import Template

from tandem.lifecycle import Fatal
from tandem.metadata import TensorSpec
from tandem_predictor.runtimes.onnx import OnnxRuntime, open_session
from tandem_predictor.runtimes.sessions import Sessions

from tandem_cli import __version__
from tandem_cli.new import tensors
from tandem_cli.new.names import class_name

TEMPLATES = resources.files("tandem_cli.new") / "templates"
INPUTS, OUTPUTS = [TensorSpec("x", "FP32", (-1, 3))], [TensorSpec("y", "FP32", (-1, 3))]  # of the model to begin with
PASS, DOUBLE = "", '        return {"y": inputs["x"] * 2}'
SESSION = '        self.session = ort.InferenceSession(path / "model.onnx")\n'
RUN = """        names = [spec.name for spec in self.outputs]
        return dict(zip(names, self.session.run(names, inputs), strict=True))"""


@dataclass(frozen=True, slots=True)
class Made:
    """What was written."""

    kind: str
    folder: Path
    files: Sequence[str]
    code: bool  # the model is Python
    asked: bool  # there is a request to send

    def steps(self, tandem: str = "tandem", python: str = "python") -> Sequence[str]:
        """The commands that show it at work."""
        folder, name = self.folder, self.folder.name
        home, transformer = folder / "model", f"{folder}/transformer.py"
        if self.kind == "predictor":
            home, transformer = folder, "identity"
        up = f"{tandem} up --host=127.0.0.1 --model_name={name} --model_dir={home} --transformer={transformer}"
        url = f"http://127.0.0.1:8000/v2/models/{name}/infer"
        ask = f'curl -H "Content-Type: application/json" -d @{folder}/request.json {url}'
        return [
            f"{python} -m pytest {folder}",
            up + " --allow_python_models" * self.code,
            *[ask] * self.asked,
        ]


def make(kind: str, folder: Path, model: Path | None) -> Made:
    """Write `folder`, which is not there yet, for a `kind` of service. Raises Fatal before anything is written."""
    inputs, outputs = _described(model, kind) if model else (INPUTS, OUTPUTS)
    body = tensors.request(inputs, outputs)
    made = Made(kind, folder, [], kind == "predictor" or not model, body is not None)
    words = {
        "name": folder.name,
        "cls": class_name(folder.name),
        "version": __version__,
        "steps": "\n".join(replace(made, folder=Path(folder.name)).steps()),
        "inputs": tensors.specs(inputs),
        "outputs": tensors.specs(outputs),
        "prepared": tensors.passed_on(inputs, "inputs", 16),
        "returned": tensors.passed_on(outputs, "outputs", 12),
        "arrays": tensors.arrays(inputs),
        **_python_model(model if kind == "predictor" else None, [*inputs, *outputs]),
    }
    home = folder if kind == "predictor" else folder / "model"
    home.mkdir(parents=True)
    if model:
        _copy(model, home)
    elif kind == "transformer":
        _fill("predictor/model.py", words, home)
    for template in (TEMPLATES / kind).iterdir():
        _fill(f"{kind}/{template.name.removesuffix('.tmpl')}", words, folder)
    _fill("pytest.ini", words, folder)
    if body:
        (folder / "request.json").write_text(body, encoding="utf-8")
    files = sorted(f"{item.name}/" if item.is_dir() else item.name for item in folder.iterdir())
    return replace(made, files=files)


def _copy(model: Path, home: Path) -> None:
    """The file as model.onnx, and under their own names the weights that it may have left beside it."""
    shutil.copyfile(model, home / "model.onnx")
    for weights in model.parent.glob(f"{glob.escape(model.name)}?*"):
        shutil.copyfile(weights, home / weights.name)


def _described(model: Path, kind: str) -> tuple[Sequence[TensorSpec], Sequence[TensorSpec]]:
    if not model.is_file():
        raise Fatal(f"--model={model}: there is no such file")
    runtime = OnnxRuntime(Sessions(open_session(model, threads=1), None))
    if kind == "predictor" and any(spec.datatype == "BYTES" for spec in (*runtime.inputs, *runtime.outputs)):
        raise Fatal(f"--model={model}: it takes or gives text; serve the file as it is, or write model.py by hand")
    return runtime.inputs, runtime.outputs


def _python_model(model: Path | None, specs: Sequence[TensorSpec]) -> Mapping[str, str]:
    """The words of model.py: one that runs the file beside it, or one that doubles."""
    rows = all(spec.shape and spec.shape[0] == -1 for spec in specs)
    imports = "\nimport onnxruntime as ort  # type: ignore[import-untyped]" if model else ""
    load, predict = (SESSION, RUN) if model else (PASS, DOUBLE)
    return {"imports": imports, "load": load, "predict": predict, "batch": "32" if rows else "0"}


def _fill(name: str, words: Mapping[str, str], folder: Path) -> None:
    template = Template((TEMPLATES / f"{name}.tmpl").read_text(encoding="utf-8"))
    (folder / Path(name).name).write_text(template.substitute(words), encoding="utf-8")
