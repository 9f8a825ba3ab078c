"""What `tandem up --try` does once the pair is ready."""

from __future__ import annotations

import asyncio
import base64
import json
import sys
from pathlib import Path
from typing import Any

from rich.console import Console
from tandem.client import AsyncClient, TandemError

INPUTS = Path(".cache") / "try"  # where request bodies are left to play with


async def demonstrate(photo: Path, url: str, model_name: str, grpc_address: str) -> None:
    """Classify one photo, print the table, and print commands to try next, with bodies ready to send."""
    from tandem_cli.predict.tables import table  # noqa: PLC0415 - other commands do not wait for it

    content = await asyncio.to_thread(photo.read_bytes)
    try:
        async with AsyncClient(url) as client:
            Console().print(table(str(photo), await client.infer(model_name, {"input-0": [content]})))
    except TandemError as error:
        print(f"tandem: {photo}: {error}", file=sys.stderr)
        return
    INPUTS.mkdir(parents=True, exist_ok=True)
    (INPUTS / "input.json").write_text(json.dumps(rest_body(content)))
    (INPUTS / "grpc.json").write_text(json.dumps(grpc_body(content, model_name)))
    print(
        f"""Try it yourself:
  curl -H "Content-Type: application/json" -d @{INPUTS}/input.json {url}/v2/models/{model_name}/infer
  grpcurl -plaintext -d @ {grpc_address} inference.GRPCInferenceService/ModelInfer < {INPUTS}/grpc.json""",
        flush=True,
    )


def rest_body(photo: bytes) -> dict[str, Any]:
    """The JSON body that asks for one photo."""
    text = base64.b64encode(photo).decode()
    return {"inputs": [{"name": "input-0", "shape": [1], "datatype": "BYTES", "data": [text]}]}


def grpc_body(photo: bytes, model_name: str) -> dict[str, Any]:
    """The same for grpcurl, which wants bytes as base64."""
    text = base64.b64encode(photo).decode()
    tensor = {"name": "input-0", "shape": [1], "datatype": "BYTES", "contents": {"bytes_contents": [text]}}
    return {"model_name": model_name, "inputs": [tensor]}
