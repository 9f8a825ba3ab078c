"""What surrounds a run: a virtual environment for each peer, as their pins clash, made by pip alone; the machine."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import sysconfig
import venv
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

from bench.compare.places import PYTHON, ROOT, VENVS

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


def unfit_for_triton() -> str:
    """Why it cannot run here, or nothing: the stub of its backend embeds our Python from a shared library."""
    library = Path(str(sysconfig.get_config_var("LIBDIR"))) / str(sysconfig.get_config_var("INSTSONAME"))
    shared = sysconfig.get_config_var("Py_ENABLE_SHARED") and library.exists()
    return "" if shared else "Triton's Python backend needs a Python built with --enable-shared"


def versions(names: list[str]) -> dict[str, str]:
    """What is compared, in words: the project's own packages and each peer's pins."""
    ours = ", ".join(f"{package} {metadata.version(package)}" for package in OURS)
    found = {"tandem": f"Python {sys.version.split()[0]}, {ours}"}
    return found | {name: ", ".join(REQUIREMENTS[name]).replace("==", " ") for name in names if name in REQUIREMENTS}


def about(peers: list[str], words: str) -> dict[str, object]:
    """Date, machine, commit, versions and how it was started."""
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "machine": f"{_cpu()}, {len(os.sched_getaffinity(0))} cores, {_memory():.0f} GB, Linux {platform.release()}",
        "load_before": os.getloadavg()[0],
        "commit": _commit(),
        "command": words,
        "versions": versions(peers),
    }


def _cpu() -> str:
    with open("/proc/cpuinfo") as file:
        return next((line.partition(":")[2].strip() for line in file if line.startswith("model name")), "unknown CPU")


def _memory() -> float:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9


def _commit() -> str:
    command = ["git", "describe", "--always", "--abbrev=10", "--dirty"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "no git"
