"""The command tandem. Each command is a module: `add_to` declares its arguments, `run` does it."""

from __future__ import annotations

import argparse
import difflib
import re
import sys
from typing import NoReturn

from tandem_cli import __version__, bench, completion, doctor, models, new, predict, up


class Parser(argparse.ArgumentParser):
    """Tells what is wrong in one line, with the nearest name there is."""

    def error(self, message: str) -> NoReturn:
        """Called by argparse."""
        unknown = re.match(r"argument \w+: invalid choice: '(.*?)' \(choose from (.*)\)", message)
        if unknown:
            known = re.findall(r"[\w.-]+", unknown[2])
            near = difflib.get_close_matches(unknown[1], known, n=1)
            hint = f"did you mean {near[0]}?" if near else f"expected one of: {', '.join(known)}"
            message = f"{unknown[1]!r} is unknown; {hint}"
        print(f"{self.prog}: {message}; see `{self.prog} --help`", file=sys.stderr)
        sys.exit(2)


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
    top: argparse.ArgumentParser = Parser(prog="tandem", description="Start, try and watch a pair.", allow_abbrev=False)
    top.add_argument("--version", action="version", version=__version__)
    commands = top.add_subparsers(title="commands", metavar="COMMAND")
    for command in (up, predict, bench, models, doctor, new):
        command.add_to(commands)
    completion.add_to(commands, parser)
    return top


if __name__ == "__main__":
    sys.exit(main())
