"""The command tandem-transformer."""

from __future__ import annotations

import sys

from tandem import lifecycle
from tandem.workers.supervisor import supervise

from tandem_transformer import __version__
from tandem_transformer.app import Gateway
from tandem_transformer.settings import Settings

SUMMARY = "Pre- and postprocessing in front of a predictor: REST and gRPC in, Open Inference Protocol v2 out."


def main() -> int:
    """Serve until a signal."""
    return lifecycle.main(Settings, "tandem-transformer", SUMMARY, __version__, Gateway, supervise=supervise)


if __name__ == "__main__":
    sys.exit(main())
