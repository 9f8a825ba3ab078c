"""`tandem new`: a folder with a transformer or a Python model, tests and all, that runs as it is."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from tandem.lifecycle import Fatal

from tandem_cli.commands import Commands
from tandem_cli.new import names

ABOUT = """Make a folder with a transformer (and a model to stand behind it) or a Python model: code, tests, a request
to send, a Containerfile. With --model the tensors are those of your ONNX file, which is copied into the folder."""
AFTER = """examples:
  tandem new transformer celsius
  tandem new predictor sums --model model.onnx"""


def add_to(commands: Commands) -> None:
    """Declare the command."""
    command = commands.add_parser(
        "new", help="make a folder to write a pipeline in", description=ABOUT, epilog=AFTER, allow_abbrev=False
    )
    command.add_argument("kind", choices=("transformer", "predictor"), help="what you want to write")
    command.add_argument("folder", type=Path, metavar="NAME", help="the folder, and the name of the service")
    command.add_argument("--model", type=Path, metavar="FILE", help="an ONNX file, for its tensors")
    command.set_defaults(run=run)


def run(known: argparse.Namespace, rest: list[str]) -> int:
    """The command. 2 for what only its user can mend, and then nothing was written."""
    from tandem_cli.new import scaffold  # noqa: PLC0415 - it loads an engine, which other commands need not wait for

    try:
        if rest:
            raise Fatal(f"unknown arguments: {' '.join(rest)}")
        names.check(known.folder)
        made = scaffold.make(known.kind, known.folder, known.model)
    except Fatal as error:
        print(f"tandem new: {error}", file=sys.stderr)
        return 2
    print(f"made {known.folder}/: {', '.join(made.files)}\n\nNext:\n  " + "\n  ".join(made.steps(*programs())))
    return 0


def programs() -> tuple[str, str]:
    """How `tandem` and `python` were called here, to be called so again."""
    called = sys.argv[0]
    if called.endswith("__main__.py"):
        return f"{sys.executable} -m tandem_cli", sys.executable
    if os.sep in called and not _on_path(called):
        return called, str(Path(called).parent / "python")
    return "tandem", "python"


def _on_path(called: str) -> bool:
    return str(Path(called).parent) in os.environ.get("PATH", "").split(os.pathsep)
