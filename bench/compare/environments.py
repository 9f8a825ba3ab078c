"""A virtual environment for each peer, whose pins clash with ours and with one another: made once, by pip alone."""

from __future__ import annotations

import subprocess
import sys
import venv
from importlib import metadata
from pathlib import Path

from bench.compare.places import PYTHON, VENVS

REQUIREMENTS = {
    "kserve": ["kserve==0.21.0", "protobuf==6.33.6", "onnxruntime==1.32.0", "pillow==13.0.0", "numpy==2.4.6"],
    "mosec": ["mosec==0.9.8", "onnxruntime==1.32.0", "opencv-python-headless==5.0.0.93", "numpy==2.4.6"],
    # The wheel carries the whole tritonserver, but of its backends only Python's, whose stub wants numpy 1.
    "triton": ["nvidia-pytriton==0.7.0", "onnxruntime==1.23.2", "opencv-python-headless==4.11.0.86", "numpy==1.26.4"],
    "plots": ["matplotlib==3.11.2"],
}
OURS = ("tandem-transformer", "onnxruntime", "grpcio", "aiohttp", "opencv-python-headless", "numpy", "uvloop")


def python(name: str) -> Path:
    """The interpreter of the environment `name`; "tandem" is the project's own."""
    return PYTHON if name == "tandem" else VENVS / f"bench-{name}" / "bin" / "python"


def prepare(name: str) -> None:
    """Make the environment, unless one with these pins is there."""
    folder = VENVS / f"bench-{name}"
    done, wanted = folder / "requirements.txt", "\n".join(REQUIREMENTS[name])
    if done.exists() and done.read_text() == wanted:
        return
    print(f"bench: installing {REQUIREMENTS[name][0]} into {folder.relative_to(VENVS.parent.parent)} ...", flush=True)
    venv.create(folder, with_pip=True, clear=True)
    command = [str(python(name)), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*command, *REQUIREMENTS[name]], check=True)
    done.write_text(wanted)


def versions(names: list[str]) -> dict[str, str]:
    """What is compared, in words: the project's own packages and each peer's pins."""
    ours = ", ".join(f"{package} {metadata.version(package)}" for package in OURS)
    found = {"tandem": f"Python {sys.version.split()[0]}, {ours}"}
    return found | {name: ", ".join(REQUIREMENTS[name]).replace("==", " ") for name in names if name in REQUIREMENTS}
