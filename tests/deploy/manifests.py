"""The manifests of deploy/, rendered by kustomize itself, and the pair that each of them describes."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from functools import cache
from typing import Any

from foreign import environment
from harness import ROOT
from tandem import settings
from tandem_predictor.settings import Settings as PredictorSettings
from tandem_transformer.settings import Settings as TransformerSettings

DEPLOY = ROOT / "deploy"
KNATIVE = ("knative", "knative-grpc", "canary")
STANDARD = ("standard", "keda", "gpu")
OVERLAYS = (*KNATIVE, *STANDARD)
PAIRS = (*OVERLAYS, "runtime", "pod.yaml")

Manifest = dict[str, Any]


@cache
def rendered(name: str) -> str:
    """The YAML of an overlay, the base, the runtime or a file of deploy/."""
    if name.endswith(".yaml"):
        return (DEPLOY / name).read_text()
    folder = DEPLOY / "kserve" / (f"overlays/{name}" if name in OVERLAYS else name)
    done = subprocess.run(
        [environment("manifests") / "kubectl", "kustomize", folder], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def objects(name: str) -> list[Manifest]:
    """The objects in it."""
    return parsed(rendered(name))


def parsed(text: str) -> list[Manifest]:
    """The documents of a YAML stream; the environment of the services has no reader for it."""
    convert = "import json, sys, yaml; json.dump(list(yaml.safe_load_all(sys.stdin)), sys.stdout)"
    done = subprocess.run(
        [environment("manifests") / "python", "-c", convert], input=text, capture_output=True, text=True, check=True
    )
    return list(json.loads(done.stdout))


def one(name: str, kind: str) -> Manifest:
    """The only object of a kind."""
    (found,) = (item for item in objects(name) if item["kind"] == kind)
    return found


@dataclass(frozen=True)
class Half:
    """A container and the settings that its service reads from its arguments and variables."""

    container: Manifest
    settings: Any
    problems: list[str]  # and warnings: every flag and every variable must be known


@dataclass(frozen=True)
class Described:
    """A pair as a manifest describes it."""

    pod: Manifest
    predictor: Half
    transformer: Half


@cache
def pair(name: str) -> Described:
    """The pair of an overlay, the runtime or the pod."""
    kinds = {"InferenceService", "ClusterServingRuntime", "Pod"}
    (spec,) = (item["spec"] for item in objects(name) if item["kind"] in kinds)
    pod = spec.get("predictor", spec)
    first, second = pod["containers"]
    return Described(
        pod,
        _half(first, PredictorSettings, "tandem-predictor"),
        _half(second, TransformerSettings, "tandem-transformer"),
    )


def _half(container: Manifest, cls: type[Any], program: str) -> Half:
    given = {entry["name"]: entry["value"] for entry in container.get("env", [])}
    known = {settings.variable(program, flag) for flag in settings.flags(cls)} | {"PROTOCOL"}
    strange = [f"unknown variable {key}" for key in given if key not in known]
    parsed_, problems = settings.parse(cls, program, "", container["args"], given)
    return Half(container, cls(**parsed_.values), [*problems, *parsed_.warnings, *strange])
