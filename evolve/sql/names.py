"""Identifiers: quoting, PostgreSQL's 63 bytes, and schema-qualified names."""

from __future__ import annotations

import hashlib
import re
import shlex
from dataclasses import dataclass

from evolve.errors import Misuse

MAX_BYTES = 63  # NAMEDATALEN - 1; PostgreSQL cuts longer names silently

_PLAIN = re.compile(r"[a-z_][a-z0-9_$]*\Z")
# What no name holds: the end of a text in C, and bytes that Python could not read as a character.
_NO_TEXT = re.compile("[\0\ud800-\udfff]")


class NameTooLong(Misuse):
    def __init__(self, name: str) -> None:
        super().__init__(
            f'the name "{name}" has {len(name.encode())} bytes',
            why=f"PostgreSQL cuts names after {MAX_BYTES} bytes unasked, and two long names can become one",
            fix="choose a shorter name",
        )


class BadName(Misuse):
    def __init__(self, text: str, expected: str) -> None:
        super().__init__(
            f'"{text}" is not {expected}',
            fix='write names as table, schema.table or "Quoted Name"',
        )


@dataclass(frozen=True, slots=True, order=True)
class QualifiedName:
    """The name of a table, index, type, sequence, view or function, folded as PostgreSQL folds it.

    A name written without a schema is taken to live in `public`: that is Alembic's own default, and the
    search path of the session that will run a revision cannot be known from its text.
    """

    name: str
    schema: str = "public"

    def __str__(self) -> str:
        """As a person writes it: without `public`, quoted only where it must be."""
        if self.schema == "public":
            return quote(self.name)
        return f"{quote(self.schema)}.{quote(self.name)}"

    @property
    def plain(self) -> str:
        """For messages: unquoted, without `public`."""
        return self.name if self.schema == "public" else f"{self.schema}.{self.name}"

    @property
    def shell(self) -> str:
        """As it is typed on a command line of a shell: `orders`, `'"Order"'`."""
        return shlex.quote(str(self))

    @property
    def full(self) -> str:
        """For SQL that must not depend on the search path."""
        return f"{quote(self.schema)}.{quote(self.name)}"


def quote(name: str) -> str:
    """Quote `name` for SQL where it needs it: capitals, blanks, key words, signs."""
    if _PLAIN.match(name) and name not in RESERVED:
        return name
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """A string literal that means `text` whatever `standard_conforming_strings` says."""
    quoted = text.replace("'", "''")
    if "\\" not in text:
        return f"'{quoted}'"
    return " E'" + quoted.replace("\\", "\\\\") + "'"


def check_length(name: str) -> str:
    """Return `name`; raise `NameTooLong` where PostgreSQL would cut it."""
    if len(name.encode()) > MAX_BYTES:
        raise NameTooLong(name)
    return name


def shorten(*parts: str) -> str:
    """Join `parts` with "_"; where that passes 63 bytes cut it and end in eight hex digits of the whole.

    So distinct long names stay distinct, and the same parts always give the same name.
    """
    whole = "_".join(parts)
    if len(whole.encode()) <= MAX_BYTES:
        return whole
    digest = hashlib.sha256(whole.encode()).hexdigest()[:8]
    head = whole.encode()[: MAX_BYTES - 9].decode(errors="ignore")
    return f"{head}_{digest}"


def parse_name(text: str) -> QualifiedName:
    """Read `table` or `schema.table` as typed on a command line; double quotes keep case and dots."""
    parts = _split(text)
    if parts is None or len(parts) not in (1, 2):
        raise BadName(text, "a table name")
    return QualifiedName(parts[-1], parts[0]) if len(parts) == 2 else QualifiedName(parts[0])


def parse_column(text: str) -> tuple[QualifiedName, str]:
    """Read `table.column` or `schema.table.column` as typed on a command line."""
    parts = _split(text)
    if parts is None or len(parts) not in (2, 3):
        raise BadName(text, "a column name (table.column or schema.table.column)")
    table = QualifiedName(parts[-2], parts[0]) if len(parts) == 3 else QualifiedName(parts[0])
    return table, parts[-1]


def _split(text: str) -> list[str] | None:
    """The dotted parts of `text`, folded and length-checked; None where it is not a name."""
    found = re.findall(r'(?:"((?:[^"]|"")+)"|([^\s".]+))(\.|\Z)', text)
    rebuilt = "".join((f'"{q}"' if q else p) + dot for q, p, dot in found)
    if not found or rebuilt != text or found[-1][2] == "." or _NO_TEXT.search(text):
        return None
    # Unquoted names fold to lower case, as PostgreSQL folds them.
    return [check_length(q.replace('""', '"') if q else p.lower()) for q, p, _ in found]


# Reserved in PostgreSQL 18 (pg_get_keywords(), catcode R and T): quoted wherever they name a column or table.
RESERVED = frozenset(
    """
    all analyse analyze and any array as asc asymmetric authorization binary both case cast check collate
    collation column concurrently constraint create cross current_catalog current_date current_role
    current_schema current_time current_timestamp current_user default deferrable desc distinct do else
    end except false fetch for foreign freeze from full grant group having ilike in initially inner
    intersect into is isnull join lateral leading left like limit localtime localtimestamp natural not
    notnull null offset on only or order outer overlaps placing primary references returning right select
    session_user similar some symmetric system_user table tablesample then to trailing true union unique
    user using variadic verbose when where window with
    """.split()  # noqa: SIM905 - a list of a hundred quoted words is no easier to read
)
