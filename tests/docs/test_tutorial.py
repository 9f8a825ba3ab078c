"""docs/tutorial.md from top to bottom in an empty folder: its files are written, its commands run."""

from __future__ import annotations

import re
import socket
import sys
from pathlib import Path

import pytest
from harness import ROOT, Process
from pages import Example, agree, run

PAGE = ROOT / "docs" / "tutorial.md"
BLOCKS = re.findall(
    r"^(<!-- [^\n]* -->\n)?```(sh|python|text|json)\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL
)
TOLERANCE = 0.0001
HOME = f"PATH={Path(sys.executable).parent}:$PATH; export PYTHONWARNINGS=ignore;"


@pytest.mark.system
@pytest.mark.timeout(180)
def test_a_newcomer_gets_an_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    ports = {str(port): str(free_port()) for port in (8000, 8081, 8080, 8082)}
    serving: list[Process] = []
    shown = 0
    try:
        for (comment, language, text), (_, form, expected) in zip(BLOCKS, [*BLOCKS[1:], ("", "", "")], strict=True):
            if language == "python":
                write(text)
            elif language == "sh" and "not run" not in comment:
                command = re.sub(r"127\.0\.0\.1:(8\d{3})", lambda found: f"127.0.0.1:{ports[found[1]]}", text)
                if command.startswith("tandem up"):
                    serving.append(serve(command, ports))
                    continue
                printed = run(f"{HOME} {command}")
                if form in {"json", "text"}:
                    agree(Example("", command, form, expected), printed, TOLERANCE)
                    shown += 1
    finally:
        for process in serving:
            process.stop()
    assert (len(serving), shown) == (1, 4)


def write(text: str) -> None:
    """The file that the block's first line names."""
    file = Path(text.splitlines()[0].removeprefix("# "))
    assert file.parent.is_dir()
    file.write_text(text)


def serve(command: str, ports: dict[str, str]) -> Process:
    names = {
        "--http_port": "8000",
        "--grpc_port": "8081",
        "--predictor.http_port": "8080",
        "--predictor.grpc_port": "8082",
    }
    more = " ".join(f"{name}={ports[port]}" for name, port in names.items())
    process = Process("bash", "-c", f"{HOME} exec {command.rstrip()} {more}", cwd=Path.cwd())
    process.wait_for(lambda line: "tandem: ready at" in line)
    return process


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])
