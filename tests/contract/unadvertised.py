"""A real service, except that it does not advertise statistics and refuses to tell them.

python unadvertised.py predictor|transformer FLAGS...
"""

from __future__ import annotations

import sys
from dataclasses import replace

from tandem.errors import Unavailable
from tandem_predictor import __main__ as predictor
from tandem_predictor.models import Models
from tandem_transformer import __main__ as transformer
from tandem_transformer.pipeline import Pipeline

SERVICES = {"predictor": (Models, predictor.main), "transformer": (Pipeline, transformer.main)}


def statistics(self, name, version):
    raise Unavailable("nothing here advertises statistics, so nobody may ask")


if __name__ == "__main__":
    endpoint, main = SERVICES[sys.argv.pop(1)]
    extensions = [name for name in endpoint.info.extensions if name != "statistics"]
    assert len(extensions) == len(endpoint.info.extensions) - 1
    endpoint.info = replace(endpoint.info, extensions=extensions)
    endpoint.statistics = statistics
    sys.exit(main())
