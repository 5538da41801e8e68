"""Which pages of the repository make the site, where they stand in it, and what a site needs otherwise than a forge.

MkDocs calls the three hooks at the end, in this order. A page's source keeps its path in the repository, so that the
links between pages, which a forge follows, lead to the same pages here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parent.parent
DOCS = Path("evolve/docs")
RULES = Path("evolve/lint/rules")
RECIPES = Path("evolve/plan/recipes")

_FENCE = re.compile(r"^(?P<ticks>`{3,})(?P<language>\w+)[ ]+(?P<title>\S.*?)[ ]*$", re.MULTILINE)
_LINK = re.compile(r"\[(?P<words>[^\]]+)\]\((?P<target>[^)#\s:]+)\)")
_COMMENT = re.compile(r"^<!-- output: .*-->\n", re.MULTILINE)


def pages() -> dict[str, str]:
    """Where each file of the site comes from, by its path in the repository, and its path on the site."""
    found = {"README.md": "index.md", "CHANGELOG.md": "changes.md"}
    for file in _files(DOCS, "*.md", "*.json"):
        inside = Path(file).relative_to(DOCS)
        if inside.parts[0] != "changes":
            found[file] = inside.as_posix()
    found |= {file: f"rules/{_title(file).split()[0]}.md" for file in _files(RULES, "*.md")}
    found |= {file: f"recipes/{Path(file).name}" for file in _files(RECIPES, "*.md")}
    return found


def navigation() -> list[dict[str, object]]:
    rules: dict[str, list[str]] = {}
    for file in sorted(_files(RULES, "*.md"), key=_title):
        rules.setdefault(f"{_title(file)[2]}xx", []).append(file)
    reference = (DOCS / "reference/rules.md").as_posix()
    return [
        {"Start": "README.md"},
        {"Guides": list(_files(DOCS / "guides", "*.md"))},
        {"Rules": [reference, *({family: members} for family, members in rules.items())]},
        {"Recipes": list(_files(RECIPES, "*.md"))},
        {"Why": list(_files(DOCS / "decisions", "*.md"))},
        {"Metrics": (DOCS / "reference/metrics.md").as_posix()},
        {"Words": (DOCS / "glossary.md").as_posix()},
        {"Changes": "CHANGELOG.md"},
    ]


def _files(folder: Path, *patterns: str) -> Iterator[str]:
    for pattern in patterns:
        for file in sorted((ROOT / folder).rglob(pattern)):
            yield file.relative_to(ROOT).as_posix()


def _title(file: str) -> str:
    return (ROOT / file).read_text(encoding="utf-8").partition("\n")[0].removeprefix("# ")


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    config.nav = navigation()
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """What the theme brings, and our pages; the folder that MkDocs looked through holds only some of them."""
    from mkdocs.structure.files import File, Files

    ours = []
    for source, place in pages().items():
        file = File(source, str(ROOT), config.site_dir, use_directory_urls=False)
        file.dest_uri = place.removesuffix(".md") + ".html" if place.endswith(".md") else place
        ours.append(file)
    return Files([*(file for file in files if file.src_dir != config.docs_dir), *ours])


def on_page_markdown(markdown: str, page: Page, files: Files, **_: object) -> str:
    """Words after a fence's language become its title, and a link to what a site does not show its words."""
    here = (ROOT / page.file.src_uri).parent

    def link(found: re.Match[str]) -> str:
        target = (here / found["target"]).resolve()
        elsewhere = target.exists() and not files.get_file_from_path(target.relative_to(ROOT).as_posix())
        return found["words"] if elsewhere else found[0]

    titled = _FENCE.sub(r'\g<ticks>\g<language> title="\g<title>"', markdown)
    return _LINK.sub(link, _COMMENT.sub("", titled))
