"""`tandem completion`: a script by which a shell completes commands, flags and files, from the parsers themselves."""

from __future__ import annotations

import argparse
from collections.abc import Callable

import shtab
from tandem import settings
from tandem_predictor.settings import Settings as PredictorSettings
from tandem_transformer.settings import Settings as TransformerSettings
from tandem_transformer.transformer import BUILT_IN

from tandem_cli.commands import Commands

AFTER = """to have it from now on:
  bash  tandem completion bash > \\
          ~/.local/share/bash-completion/completions/tandem
  zsh   tandem completion zsh > ~/.zfunc/_tandem    # a folder of $fpath
  fish  tandem completion fish > ~/.config/fish/completions/tandem.fish"""
_FILES = ("_certfile", "_keyfile", "_ca_certs", "_token_file")


def add_to(commands: Commands, whole: Callable[[], argparse.ArgumentParser]) -> None:
    """Declare the command; `whole` makes the parser of all of them."""
    command = commands.add_parser(
        "completion",
        help="print a script for the shell's completion",
        epilog=AFTER,
        allow_abbrev=False,
    )
    command.add_argument(
        "shell", choices=shtab.SUPPORTED_SHELLS, metavar="SHELL", help=", ".join(shtab.SUPPORTED_SHELLS)
    )
    command.set_defaults(run=lambda known, rest: run(known, rest, whole()))


def run(known: argparse.Namespace, rest: list[str], parser: argparse.ArgumentParser) -> int:
    """The command."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            _add_flags(action.choices["up"])
            for command in action.choices.values():
                _complete_files(command)
    print(shtab.complete(parser, known.shell))
    return 0


def _add_flags(up: argparse.ArgumentParser) -> None:
    """The services' flags, which `tandem up` passes on without declaring them."""
    services = {"predictor": settings.flags(PredictorSettings), "transformer": settings.flags(TransformerSettings)}
    spelled = {f"{service}.{name}": flag for service, flags in services.items() for name, flag in flags.items()}
    for name, flag in (services["predictor"] | services["transformer"] | spelled).items():
        choices = [*BUILT_IN] if name.endswith("transformer") else None
        choices = ["true", "false"] if flag.parse is settings.boolean else choices
        action = up.add_argument(f"--{name}", choices=choices)
        if name.endswith("model_dir"):
            action.complete = shtab.DIRECTORY  # type: ignore[attr-defined]  # where shtab looks for it
        elif name.endswith(_FILES):
            action.complete = shtab.FILE  # type: ignore[attr-defined]  # where shtab looks for it


def _complete_files(command: argparse.ArgumentParser) -> None:
    for action in command._actions:
        if action.metavar in {"FILE", "PHOTO"}:
            action.complete = shtab.FILE  # type: ignore[attr-defined]  # where shtab looks for it
