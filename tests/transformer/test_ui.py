"""The routes of --enable_ui, without a browser."""

from __future__ import annotations

import gzip
import re
from collections.abc import Iterator
from importlib import resources
from pathlib import Path

import pytest
from contract.client import ask
from harness import Service, start_transformer

HTML = {"Accept": "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8"}
ASSETS = resources.files("tandem_transformer.ui") / "assets"
TYPES = {"css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}
FILES = sorted(file.name for file in ASSETS.iterdir() if file.name != "index.html")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """With the page, tokens and no predictor."""
    tokens: Path = tmp_path_factory.mktemp("tokens") / "file"
    tokens.write_text("token\n")
    service = start_transformer(1, "--enable_ui", f"--auth_token_file={tokens}", wait=False)
    yield service
    service.process.stop()


def test_a_browser_gets_the_page_without_a_token_and_nothing_else(server: Service) -> None:
    page = ask(f"{server.url}/", headers=HTML)
    assert (page.status, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert page.body == (ASSETS / "index.html").read_bytes()
    for path in ("/v2", "/v2/models", "/openapi.json", "/ui", "/ui/nothing.js", "/ui/../v2"):
        assert ask(f"{server.url}{path}", headers=HTML).status == 401


def test_who_does_not_ask_for_html_gets_what_there_is_without_the_page(server: Service) -> None:
    for headers in ({}, {"Accept": "*/*"}, {"Accept": "application/json"}):
        reply = ask(f"{server.url}/", headers=headers)
        assert (reply.status, reply.json) == (404, {"error": "no such route; see GET /v2 and the documentation"})


@pytest.mark.parametrize("name", FILES)
def test_every_file_has_its_type_and_comes_once(server: Service, name: str) -> None:
    reply = ask(f"{server.url}/ui/{name}")
    assert (reply.status, reply.body) == (200, (ASSETS / name).read_bytes())
    assert reply.headers["content-type"] == f"{TYPES[name.rpartition('.')[2]]}; charset=utf-8"
    assert (reply.headers["cache-control"], reply.headers["x-content-type-options"]) == ("no-cache", "nosniff")
    again = ask(f"{server.url}/ui/{name}", headers={"If-None-Match": reply.headers["etag"]})
    assert (again.status, again.body, again.headers["etag"]) == (304, b"", reply.headers["etag"])
    zipped = ask(f"{server.url}/ui/{name}", headers={"Accept-Encoding": "gzip"})
    assert zipped.headers["content-encoding"] == "gzip"
    assert gzip.decompress(zipped.body) == reply.body


def test_the_policy_lets_nothing_in_but_our_own_files(server: Service) -> None:
    policy = ask(f"{server.url}/", headers=HTML).headers["content-security-policy"]
    rules = dict(rule.strip().partition(" ")[::2] for rule in policy.split(";"))
    assert (rules["default-src"], rules["script-src"], rules["style-src"]) == ("'none'", "'self'", "'self'")
    assert (rules["connect-src"], rules["frame-ancestors"], rules["base-uri"]) == ("'self'", "'none'", "'none'")
    assert "unsafe" not in policy


def test_head_has_the_headers_and_no_body(server: Service) -> None:
    reply = ask(f"{server.url}/", "HEAD", headers=HTML)
    assert (reply.status, reply.body) == (200, b"")
    assert int(reply.headers["content-length"]) == len((ASSETS / "index.html").read_bytes())


def test_another_method_is_told_which_there_is(server: Service) -> None:
    reply = ask(f"{server.url}/ui/app.js", "POST", b"")
    assert (reply.status, reply.headers["allow"]) == (405, "GET,HEAD")


def test_without_the_flag_there_is_no_page() -> None:
    service = start_transformer(1, wait=False)
    try:
        for path in ("/", "/ui/app.js", "/ui/style.css"):
            reply = ask(f"{service.url}{path}", headers=HTML)
            assert (reply.status, reply.json) == (404, {"error": "no such route; see GET /v2 and the documentation"})
    finally:
        service.process.stop()


def test_the_files_name_no_other_place_and_every_file_that_they_name_is_there() -> None:
    for file in ASSETS.iterdir():
        text = file.read_text()
        assert set(re.findall(r"https?://[^\s\"'<]+", text)) <= {"http://www.w3.org/2000/svg"}, file.name
        named = re.findall(r'(?:from "\./|(?:src|href)="ui/)([^"]+)"', text)
        assert set(named) <= {*FILES}, file.name


def test_no_script_is_longer_than_a_module_may_be() -> None:
    assert [name for name in FILES if (ASSETS / name).read_text().count("\n") > 300] == []
