"""The command tandem-predictor."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from tandem import lifecycle
from tandem.lifecycle import Fatal
from tandem.settings import given

from tandem_predictor import __version__
from tandem_predictor.app import Predictor
from tandem_predictor.settings import Settings, model_folder

PROGRAM = "tandem-predictor"
SUMMARY = "Serve models over the Open Inference Protocol v2: gRPC and REST, with dynamic batching."
NO_MODEL = "no model: give --model_dir, or mount one at /mnt/models, or set TANDEM_DEFAULT_MODEL_DIR"


def main() -> int:
    """Serve until a signal."""
    return lifecycle.main(Settings, PROGRAM, SUMMARY, __version__, make)


def make(settings: Settings) -> Predictor:
    """The predictor of `settings`; raises Fatal if there is no model."""
    if settings.model_class:
        return Predictor(settings, Path())
    if (folder := model_folder(settings)) is None:
        raise Fatal(NO_MODEL)
    return Predictor(settings, folder, given(Settings, PROGRAM, sys.argv[1:], os.environ))


if __name__ == "__main__":
    sys.exit(main())
