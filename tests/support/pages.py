"""Pages whose commands run: SQL and shell blocks of one section, in order, in a fresh project on a fresh database."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg

from support.alembic_project import AlembicProject
from support.command_line import evolve

_FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_FILE = re.compile(r"# (\w+\.py)\n")
_SQL_FILE = re.compile(r"-- (\w+\.sql)\n")
_EXIT = re.compile(r"#.*\bexit (\d)")


@dataclass(frozen=True)
class Section:
    """What stands under one `##` heading; blocks are (language, text)."""

    heading: str
    blocks: tuple[tuple[str, str], ...]


def sections(page: Path) -> Iterator[Section]:
    """The sections of `page` that have something to run."""
    parts = re.split(r"^## +(.+)$", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    for heading, text in zip(parts[1::2], parts[2::2], strict=True):
        blocks = tuple((match[1], match[2]) for match in _FENCE.finditer(text))
        if any(language in ("sql", "sh") for language, _ in blocks):
            yield Section(heading, blocks)


def run(section: Section, make_project: Callable[..., AlembicProject], url: str) -> str:
    """Run the blocks of `section`: the first SQL is the project's first revision, later SQL is sent as it is.

    Python or SQL whose first line is a comment with a file's name is written there. Each shell line must be an `evolve`
    command and end in status 0, or in the one its comment names.

    Returns:
        all that the commands printed on stdout.
    """
    project = make_project(url)
    printed = []
    for language, text in section.blocks:
        if language == "sql" and (file := _SQL_FILE.match(text)):
            (project.root / file[1]).write_text(text, encoding="utf-8")
        elif language == "sql" and project.head is None:
            project.add("first", f'op.execute(r"""{text}""")')
            done = evolve("upgrade", cwd=project.root)
            assert done.returncode == 0, done.stderr
        elif language == "sql":
            with psycopg.connect(url, autocommit=True) as connection:
                connection.execute(text.encode())
        elif language == "python" and (named := _FILE.match(text)):
            (project.root / named[1]).write_text(text, encoding="utf-8")
        elif language == "sh":
            printed += [_command(line, project) for line in text.splitlines() if line.strip()]
    return "".join(printed)


def _command(line: str, project: AlembicProject) -> str:
    expected = _EXIT.search(line)
    words = shlex.split(line, comments=True)
    assert words[0] == "evolve", f"a page runs evolve only: {line}"
    done = evolve(*words[1:], cwd=project.root)
    wanted = int(expected[1]) if expected else 0
    assert done.returncode == wanted, f"{line}\nexit {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout
