#!/usr/bin/env python3
"""Write requirements/{predictor,transformer}.txt, what the images are made of: the pins of constraints.txt with hashes.

--check: whether they have those pins; without looking for hashes, which needs the index.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from environment import ROOT, environment

SERVICES = ("predictor", "transformer")
REQUIREMENT = "uv==0.13.9"
_FLAGS = ("--extra=tracing", "--constraint=constraints.txt", "--no-emit-package=tandem-shared", "--generate-hashes")
_OUTPUT = ("--universal", "--python-version=3.11", "--no-header", "--no-annotate", "--quiet")


def write(service: str) -> None:
    """Resolve what the service needs, and what its tracing does."""
    members = ("shared/pyproject.toml", f"services/{service}/pyproject.toml")
    uv = environment("uv", REQUIREMENT) / "uv"
    file(service).unlink(missing_ok=True)  # uv would keep what it holds
    subprocess.run([uv, "pip", "compile", *members, *_FLAGS, *_OUTPUT, "--output-file", file(service)], check=True)


def file(service: str) -> Path:
    """The service's requirements."""
    return ROOT / "requirements" / f"{service}.txt"


def pins(text: str) -> dict[str, str]:
    """Versions by normalised name."""
    found = re.findall(r"^([\w.-]+)==([^\s;\\]+)", text, re.MULTILINE)
    return {re.sub(r"[-_.]+", "-", name).lower(): version for name, version in found}


def stale() -> list[str]:
    """What differs from constraints.txt."""
    wanted = pins((ROOT / "constraints.txt").read_text())
    return [
        f"requirements/{service}.txt has {name} {version}, constraints.txt {wanted.get(name, 'does not have it')}"
        for service in SERVICES
        for name, version in pins(file(service).read_text()).items()
        if wanted.get(name) != version
    ]


def main() -> int:
    """Write or check; 1 if a file is stale."""
    if "--check" not in sys.argv[1:]:
        for service in SERVICES:
            write(service)
    found = stale()
    print("\n".join([*found, "run: make requirements"] if found else ["requirements: as constraints.txt has them"]))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
