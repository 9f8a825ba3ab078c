"""The command tandem. Each command is a module: `add_to` declares its arguments, `run` does it."""

from __future__ import annotations

import argparse
import difflib
import re
import sys
from typing import NoReturn

from tandem_cli import __version__, bench, completion, doctor, models, new, predict, up
from tandem_cli.commands import Page


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
    top = parser()
    known, rest = top.parse_known_args()
    if not hasattr(known, "run"):
        top.print_help()
        return 2
    flags = [argument.partition("=")[0] for argument in rest if argument.startswith("--")]
    if flags and known.command != "up":  # up gives them to the services, which warn
        command = _choices(top)[known.command]
        near = difflib.get_close_matches(flags[0], command._option_string_actions, n=1)
        command.error(f"unknown argument {flags[0]}" + (f"; did you mean {near[0]}?" if near else ""))
    status: int = known.run(known, rest)
    return status


def parser() -> argparse.ArgumentParser:
    """The commands, in the order in which --help lists them."""
    top: argparse.ArgumentParser = Parser(prog="tandem", description="Start, try and watch a pair.", allow_abbrev=False)
    top.add_argument("--version", action="version", version=__version__)
    commands = top.add_subparsers(title="commands", metavar="COMMAND", dest="command")
    for command in (up, predict, bench, models, doctor, new):
        command.add_to(commands)
    completion.add_to(commands, parser)
    for command_parser in commands.choices.values():
        command_parser.formatter_class = Page
    return top


def _choices(top: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """The commands' parsers by name."""
    return next(dict(a.choices) for a in top._actions if isinstance(a, argparse._SubParsersAction))


if __name__ == "__main__":
    sys.exit(main())
