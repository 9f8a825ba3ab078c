"""Programs that .venv need not have: each in an environment of its own below .cache/venvs, made on first use."""

from __future__ import annotations

import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def environment(name: str, *requirements: str) -> Path:
    """The bin folder of the environment `name`, with the pinned `requirements` in it."""
    folder = ROOT / ".cache" / "venvs" / name
    done, wanted = folder / "requirements.txt", "\n".join(requirements)
    if not done.exists() or done.read_text() != wanted:
        print(f"making {folder.relative_to(ROOT)} ...", file=sys.stderr)
        venv.create(folder, with_pip=True, clear=True)
        subprocess.run([folder / "bin" / "python", "-m", "pip", "install", "--quiet", *requirements], check=True)
        done.write_text(wanted)
    return folder / "bin"
