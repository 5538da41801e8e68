"""Judges files of plain SQL, for migrations that no Alembic runs."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from evolve.app.lint_revisions import Options, today
from evolve.app.lint_words import STDIN
from evolve.errors import Misuse
from evolve.lint.model import Finding, Report
from evolve.lint.plain_sql import in_plain_sql
from evolve.sql.steps import Recording

if TYPE_CHECKING:
    from evolve.lint.rule import Rule
    from evolve.sql.schema import Schema


class NotForScripts(Misuse):
    def __init__(self, option: str) -> None:
        super().__init__(
            f"{option} is about the revisions of an Alembic project, and these are files of plain SQL",
            fix=f"leave out {option}",
        )


class OnlyForScripts(Misuse):
    def __init__(self, option: str) -> None:
        super().__init__(
            f"{option} is for files of plain SQL: of revisions it is read which transactions Alembic opens",
            fix=f"leave out {option}, or name files that end in .sql",
        )


class CannotRead(Misuse):
    def __init__(self, file: str, reason: str) -> None:
        super().__init__(
            f"{file} cannot be read: {reason}", fix="name files of SQL in UTF-8; - is standard input"
        )


class NotUtf8(Misuse):
    def __init__(self, file: str, reason: str) -> None:
        super().__init__(
            f"{file} cannot be read: {reason}",
            why="what it would be taken for is a guess, and psql reads UTF-8 by default as well",
            fix=f"save it as UTF-8, as by `iconv -f LATIN1 -t UTF-8 {file}` where it is Latin-1",
        )


def refuse_for_scripts(given: Mapping[str, object]) -> None:
    """
    Args:
        given: options that say nothing of scripts, and what was typed for them.

    Raises:
        NotForScripts: one of them was given.
    """
    for option, value in given.items():
        if value:
            raise NotForScripts(option)


def lint_scripts(
    files: Sequence[str],
    options: Options,
    rules: Sequence[Rule],
    *,
    in_transaction: bool = False,
    clock: Callable[[], date] = today,
    texts: Mapping[Path, bytes] = MappingProxyType({}),
    on_read: Callable[[Schema, Sequence[Recording]], None] = lambda *_: None,
) -> Report:
    """Judge `files` in the order given, as one rollout on a database of which nothing is known.

    Safe forms are SQL as well.

    Args:
        files: paths; "-" is standard input.
        in_transaction: whoever runs a file puts all of it into one transaction.
        texts: of files that are judged as if they held these.
        on_read: told the schema before the first file, and what each sends.

    Raises:
        CannotRead: there is no such file.
        NotUtf8: it is no text, or in another encoding.
        UnknownRule: the options name none.
    """
    from evolve.app.judge_recordings import judge
    from evolve.sql.schema import Schema
    from evolve.sql.script import read_script

    sources = {Path(file): (file, _text(file, texts.get(Path(file)))) for file in dict.fromkeys(files)}
    recordings: list[Recording] = []
    for file, (_, text) in sources.items():
        begun = [s.transaction for each in recordings for s in each.statements if s.transaction is not None]
        recordings.append(
            read_script(
                text, file, in_transaction=in_transaction, first_transaction=max(begun, default=-1) + 1
            )
        )
    asked = {recording.revision for recording in recordings}
    on_read(Schema(), recordings)
    report = judge(recordings, asked, sources, options, rules, together=True, clock=clock)
    return replace(
        report,
        findings=tuple(map(_in_sql, report.findings)),
        suppressed=tuple(replace(each, finding=_in_sql(each.finding)) for each in report.suppressed),
    )


def _in_sql(finding: Finding) -> Finding:
    finding = in_plain_sql(finding)
    if not finding.safe:
        return finding
    # Alembic takes a while to import, and only safe forms need it.
    from evolve.revisions.as_sql import as_sql

    bodies = [as_sql(body) for body in finding.safe]
    # Half a safe form is none.
    return replace(finding, safe=tuple(body for body in bodies if body) if all(bodies) else ())


def _text(file: str, given: bytes | None) -> str:
    try:
        raw = given
        if raw is None:
            raw = sys.stdin.buffer.read() if file == STDIN else Path(file).read_bytes()
    except OSError as error:
        raise CannotRead(file, error.strerror or str(error)) from error
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise NotUtf8(file, "it is UTF-16")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise NotUtf8(file, f"byte {error.start} is not UTF-8") from error
    if "\0" in text:
        # The parser would take the text to end there.
        raise NotUtf8(file, f"character {text.index(chr(0))} is NUL, which no SQL holds")
    return text.replace("\r\n", "\n")
