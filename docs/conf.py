"""The site: `make docs` builds it with Sphinx from the Markdown pages beside this file."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import tandem
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective
from tandem import settings
from tandem_predictor.settings import Settings as PredictorSettings
from tandem_transformer.settings import Settings as TransformerSettings

project = "Tandem"
version = release = tandem.__version__
extensions = ["myst_parser", "sphinx.ext.autodoc"]
suppress_warnings = ["misc.highlighting_failure"]  # "..." in an answer, which is no JSON
html_theme = "furo"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_title = f"Tandem {release}"
html_show_copyright = False
myst_heading_anchors = 4  # links to headings work as on a page of the repository
smartquotes = False  # they make one dash of two, and flags begin with two
default_role = "code"  # docstrings write `name` as Markdown does
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_type_aliases = {"Arrays": "Arrays", "Array": "Array", "Parameter": "Parameter"}

OUTSIDE = re.compile(r"\[([^]]+)\]\(\.\./([^)#]+)(?:#[^)]*)?\)")
SERVICES: dict[str, type[Any]] = {"predictor": PredictorSettings, "transformer": TransformerSettings}


class Flags(SphinxDirective):
    """A table of a service's flags, from the settings that parse them: `{flags} predictor`."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """A section for each group of --help."""
        cls = SERVICES[self.arguments[0]]
        groups: dict[str, list[tuple[str, settings.Flag]]] = {}
        for name, flag in settings.flags(cls).items():
            groups.setdefault(flag.group, []).append((name, flag))
        return [node for group, flags in groups.items() for node in (nodes.rubric(text=group), _table(cls, flags))]


class Command(SphinxDirective):
    """What a command prints with --help: `{command} tandem bench`."""

    required_arguments = 1
    final_argument_whitespace = True

    def run(self) -> list[nodes.Node]:
        """The text as it is."""
        program, *rest = self.arguments[0].split()
        command = [Path(sys.executable).parent / program, *rest, "--help"]
        wide = {**os.environ, "COLUMNS": "88", "NO_COLOR": "1"}
        printed = subprocess.run(command, env=wide, capture_output=True, text=True, check=True).stdout
        return [nodes.literal_block(text=printed, language="text")]


def _table(cls: type[Any], flags: list[tuple[str, settings.Flag]]) -> nodes.table:
    rows = [_row(name, flag, cls.__dataclass_fields__[name].default) for name, flag in flags]
    columns = [nodes.colspec(colwidth=width) for width in (35, 15, 50)]
    head = nodes.row("", *[nodes.entry("", nodes.paragraph(text=title)) for title in ("flag", "default", "")])
    return nodes.table("", nodes.tgroup("", *columns, nodes.thead("", head), nodes.tbody("", *rows), cols=len(columns)))


def _row(name: str, flag: settings.Flag, default: object) -> nodes.row:
    literal = nodes.literal(text=f"--{name}")
    shown = settings.show(default)
    value = nodes.paragraph("", "", nodes.literal(text=shown)) if shown else nodes.paragraph()
    cells = nodes.paragraph("", "", literal), value, nodes.paragraph(text=flag.help)
    return nodes.row("", *[nodes.entry("", cell) for cell in cells], ids=[])


def stay_inside(app: Sphinx, name: str, source: list[str]) -> None:
    """Links to files outside docs/, which lead somewhere on a page of the repository, name the file instead."""
    here = source[0].replace("(../bench/README.md", "(benchmarks.md")
    source[0] = OUTSIDE.sub(lambda found: f"{found[1]} (`{found[2]}`)", here)


def setup(app: Sphinx) -> None:
    """Called by Sphinx."""
    app.add_directive("flags", Flags)
    app.add_directive("command", Command)
    app.connect("source-read", stay_inside)
