"""Shares the flags of `tandem up` out among the two services."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tandem import settings
from tandem_predictor.settings import Settings as PredictorSettings
from tandem_transformer.settings import Settings as TransformerSettings

_PREDICTOR = frozenset(settings.flags(PredictorSettings))
_TRANSFORMER = frozenset(settings.flags(TransformerSettings))
_DOOR = frozenset({"http_port", "grpc_port"})  # both have them; without a prefix they are the front door's


@dataclass(frozen=True, slots=True)
class Shared:
    """The arguments of each service, and a line about the flags that neither knows, if there are any."""

    transformer: Sequence[str]
    predictor: Sequence[str]
    warnings: Sequence[str]


def share(arguments: Sequence[str]) -> Shared:
    """`--predictor.X` and `--transformer.X` go where they say, any other flag to every service that knows it."""
    transformer: list[str] = []
    predictor: list[str] = []
    unknown: list[str] = []
    for written, value in _pairs(arguments):
        owner, dot, bare = written.removeprefix("--").rpartition(".") if written.startswith("--") else ("", "", "")
        argument = f"--{bare}" if value is None else f"--{bare}={value}"
        to_transformer = owner == "transformer" or (not dot and bare in _TRANSFORMER)
        to_predictor = owner == "predictor" or (not dot and bare in _PREDICTOR - _DOOR)
        transformer += [argument] * to_transformer
        predictor += [argument] * to_predictor
        if not to_transformer and not to_predictor:
            near = difflib.get_close_matches(bare, _TRANSFORMER | _PREDICTOR, n=1)
            unknown.append(written + (f" (did you mean --{near[0]}?)" if near else ""))
    return Shared(transformer, predictor, [f"ignored unknown flags: {', '.join(unknown)}"] if unknown else [])


def _pairs(arguments: Sequence[str]) -> Iterator[tuple[str, str | None]]:
    """Each flag as it was written, and its value, which may follow `=` or a space."""
    rest = [settings.normalise(argument) for argument in arguments]
    while rest:
        name, equals, value = rest.pop(0).partition("=")
        if equals:
            yield name, value
        else:
            yield name, rest.pop(0) if rest and not rest[0].startswith("--") else None
