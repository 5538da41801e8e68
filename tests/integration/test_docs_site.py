"""The site that `make docs` builds is whole, and reading it asks nobody else for anything."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from evolve.lint.rules import ALL

ROOT = Path(__file__).parents[2]
_IN_STYLES = re.compile(r"""(?:url\(|@import)\s*["']?([^"')\s]+)""")


class Asked(HTMLParser):
    """What a browser fetches for one page, and where its links lead."""

    def __init__(self) -> None:
        super().__init__()
        self.fetched: list[str] = []
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value for name, value in attrs if value is not None}
        if "src" in given:
            self.fetched.append(given["src"])
        if "href" in given:
            (self.fetched if tag == "link" else self.links).append(given["href"])


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    built = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--config-file", ".ci/mkdocs.yml", "--site-dir", folder],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
    )
    assert built.returncode == 0, built.stdout + built.stderr
    return folder


def pages(site: Path) -> Iterator[tuple[Path, Asked]]:
    for file in site.rglob("*.html"):
        asked = Asked()
        asked.feed(file.read_text())
        yield file, asked


def test_nothing_is_fetched_from_elsewhere(site: Path) -> None:
    fetched = {address for _, asked in pages(site) for address in asked.fetched}
    for style in site.rglob("*.css"):
        fetched.update(_IN_STYLES.findall(style.read_text()))
    assert len(fetched) > 5
    assert [address for address in fetched if urlsplit(address).netloc] == []


def test_every_link_leads_somewhere(site: Path) -> None:
    lost = [
        (file.relative_to(site).as_posix(), link)
        for file, asked in pages(site)
        for link in asked.links
        if not urlsplit(link).netloc
        and urlsplit(link).path
        and file.name != "404.html"
        and not (file.parent / unquote(urlsplit(link).path)).exists()
    ]
    assert lost == []


def test_every_rule_has_a_page_that_search_finds(site: Path) -> None:
    index = json.loads((site / "search" / "search_index.json").read_text())
    titles = {entry["location"]: entry["title"] for entry in index["docs"]}
    assert {f"rules/{rule.id}.html": f"{rule.id} {rule.name}" for rule in ALL}.items() <= titles.items()


@pytest.mark.parametrize(
    "page", ["index", "guides/lint", "guides/backfill", "recipes/rename_column", "glossary"]
)
def test_guides_are_there(site: Path, page: str) -> None:
    assert (site / f"{page}.html").is_file()


def test_code_of_every_page_is_shown_as_code(site: Path) -> None:
    # A fence that the site does not understand is shown as text, with its ticks; the guide for authors of rules shows
    # a page with such fences as code.
    code = re.compile(r"<code>.*?</code>", re.DOTALL)
    shown = {file.name for file, _ in pages(site) if "```" in code.sub("", file.read_text())}
    assert shown == set()
