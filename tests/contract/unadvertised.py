"""A real service, except that it does not advertise statistics and refuses to tell them.

python unadvertised.py predictor|transformer FLAGS...
"""

from __future__ import annotations

import sys
from dataclasses import replace

from tandem.errors import Unavailable
from tandem_predictor import __main__ as predictor
from tandem_predictor import models
from tandem_transformer import __main__ as transformer
from tandem_transformer.pipeline import Pipeline

SERVICES = {"predictor": (models.Models, predictor.main), "transformer": (Pipeline, transformer.main)}


def statistics(self, name, version):
    raise Unavailable("nothing here advertises statistics, so nobody may ask")


def without(extensions):
    assert "statistics" in extensions
    return tuple(name for name in extensions if name != "statistics")


if __name__ == "__main__":
    endpoint, main = SERVICES[sys.argv.pop(1)]
    models.EXTENSIONS = without(models.EXTENSIONS)
    Pipeline.info = replace(Pipeline.info, extensions=without(Pipeline.info.extensions))
    endpoint.statistics = statistics
    sys.exit(main())
