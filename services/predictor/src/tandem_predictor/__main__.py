"""The command tandem-predictor."""

from __future__ import annotations

import logging
import os
import sys

from tandem import lifecycle, logs, settings
from tandem_predictor import __version__
from tandem_predictor.app import Predictor
from tandem_predictor.settings import Settings, model_folder

PROGRAM = "tandem-predictor"
SUMMARY = "Serve models over the Open Inference Protocol v2: gRPC and REST, with dynamic batching."
NO_MODEL = "no model: give --model_dir, or mount one at /mnt/models, or set TANDEM_DEFAULT_MODEL_DIR"


def main() -> int:
    """Read the settings, serve until a signal. 0: stopped cleanly; 2: something that only the user can mend."""
    read, parsed = settings.load(Settings, PROGRAM, SUMMARY, sys.argv[1:], os.environ)
    if read.version or read.print_config:
        print(__version__ if read.version else settings.describe(read, parsed))  # noqa: T201 - what was asked for
        return 0
    logs.setup(read.log_level, read.log_format)
    for warning in parsed.warnings:
        logging.getLogger("tandem.settings").warning(warning)
    if (folder := model_folder(read)) is None:
        settings.die(f"{PROGRAM}: {NO_MODEL}")
    if reason := lifecycle.run(lambda: Predictor(read, folder)):
        settings.die(f"{PROGRAM}: {reason}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
