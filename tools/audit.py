#!/usr/bin/env python3
"""Look up the pinned packages in the public lists of vulnerabilities: constraints.txt -> pip-audit -> findings.

Where no such list can be reached, it says so and passes.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from environment import ROOT, environment

REQUIREMENT = "pip-audit==2.10.1"


def main() -> int:
    """Print each vulnerability; 1 if there is one."""
    pins = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line]
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        file.write("\n".join(pins))
        file.flush()
        flags = ["--no-deps", "--disable-pip", "--timeout", "5", "--progress-spinner", "off", "--format", "json"]
        command: list[str | Path] = [environment("audit", REQUIREMENT) / "pip-audit", "-r", file.name, *flags]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    try:
        packages = json.loads(done.stdout)["dependencies"]
    except ValueError:
        packages = []
    looked_up = [package for package in packages if "vulns" in package]
    if not looked_up:
        print("audit: skipped, no list of vulnerabilities can be reached from here")
        return 0
    found = [(package, each) for package in looked_up for each in package["vulns"]]
    for package, each in found:
        fixed = ", ".join(each["fix_versions"]) or "no version yet"
        print(f"audit: {package['name']} {package['version']}: {each['id']}, mended in {fixed}")
    print(f"audit: {len(looked_up)} of {len(pins)} packages looked up, {len(found)} vulnerabilities")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
