"""Certificates for tests: an authority, what it has signed, and clients that trust it."""

from __future__ import annotations

import http.client
import json
import os
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import trustme
from contract.client import Reply


@dataclass(frozen=True)
class Identity:
    """A certificate and its key, in files."""

    certificate: Path
    key: Path

    def flags(self, prefix: str = "") -> tuple[str, str]:
        return f"--{prefix}ssl_certfile={self.certificate}", f"--{prefix}ssl_keyfile={self.key}"


class Authority:
    """Signs certificates into a folder."""

    def __init__(self, folder: Path, name: str = "ca") -> None:
        self.ca = trustme.CA()
        self.folder = folder
        self.file = folder / f"{name}.pem"
        self.file.write_bytes(self.ca.cert_pem.bytes())

    def issue(self, name: str, *hosts: str) -> Identity:
        """A new certificate for `hosts`; replaces the one of that name as Kubernetes does, in one step a file."""
        made = self.ca.issue_cert(*hosts)
        identity = Identity(self.folder / f"{name}.crt", self.folder / f"{name}.key")
        replace(identity.key, made.private_key_pem.bytes())
        replace(identity.certificate, b"".join(pem.bytes() for pem in made.cert_chain_pems))
        return identity

    def trusting(self, identity: Identity | None = None) -> ssl.SSLContext:
        """What a client needs that trusts this authority, and shows `identity`."""
        context = ssl.create_default_context(cafile=str(self.file))
        if identity:
            context.load_cert_chain(identity.certificate, identity.key)
        return context


def replace(path: Path, data: bytes) -> None:
    new = path.with_suffix(".new")
    new.write_bytes(data)
    os.replace(new, path)


def ask_tls(port: int, path: str, context: ssl.SSLContext, body: dict[str, Any] | None = None, **headers: str) -> Reply:
    """One request over HTTPS on a connection of its own."""
    connection = http.client.HTTPSConnection("localhost", port, timeout=30, context=context)
    try:
        connection.request("POST" if body else "GET", path, json.dumps(body) if body else None, headers)
        answer = connection.getresponse()
        return Reply(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())
    finally:
        connection.close()
