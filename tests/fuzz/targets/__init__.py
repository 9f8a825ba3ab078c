"""The targets, one a module.

Each has `check(data) -> bool`, whether the bytes were taken, which fails where a promise is broken; SEEDS, inputs that
are taken; FOUND, what a fuzzer or a reader has found and has been mended since, and refusals that are hard to come by;
WORDS to build inputs of.
"""

from __future__ import annotations

import importlib
import pkgutil
from types import ModuleType


def names() -> list[str]:
    """Every target's name."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def target(name: str) -> ModuleType:
    """The module of one."""
    return importlib.import_module(f"{__name__}.{name}")
