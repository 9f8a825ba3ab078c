"""`tandem completion` in a real bash, and the one line that a slip of the finger is told in."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

TANDEM = (sys.executable, "-m", "tandem_cli")
ASK = """
COMP_TYPE=9 COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
compopt() { :; }
source "$SCRIPT"
_shtab_tandem
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.fixture(scope="module")
def script(tmp_path_factory) -> Path:
    file = tmp_path_factory.mktemp("completion") / "tandem.bash"
    file.write_text(subprocess.run([*TANDEM, "completion", "bash"], capture_output=True, text=True, check=True).stdout)
    return file


@pytest.mark.parametrize(
    ("words", "completed"),
    [
        (("tandem", "be"), {"bench"}),
        (("tandem", "up", "--max_batch"), {"--max_batch_size"}),
        (("tandem", "up", "--predictor.max_batch"), {"--predictor.max_batch_size"}),
        (("tandem", "up", "--transformer", "ima"), {"image-classification"}),
        (("tandem", "up", "--merge_predictor_metrics", "t"), {"true"}),
        (("tandem", "up", "--model_dir", "exam"), {"examples"}),
        (("tandem", "new", "tr"), {"transformer"}),
        (("tandem", "bench", "--conc"), {"--concurrency"}),
    ],
)
def test_bash_completes(script: Path, words: tuple[str, ...], completed: set[str]) -> None:
    done = subprocess.run(
        ["bash", "-c", ASK, "bash", *words], env={"SCRIPT": str(script)}, capture_output=True, text=True, check=False
    )
    assert set(done.stdout.split()) == completed, done.stderr


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_have_a_script_with_every_command(shell: str) -> None:
    printed = subprocess.run([*TANDEM, "completion", shell], capture_output=True, text=True, check=True).stdout
    assert all(command in printed for command in ("predict", "bench", "models", "doctor", "up", "new"))


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("banch",), "tandem: 'banch' is unknown; did you mean bench?; see `tandem --help`"),
        (("new", "transfomer", "x"), "did you mean transformer?; see `tandem new --help`"),
        (("bench", "--concurrency", "x"), "tandem bench: argument --concurrency: "),
        (
            ("bench", "--concurency", "3"),
            "unknown argument --concurency; did you mean --concurrency?; see `tandem bench --help`",
        ),
    ],
)
def test_a_slip_is_told_in_one_line(arguments: tuple[str, ...], told: str) -> None:
    done = subprocess.run([*TANDEM, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert told in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("command", ["up", "predict", "bench", "models", "doctor", "new", "completion"])
def test_help_fits_a_terminal_of_80_columns(command: str) -> None:
    environment = {**os.environ, "COLUMNS": "80"}
    printed = subprocess.run([*TANDEM, command, "--help"], env=environment, capture_output=True, text=True, check=True)
    assert [line for line in printed.stdout.splitlines() if len(line) > 80] == []
