"""A virtual environment for each peer, whose pins clash with ours and with one another: made once, by pip alone."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from dataclasses import dataclass
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


@dataclass(frozen=True, slots=True)
class TritonHome:
    """Where the server inside the wheel lies, and what it needs to find its libraries and our Python."""

    server: Path
    backends: Path
    environment: dict[str, str]


def triton() -> TritonHome:
    """Lay the Python backend out as the server expects it; the wheel keeps its parts apart."""
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    site = VENVS / "bench-triton" / "lib" / f"python{version}" / "site-packages"
    wheel, backends = site / "pytriton" / "tritonserver", VENVS / "bench-triton" / "backends"
    if not backends.exists():
        shutil.copytree(wheel / "backends", backends)
        stub = wheel / "python_backend_stubs" / version / "triton_python_backend_stub"
        shutil.copy(stub, backends / "python")
    libraries = f"{site / 'nvidia_pytriton.libs'}:{sysconfig.get_config_var('LIBDIR')}"
    path = f"{python('triton').parent}:{os.environ['PATH']}"  # the stub looks for its site-packages beside `python3`
    return TritonHome(wheel / "bin" / "tritonserver", backends, {"LD_LIBRARY_PATH": libraries, "PATH": path})


def unfit(name: str) -> str:
    """Why a peer cannot run here, or nothing: Triton's stub embeds Python from a shared library."""
    library = Path(str(sysconfig.get_config_var("LIBDIR"))) / str(sysconfig.get_config_var("INSTSONAME"))
    if name == "triton" and not (sysconfig.get_config_var("Py_ENABLE_SHARED") and library.exists()):
        return f"its Python backend needs {library.name} of a Python built with --enable-shared"
    return ""


def versions(names: list[str]) -> dict[str, str]:
    """What is compared, in words: the project's own packages and each peer's pins."""
    ours = ", ".join(f"{package} {metadata.version(package)}" for package in OURS)
    found = {"tandem": f"Python {sys.version.split()[0]}, {ours}"}
    return found | {name: ", ".join(REQUIREMENTS[name]).replace("==", " ") for name in names if name in REQUIREMENTS}
