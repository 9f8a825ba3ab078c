"""The command tandem-transformer."""

from __future__ import annotations

import logging
import os
import sys

from tandem import lifecycle, logs, settings
from tandem_transformer import __version__
from tandem_transformer.app import Gateway
from tandem_transformer.settings import Settings

PROGRAM = "tandem-transformer"
SUMMARY = "Pre- and postprocessing in front of a predictor: REST and gRPC in, Open Inference Protocol v2 out."


def main() -> int:
    """Read the settings, serve until a signal. 0: stopped cleanly; 2: something that only the user can mend."""
    read, parsed = settings.load(Settings, PROGRAM, SUMMARY, sys.argv[1:], os.environ)
    if read.version or read.print_config:
        print(__version__ if read.version else settings.describe(read, parsed))  # noqa: T201 - what was asked for
        return 0
    logs.setup(read.log_level, read.log_format)
    for warning in parsed.warnings:
        logging.getLogger("tandem.settings").warning(warning)
    if reason := lifecycle.run(lambda: Gateway(read)):
        settings.die(f"{PROGRAM}: {reason}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
