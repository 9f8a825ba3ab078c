"""The command tandem. Each command is a module: `add_to` declares its arguments, `run` does it."""

from __future__ import annotations

import argparse
import sys

from tandem_cli import __version__, bench, doctor, models, new, predict, up


def main() -> int:
    """Read the command and run it."""
    known, rest = parser().parse_known_args()
    if not hasattr(known, "run"):
        parser().print_help()
        return 2
    status: int = known.run(known, rest)
    return status


def parser() -> argparse.ArgumentParser:
    """The commands, in the order in which --help lists them."""
    top = argparse.ArgumentParser(prog="tandem", description="Start, try and watch a pair.", allow_abbrev=False)
    top.add_argument("--version", action="version", version=__version__)
    commands = top.add_subparsers(title="commands", metavar="COMMAND")
    for command in (up, predict, bench, models, doctor, new):
        command.add_to(commands)
    return top


if __name__ == "__main__":
    sys.exit(main())
