"""What a command's `add_to` is given."""

from __future__ import annotations

import argparse
from typing import TypeAlias

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"  # argparse has no public name for it


class Formatter(argparse.HelpFormatter):
    """Wraps a text, unless it has indented lines, such as examples, which stay as they are."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        return text if "\n  " in text else super()._fill_text(text, width, indent)
