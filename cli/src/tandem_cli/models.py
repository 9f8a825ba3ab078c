"""`tandem models`: what a server holds, one model in full, loading and unloading."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import asdict
from typing import Any

import orjson
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from tandem.client import AsyncClient, Document, ModelMetadata
from tandem.errors import TandemError, Unimplemented

from tandem_cli import access
from tandem_cli.access import BadUse
from tandem_cli.commands import Commands
from tandem_cli.doctor.report import printable

BAD_USE = 2
TRANSFORMER, PREDICTOR = "http://localhost:8000", "http://localhost:8080"
ABOUT = f"""List the models of a server, show one in full (its metadata, configuration and statistics), or load and
unload one. To load and unload is the predictor's, with --model_control=explicit: for these the URL is {PREDICTOR}
unless it is given."""
AFTER = """examples:
  tandem models
  tandem models show custom-model --json
  tandem models load custom-model"""


def add_to(commands: Commands) -> None:
    """Declare the command."""
    command = commands.add_parser(
        "models", help="list, show, load and unload models", description=ABOUT, epilog=AFTER, allow_abbrev=False
    )
    command.add_argument("action", nargs="?", choices=("list", "show", "load", "unload"), default="list")
    command.add_argument("name", nargs="?", metavar="NAME", help="the model to show, load or unload")
    command.add_argument("--json", action="store_true", help="print one JSON document, for machines")
    access.add_arguments(command, "", f"the server; {TRANSFORMER}, and {PREDICTOR} to load and unload")
    command.set_defaults(run=run)


def run(known: argparse.Namespace, rest: list[str]) -> int:
    """The command. 0 if the server did it, 1 if not, 2 for bad use."""
    try:
        if rest:
            raise BadUse(f"unknown argument {rest[0]}; see `tandem models --help`")
        if (known.action == "list") == bool(known.name):
            raise BadUse("`tandem models list` has no NAME" if known.name else f"which model? {known.action} NAME")
        known.url = known.url or (PREDICTOR if known.action in ("load", "unload") else TRANSFORMER)
        return asyncio.run(_act(known))
    except BadUse as error:
        print(f"tandem: {error}", file=sys.stderr)
        return BAD_USE
    except TandemError as error:
        print(f"tandem: {error}", file=sys.stderr)
        return 1


async def _act(known: argparse.Namespace) -> int:
    async with access.client(known) as client:
        if known.action in ("load", "unload"):
            await (client.load if known.action == "load" else client.unload)(known.name)
            print("{}" if known.json else f"{known.action}ed {known.name}")
            return 0
        document = await (listed(client) if known.action == "list" else shown(client, known.name))
    if known.json:
        print(orjson.dumps(document, option=orjson.OPT_INDENT_2).decode())
    else:
        console = Console()
        console.print(*(table(document["models"]),) if known.action == "list" else sheet(document), sep="\n")
    return 0


async def listed(client: AsyncClient) -> Document:
    """Every model of the server with its versions, and what it takes and gives if it is ready."""
    names: dict[str, list[Document]] = {}
    for index in await client.models():
        reason = {"reason": index.reason} if index.reason else {}
        names.setdefault(index.name, []).append({"version": index.version, "state": index.state, **reason})
    return {"models": [await _model(client, name, versions) for name, versions in names.items()]}


async def shown(client: AsyncClient, name: str) -> Document:
    """All that the server says of one model; what it does not offer is left out."""
    document: Document = {"metadata": asdict(await client.metadata(name))}
    for key, ask in (("config", client.config), ("statistics", client.statistics)):
        document |= await _offered(key, ask, name)
    return document


def table(models: Sequence[Document]) -> Table:
    """A row a model."""
    shown = Table()
    for heading in ("model", "versions", "platform", "inputs", "outputs"):
        shown.add_column(heading, overflow="fold")
    for model in models:
        versions = "\n".join(
            " ".join((one["version"], one["state"], f"({one['reason']})" if "reason" in one else "")).strip()
            for one in model["versions"]
        )
        inputs, outputs = ("\n".join(map(_spec, model.get(kind, ()))) for kind in ("inputs", "outputs"))
        _row(shown, model["name"], versions, model.get("platform", ""), inputs, outputs)
    return shown


def sheet(document: Document) -> list[Table]:
    """A model's tables: what it is, how it is served, what it has done."""
    metadata, config = document["metadata"], document.get("config", {})
    about = Table(title=escape(printable(metadata["name"])), show_header=False, title_justify="left")
    _row(about, "versions", ", ".join(metadata["versions"]))
    _row(about, "platform", metadata["platform"])
    for kind in ("inputs", "outputs"):
        _row(about, kind, "\n".join(map(_spec, metadata[kind])))
    for key in ("backend", "max_batch_size"):
        if key in config:
            _row(about, key, str(config[key]))
    done = Table("version", "requests", "failed", "rows", "runs", "inference", title="statistics", title_justify="left")
    for one in document.get("statistics", ()):
        counts = one["inference_stats"]
        runs = counts["compute_infer"]
        mean = f"{runs['ns'] / runs['count'] / 1e6:.2f} ms" if runs["count"] else ""
        numbers = (counts["success"]["count"], counts["fail"]["count"], one["inference_count"], one["execution_count"])
        _row(done, one["version"], *map(str, numbers), mean)
    return [about, done] if done.row_count else [about]


async def _model(client: AsyncClient, name: str, versions: list[Document]) -> Document:
    document: Document = {"name": name, "versions": versions}
    if any(one["state"] == "READY" for one in versions):
        metadata: ModelMetadata = await client.metadata(name)
        described = asdict(metadata)
        document |= {key: described[key] for key in ("platform", "inputs", "outputs")}
    return document


async def _offered(key: str, ask: Callable[[str], Coroutine[Any, Any, object]], name: str) -> Document:
    try:
        return {key: await ask(name)}
    except Unimplemented:
        return {}


def _spec(spec: Document) -> str:
    return f"{spec['name']} {spec['datatype']} {list(spec['shape'])}"


def _row(table: Table, *cells: str) -> None:
    table.add_row(*("\n".join(escape(printable(line)) for line in cell.split("\n")) for cell in cells))
