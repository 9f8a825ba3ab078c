"""The name of what is made: a folder, a service in a cluster, and a class."""

from __future__ import annotations

import keyword
import re
from pathlib import Path

from tandem.lifecycle import Fatal

LONGEST = 50  # of a DNS label's 63; KServe adds a suffix of its own
_TAKEN = frozenset({"Transformer", "TensorSpec", "Arrays", "Context", "Model"})


def check(folder: Path) -> None:
    """Raise Fatal unless `folder` can be made and its name can be a Kubernetes service's."""
    name = folder.name
    if not re.fullmatch(rf"[a-z]([a-z0-9-]{{0,{LONGEST - 2}}}[a-z0-9])?", name):
        near = nearest(name)
        hint = f"; try {near}" if near else ""
        raise Fatal(
            f"'{name}' is no name for a service: expected small letters, digits and hyphens, "
            f"a letter first, {LONGEST} at most{hint}"
        )
    if folder.exists():
        raise Fatal(f"{folder} is there already: choose another name, or remove it")
    if not folder.parent.is_dir():
        raise Fatal(f"there is no folder {folder.parent}")


def nearest(name: str) -> str:
    """`name` as a valid one; empty if nothing is left of it."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", name).lower()
    return re.sub(r"[^a-z0-9]+", "-", words).lstrip("-0123456789")[:LONGEST].rstrip("-")


def class_name(name: str) -> str:
    """`my-model` as MyModel, or as MyNone where Python or the file has that name for something else."""
    camel = "".join(word.capitalize() for word in name.split("-"))
    return f"My{camel}" if keyword.iskeyword(camel) or camel in _TAKEN else camel
