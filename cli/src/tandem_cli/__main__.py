"""The command tandem."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tandem_cli import __version__, doctor, predict, up
from tandem_cli.doctor import options

UP = """Start predictor and transformer as two processes and stop both on Ctrl-C. Any flag of either service may be
given: it goes to each that knows it. --predictor.X and --transformer.X go to one of them; --http_port and --grpc_port
without a prefix are the transformer's. See `tandem-predictor --help` and `tandem-transformer --help`."""


def main() -> int:
    """Read the command and run it."""
    known, rest = parser().parse_known_args()
    if not hasattr(known, "run"):
        parser().print_help()
        return 2
    status: int = known.run(known, rest)
    return status


def parser() -> argparse.ArgumentParser:
    """The commands."""
    top = argparse.ArgumentParser(prog="tandem", description=__doc__, allow_abbrev=False)
    top.add_argument("--version", action="version", version=__version__)
    commands = top.add_subparsers(title="commands", metavar="COMMAND")
    start = commands.add_parser("up", help="start a pair", description=UP, allow_abbrev=False)
    start.add_argument("--try", dest="try_photo", type=Path, metavar="PHOTO", help="classify it once the pair is ready")
    start.set_defaults(run=up.run)
    ask = commands.add_parser("predict", help="classify photos with a running pair", allow_abbrev=False)
    ask.add_argument("photos", nargs="+", type=Path, metavar="PHOTO", help="JPEG, PNG or WebP files")
    ask.add_argument("--url", default="http://localhost:8000", help="the transformer's HTTP door [%(default)s]")
    ask.add_argument("--model_name", "--model-name", default="custom-model", help="[%(default)s]")
    ask.set_defaults(run=predict.run)
    examine = commands.add_parser(
        "doctor",
        help="check a running pair",
        description=options.ABOUT,
        epilog=options.AFTER,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    options.add_arguments(examine)
    examine.set_defaults(run=doctor.run)
    return top


if __name__ == "__main__":
    sys.exit(main())
