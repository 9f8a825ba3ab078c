#!/usr/bin/env python3
"""Write dist/: a wheel of each member, and the bill of materials of an environment made of them with the pins.

members -> wheels -> a throwaway environment -> CycloneDX
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

from environment import ROOT, environment

MEMBERS = ("shared", "services/predictor", "services/transformer", "cli")
DIST = ROOT / "dist"
REQUIREMENTS = ("cyclonedx-bom==7.5.0",)


def wheels() -> list[Path]:
    """The members' wheels, fresh."""
    DIST.mkdir(exist_ok=True)
    for old in DIST.glob("tandem*"):
        old.unlink()
    members = [f"./{member}" for member in MEMBERS]
    _pip("wheel", "--quiet", "--no-deps", "--wheel-dir", DIST, *members)
    return sorted(DIST.glob("tandem*.whl"))


def bill_of_materials(made: list[Path]) -> Path:
    """What an installation of the wheels consists of: names, versions, licences, and who needs whom."""
    file = DIST / f"tandem-{made[0].name.split('-')[1]}.cdx.json"
    with tempfile.TemporaryDirectory() as folder:
        venv.create(folder)  # without pip, which is no part of it
        python = f"{folder}/bin/python"
        _pip("--python", python, "install", "--quiet", "--constraint", ROOT / "constraints.txt", *made)
        for note in Path(folder).rglob("tandem_*.dist-info/direct_url.json"):  # the wheel's path on this machine,
            note.unlink()  # which the bill would tell
        command: list[str | Path] = [
            environment("sbom", *REQUIREMENTS) / "cyclonedx-py",
            "environment",
            "--output-reproducible",
        ]
        subprocess.run([*command, "--output-file", file, python], check=True)
    return file


def _pip(*arguments: str | Path) -> None:
    subprocess.run([sys.executable, "-m", "pip", "--disable-pip-version-check", *arguments], check=True)


def main() -> int:
    """Make both and say so."""
    print("dist: building the wheels and the environment of their bill of materials (a minute) ...")
    made = wheels()
    bill = bill_of_materials(made)
    count = len(json.loads(bill.read_text())["components"])
    print(*(f"  dist/{each.name}" for each in made), f"  dist/{bill.name}", sep="\n")
    print(f"dist: {len(made)} wheels, and a bill of materials of {count} packages")
    return 0


if __name__ == "__main__":
    sys.exit(main())
