"""docs/bench-command.md: its commands run against a pair, and are answered."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
from harness import ROOT, Pair
from pages import on_its_ports, run

COMMANDS = re.findall(r"^```sh\n(.*?)^```", (ROOT / "docs" / "bench-command.md").read_text(), re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.split("--")[1].strip())
def test_a_command_of_the_page_is_answered(pair: Pair, command: str, tmp_path: Path) -> None:
    local = command.replace("examples/", f"{ROOT}/examples/").replace("figures.json", str(tmp_path / "figures.json"))
    local = re.sub(r"--duration \d+", "--duration 0.5 --warm_up 0.1", local)
    if "--url" not in local:
        local = local.rstrip() + " --url http://localhost:8000"
    printed = run(f"PATH={Path(sys.executable).parent}:$PATH; {on_its_ports(local, pair)}")
    assert "p99" in printed
    assert (tmp_path / "figures.json").exists() == ("--json" in command)
