"""What `make dist` writes: wheels that hold the members, and a bill of materials that tells the pins and no more."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile

import pytest
from harness import ROOT
from tandem_predictor import __version__

pytestmark = [pytest.mark.system, pytest.mark.timeout(600)]

DIST = ROOT / "dist"
MEMBERS = {"tandem_shared": "tandem", "tandem_predictor": "", "tandem_transformer": "", "tandem_cli": ""}


@pytest.fixture(scope="module")
def printed() -> str:
    command = [sys.executable, ROOT / "tools" / "dist.py"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_every_member_is_a_wheel_with_its_types(printed: str) -> None:
    assert {file.name for file in DIST.glob("tandem*.whl")} == {f"{m}-{__version__}-py3-none-any.whl" for m in MEMBERS}
    for member, package in MEMBERS.items():
        with zipfile.ZipFile(DIST / f"{member}-{__version__}-py3-none-any.whl") as wheel:
            assert f"{package or member}/py.typed" in wheel.namelist()


def test_the_bill_of_materials_has_the_pins_and_neither_tools_nor_paths(printed: str) -> None:
    file = DIST / f"tandem-{__version__}.cdx.json"
    bill = json.loads(file.read_text())
    assert bill["bomFormat"] == "CycloneDX"
    found = {each["name"].lower().replace("_", "-"): each["version"] for each in bill["components"]}
    pins = dict(line.lower().replace("_", "-").split("==") for line in (ROOT / "constraints.txt").read_text().split())
    others = {name: version for name, version in found.items() if not name.startswith("tandem-")}
    assert {member.replace("_", "-") for member in MEMBERS} == found.keys() - others.keys()
    assert others.items() <= pins.items()
    assert {"onnxruntime", "opencv-python-headless", "grpcio"} <= others.keys()
    assert not {"pip", "pytest", "mypy"} & others.keys()
    assert "file:/" not in file.read_text()
    assert printed.splitlines()[-1] == f"dist: 4 wheels, and a bill of materials of {len(found)} packages"
