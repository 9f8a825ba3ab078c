"""The test kit: a pipeline run against arrays without servers, or a whole pair in this process.

outputs = testing.run(MyTransformer(), {"x": array}, predictor="model")

with testing.pair("model", transformer=MyTransformer) as pair:
    outputs = pair.infer({"x": array})
"""

from tandem_cli.testing.pair import Pair, pair
from tandem_cli.testing.pipeline import run

__all__ = ["Pair", "pair", "run"]
