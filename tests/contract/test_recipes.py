"""What docs/observability.md has for who debugs by hand: each line is run, and prints what the page says."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness import DIGITS, ROOT, Pair, running_pair
from pages import Example, agree, block, examples, on_its_ports, run
from security import Authority

PAGE = "observability.md"


@pytest.fixture(scope="module")
def sums() -> Iterator[Pair]:
    model = (f"--model_dir={ROOT / 'examples' / 'row-sums'}", "--allow_python_models")
    with running_pair("sums", model, ("--transformer=identity", "--enable_channelz", "--enable_admin")) as pair:
        yield pair


@pytest.mark.parametrize("example", examples(PAGE), ids=lambda example: example.command.split(";")[0][:50])
def test_a_recipe_prints_what_the_page_says(sums: Pair, example: Example) -> None:
    agree(example, run(on_its_ports(example.command, sums)))


def test_what_protocol_md_asks_channelz_shows_the_hop(sums: Pair) -> None:
    command = block("docs/protocol.md", "grpcurl -plaintext localhost:8081 grpc.channelz")
    channels = json.loads(run(on_its_ports(command, sums)))["channel"]
    assert any(channel["data"]["state"]["state"] == "READY" for channel in channels)


def test_the_page_has_recipes_for_both_doors_and_the_hop() -> None:
    commands = " ".join(example.command for example in examples(PAGE))
    assert {"8000", "8080", "8081"} <= set(re.findall(r"localhost:(\d+)", commands))
    assert "Channelz" in commands


def test_the_recipe_for_what_is_secured_lists_the_services(tmp_path: Path) -> None:
    (command,) = re.findall(r"^grpcurl -cacert .*", (ROOT / "docs" / PAGE).read_text(), re.MULTILINE)
    authority = Authority(tmp_path)
    token = tmp_path / "token"
    token.write_text("one\nanother\n")
    flags = (f"--auth_token_file={token}", *authority.issue("pair", "localhost", "127.0.0.1").flags())
    hop = (f"--predictor_ssl_ca_certs={authority.file}", f"--predictor_auth_token_file={token}")
    with running_pair("digits", (f"--model_dir={DIGITS}", *flags), ("--transformer=identity", *flags, *hop)) as pair:
        asked = on_its_ports(command, pair).replace("ca.pem", str(authority.file)).replace("-1 token", f"-1 {token}")
        assert "inference.GRPCInferenceService" in run(asked).split()
        assert "Unauthenticated" in run(asked.replace("Bearer", "Bear"), check=False)
