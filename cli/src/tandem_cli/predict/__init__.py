"""`tandem predict`: files to a running pair, answers back as a table, JSON or CSV.

arguments -> jobs -> AsyncClient, many at a time -> answers in the jobs' order -> writer
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from pathlib import Path

from tandem.errors import TandemError

from tandem_cli import access
from tandem_cli.access import BadUse, flag
from tandem_cli.commands import Commands
from tandem_cli.predict.demo import demonstrate

__all__ = ["add_to", "demonstrate", "run"]

BAD_USE, INTERRUPTED = 2, 130
ABOUT = """Send files to a running pair and show what it answers. A model with one BYTES input, such as the image pair,
gets each file as it is; other models get .npy, .npz and .json files, whose numbers become the datatypes that the model
wants. Answers come in the order of the files, each as soon as those before it are there. Requests that the pair
refuses because it is full are sent again until --timeout."""
AFTER = """examples:
  tandem predict photo.jpg              one photo, every label
  tandem predict photos/ 'more/*.png'   folders are searched, patterns resolved
  tandem predict photos/ --format csv --output labels.csv
  cat photo.jpg | tandem predict - --format json
  tandem predict --model_name sums --input 'x=[[1, 2, 3]]'
  tandem predict --model_name sums --inputs x.json --url grpc://localhost:8081

exit status: 0 if all were answered, 1 if some failed, 2 for bad use"""


def add_to(commands: Commands) -> None:
    """Declare the command."""
    command = commands.add_parser(
        "predict",
        help="send photos or other files to a running pair",
        description=ABOUT,
        epilog=AFTER,
        allow_abbrev=False,
    )
    command.add_argument("sources", nargs="*", metavar="FILE", help="files, folders, patterns, or - for the input")
    flag(command, "model_name", "NAME", "the model to ask [custom-model]", default="custom-model")
    flag(command, "model_version", "VERSION", "its version [the newest]", default="")
    text = "an input: a JSON value, or @FILE (.npy, .json, else its bytes); again for others, all of one request"
    flag(command, "input", "NAME=VALUE", text, action="append", default=[])
    flag(command, "inputs", "FILE", "all inputs of one request: .npz, or .json as the protocol has it or by name")
    command.add_argument("--format", choices=("table", "json", "csv"), default="table", help="json: an object a line")
    flag(command, "output", "FILE", "write the answers there [standard output]", type=Path)
    flag(command, "concurrency", "N", "requests under way at a time [32]", type=_count, default=32)
    access.add_arguments(command, "http://localhost:8000", "the transformer")
    command.set_defaults(run=run)


def run(known: argparse.Namespace, rest: list[str]) -> int:
    """The command. 0 if all were answered, 1 if some failed, 2 for bad use."""
    from tandem_cli.predict.session import predict  # noqa: PLC0415 - other commands do not wait for what it imports

    try:
        if rest:
            raise BadUse(f"unknown argument {rest[0]}; see `tandem predict --help`")
        return asyncio.run(predict(known))
    except BadUse as error:
        print(f"tandem: {error}", file=sys.stderr)
        return BAD_USE
    except BrokenPipeError:  # who read the answers has had enough, as `head` has
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else Python fails to flush at its end
        return 1
    except (TandemError, OSError) as error:
        print(f"tandem: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return INTERRUPTED


def _count(text: str) -> int:
    count = int(text)
    if not 1 <= count <= 1024:
        raise ValueError(text)
    return count
