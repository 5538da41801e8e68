"""Hide columns and tables from the application by taking privileges away, and give exactly the same ones back.

REVOKE and GRANT take no lock on the table, from PostgreSQL 18 on ACCESS SHARE, and so wait for no reader or writer; the
next statement of each session meets them. What was
taken is kept in schema evolve in the transaction that takes it, and forgotten in the one that gives it back: whoever
finds it there may give it back, whatever became of who took it.

Connections must be in autocommit mode.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import LiteralString

from psycopg import sql
from psycopg.rows import class_row

from evolve.errors import Misuse, Refused
from evolve.plan.change import Place
from evolve.plan.wording import places_text
from evolve.postgres.composing import identifier, table_name
from evolve.postgres.connect import Connection
from evolve.sql.names import QualifiedName

_PUBLIC = "PUBLIC"


class NobodyToHideFrom(Refused):
    """No role but the owner has privileges, and an owner is not kept out by a REVOKE."""

    def __init__(self, table: QualifiedName, owner: str) -> None:
        super().__init__(
            f'nobody but its owner, "{owner}", may use "{table.plain}"',
            why="a REVOKE does not keep the owner out: the application would notice nothing",
            fix="let the application connect as another role than the one that owns its tables, and GRANT it what it "
            "needs; or leave the brown-out out and confirm by hand: evolve advance CHANGE --old-code-gone",
        )


class GrantedByAnother(Refused):
    def __init__(self, table: QualifiedName, role: str, grantor: str) -> None:
        super().__init__(
            f'"{role}" has its privileges on "{table.plain}" from "{grantor}", not from the owner',
            why="only who has granted a privilege can take it away and give it back",
            fix=f'let the owner grant them: REVOKE … FROM "{role}" GRANTED BY "{grantor}", then GRANT',
        )


class BrownOutUnderWay(Refused):
    def __init__(self, change: str, other: str, actor: str) -> None:
        super().__init__(
            f'a brown-out of change "{other}" is under way ({actor})',
            why="two that take the same privileges could not both give them back",
            fix=f"wait for its end, or end it: evolve brown-out {other} --end",
        )
        self.change = change


class NotGivenBack(Refused):
    def __init__(self, table: QualifiedName, missing: Sequence[str]) -> None:
        super().__init__(
            f'the privileges on "{table.plain}" are not what they were: {"; ".join(missing)}',
            why="somebody changed them, or a role, while it was hidden",
            fix="grant by hand what is missing; then: evolve brown-out CHANGE --end --as-it-is",
        )


@dataclass(frozen=True, slots=True)
class Privilege:
    """One that a role has, on a table or on one of its columns.

    Args:
        role: None for everybody: PUBLIC.
        column: None for the table as a whole.
        grantable: it may be granted on.
    """

    role: str | None
    name: str
    column: str | None
    grantable: bool

    def __str__(self) -> str:
        column = f" ({self.column})" if self.column is not None else ""
        return (
            f"{self.name}{column} to {self.role or _PUBLIC}{' WITH GRANT OPTION' if self.grantable else ''}"
        )


@dataclass(frozen=True, slots=True)
class Hidden:
    """What is hidden now.

    Args:
        places: as text, "users.name".
        ends: when it is to be given back.
    """

    change: str
    places: str
    actor: str
    began: datetime
    ends: datetime


@dataclass(frozen=True, slots=True)
class Untouched:
    """Sessions that a brown-out does not reach: of superusers, of a table's owner or members of it, and of roles that
    may use a partition by its own name.
    """

    role: str
    application: str
    sessions: int

    def __str__(self) -> str:
        return f'{self.sessions} of "{self.role}"' + (f" ({self.application})" if self.application else "")


# -- looking ------------------------------------------------------------------------------------------------
def hidden(connection: Connection, change: str | None = None) -> list[Hidden]:
    """The brown-outs that have not been given back; of one change, or of all."""
    if not _is_there(connection):
        return []
    with connection.cursor(row_factory=class_row(Hidden)) as cursor:
        # ACCESS SHARE on our own table.
        return cursor.execute(
            "SELECT change, places, actor, began, ends FROM evolve.brown_out"
            " WHERE change = coalesce(%s, change) ORDER BY began",
            (change,),
        ).fetchall()


def _is_there(connection: Connection) -> bool:
    """The table that tells what is hidden."""
    # ACCESS SHARE on catalogs only.
    row = connection.execute(
        "SELECT 1 FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE n.nspname = 'evolve' AND c.relname = 'brown_out'"
    ).fetchone()
    return row is not None


def untouched(connection: Connection, places: Sequence[Place]) -> list[Untouched]:
    """Sessions of other clients whom a REVOKE does not keep out."""
    tables = [table.full for table, _ in places]
    with connection.cursor(row_factory=class_row(Untouched)) as cursor:
        # No lock. Roles are asked by name: one may have been dropped since.
        return cursor.execute(
            "SELECT a.usename::text AS role, coalesce(a.application_name, '') AS application, count(*)::int AS sessions"
            " FROM pg_stat_activity a JOIN pg_roles r ON r.oid = a.usesysid"
            " WHERE a.datname = current_database() AND a.pid <> pg_backend_pid() AND a.backend_type = 'client backend'"
            " AND a.application_name NOT LIKE 'evolve%%'"
            " AND (r.rolsuper OR EXISTS (SELECT FROM pg_class c WHERE c.oid = ANY (%(tables)s::regclass[])"
            " AND pg_has_role(a.usesysid, c.relowner, 'USAGE'))"
            # Who names a partition itself needs no privilege on the table.
            " OR EXISTS (SELECT FROM unnest(%(tables)s::regclass[]) AS whole, pg_partition_tree(whole) AS part"
            " WHERE part.relid <> whole AND (has_any_column_privilege(a.usesysid, part.relid, 'SELECT')"
            " OR has_any_column_privilege(a.usesysid, part.relid, 'INSERT, UPDATE'))))"
            " GROUP BY 1, 2 ORDER BY 3 DESC",
            {"tables": tables},
        ).fetchall()


def statements(connection: Connection, places: Sequence[Place]) -> list[str]:
    """What `hide` would send, for a dry run.

    Raises:
        NobodyToHideFrom, GrantedByAnother.
    """
    return [
        statement.as_string(connection).replace("%%", "%")
        for table, columns in _by_table(places)
        for statement in _taking(connection, table, columns, _privileges(connection, table))
    ]


# -- taking and giving back ---------------------------------------------------------------------------------
def hide(connection: Connection, change: str, places: Sequence[Place], actor: str, seconds: float) -> Hidden:
    """Take away what lets roles use `places`; one transaction, without a lock on any table of the application.

    The tables of schema evolve must be there.

    Raises:
        NobodyToHideFrom, GrantedByAnother, BrownOutUnderWay: nothing was changed.
    """
    with connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(hashtext('evolve'), hashtext('brown_out'))")
        for other in hidden(connection):
            raise BrownOutUnderWay(change, other.change, other.actor)
        taken: list[dict[str, object]] = []
        for table, columns in _by_table(places):
            before = _privileges(connection, table)
            for statement in _taking(connection, table, columns, before):
                connection.execute(statement, ())
            taken.append(
                {"schema": table.schema, "table": table.name, "privileges": [asdict(each) for each in before]}
            )
        # ROW EXCLUSIVE on our own table.
        connection.execute(
            "INSERT INTO evolve.brown_out (change, places, taken, actor, ends)"
            " VALUES (%s, %s, %s, %s, clock_timestamp() + make_interval(secs => %s))",
            (change, places_text(places), json.dumps(taken), actor, seconds),
        )
    return hidden(connection, change)[0]


def give_back(connection: Connection, change: str, *, as_it_is: bool = False) -> bool:
    """Give back what `hide` took; False where nothing is hidden. One transaction; however often it is called.

    Args:
        as_it_is: somebody has set the privileges by hand: only forget what was taken.

    Raises:
        NotGivenBack: the privileges could not be made what they were; nothing was changed.
    """
    if not _is_there(connection):
        return False
    with connection.transaction():
        # Whoever hides may be gone, and its COMMIT under way: it holds this lock until that is done.
        connection.execute("SELECT pg_advisory_xact_lock(hashtext('evolve'), hashtext('brown_out'))")
        if not hidden(connection, change):
            return False
        # ROW EXCLUSIVE on our own table.
        row = connection.execute(
            "DELETE FROM evolve.brown_out WHERE change = %s RETURNING taken", (change,)
        ).fetchone()
        if row is None:
            return False
        for table, before in _kept(row[0]):
            if as_it_is:
                continue
            for statement in _giving(connection, table, before):
                connection.execute(statement, ())
            after = set(_privileges(connection, table))
            missing = [str(each) for each in before if each not in after and _exists(connection, each.role)]
            if missing:
                raise NotGivenBack(table, missing)
    return True


def _by_table(places: Sequence[Place]) -> Iterator[tuple[QualifiedName, tuple[str, ...]]]:
    """Each table with its columns that are to be hidden; none where all of it is."""
    tables: dict[QualifiedName, list[str]] = {}
    whole = {table for table, column in places if column is None}
    for table, column in places:
        tables.setdefault(table, []).extend([column] if column is not None else [])
    for table, columns in tables.items():
        yield table, () if table in whole else tuple(columns)


@dataclass(frozen=True, slots=True)
class _Item:
    role: str | None
    name: str
    column: str | None
    grantable: bool
    grantor: str


def _privileges(connection: Connection, table: QualifiedName) -> list[Privilege]:
    """What roles other than the owner may do with the table and its columns.

    Raises:
        GrantedByAnother.
    """
    owner = _owner(connection, table)
    with connection.cursor(row_factory=class_row(_Item)) as cursor:
        # ACCESS SHARE on catalogs only.
        items = cursor.execute(
            """
            SELECT g.rolname::text AS role, i.privilege_type AS name, i.column,
                   i.is_grantable AS grantable, r.rolname::text AS grantor
              FROM (
                  SELECT x.*, NULL::text AS column, c.relowner FROM pg_class c, aclexplode(c.relacl) x
                   WHERE c.oid = %(table)s::regclass
                  UNION ALL
                  SELECT x.*, a.attname::text, c.relowner FROM pg_class c
                    JOIN pg_attribute a ON a.attrelid = c.oid AND NOT a.attisdropped, aclexplode(a.attacl) x
                   WHERE c.oid = %(table)s::regclass
              ) i
              LEFT JOIN pg_roles g ON g.oid = i.grantee JOIN pg_roles r ON r.oid = i.grantor
             WHERE i.grantee <> i.relowner
             ORDER BY 1 NULLS FIRST, 2, 3 NULLS FIRST
            """,
            {"table": table.full},
        ).fetchall()
    for item in items:
        if item.grantor != owner:
            raise GrantedByAnother(table, item.role or _PUBLIC, item.grantor)
    return [Privilege(item.role, item.name, item.column, item.grantable) for item in items]


def _owner(connection: Connection, table: QualifiedName) -> str:
    row = connection.execute(
        "SELECT pg_get_userbyid(relowner)::text FROM pg_class WHERE oid = %s::regclass", (table.full,)
    ).fetchone()
    return str(row[0]) if row is not None else ""


def _taking(
    connection: Connection, table: QualifiedName, columns: Sequence[str], before: Sequence[Privilege]
) -> Iterator[sql.Composed]:
    """Of a whole table all is revoked; of columns, what reaches them, and the other columns are granted by name."""
    name = table_name(table)
    reaching = [each for each in before if not columns or each.column in columns or each.column is None]
    reaching = [each for each in reaching if not columns or each.name in _OF_COLUMNS]
    if not reaching:
        raise NobodyToHideFrom(table, _owner(connection, table))
    others = [column for column in _columns(connection, table) if column not in columns]
    for role, privilege in dict.fromkeys((each.role, each.name) for each in reaching):
        # It takes the privilege on each column with it.
        yield sql.SQL("REVOKE {} ON {} FROM {} ").format(sql.SQL(_known(privilege)), name, _role(role))
        if not columns:
            continue
        own = [each for each in before if (each.role, each.name) == (role, privilege)]
        whole = next((each for each in own if each.column is None), None)
        if whole is not None:
            yield _grant(table, Privilege(role, privilege, None, whole.grantable), others)
        for each in own:
            if each.column is not None and each.column not in columns and (whole is None or each.grantable):
                yield _grant(table, each, [each.column])


def _giving(
    connection: Connection, table: QualifiedName, before: Sequence[Privilege]
) -> Iterator[sql.Composed]:
    name = table_name(table)
    there = [each for each in before if _exists(connection, each.role)]
    for role, privilege in dict.fromkeys((each.role, each.name) for each in there):
        yield sql.SQL("REVOKE {} ON {} FROM {} ").format(sql.SQL(_known(privilege)), name, _role(role))
    for each in there:
        yield _grant(table, each, [] if each.column is None else [each.column])


def _grant(table: QualifiedName, privilege: Privilege, columns: Sequence[str]) -> sql.Composed:
    listed = sql.SQL(" ({})").format(sql.SQL(", ").join([identifier(column) for column in columns]))
    return sql.SQL("GRANT {}{} ON {} TO {}{}").format(
        sql.SQL(_known(privilege.name)),
        listed if columns else sql.SQL(""),
        table_name(table),
        _role(privilege.role),
        sql.SQL(" WITH GRANT OPTION" if privilege.grantable else ""),
    )


_OF_COLUMNS: tuple[LiteralString, ...] = ("SELECT", "INSERT", "UPDATE", "REFERENCES")
_KNOWN: tuple[LiteralString, ...] = (*_OF_COLUMNS, "DELETE", "TRUNCATE", "TRIGGER", "MAINTAIN")


def _known(privilege: str) -> LiteralString:
    """A privilege's name, as a keyword of ours: it comes back from a table that others may write to."""
    return next(name for name in _KNOWN if name == privilege)


def _role(name: str | None) -> sql.Composable:
    return sql.SQL(_PUBLIC) if name is None else identifier(name)


def _columns(connection: Connection, table: QualifiedName) -> list[str]:
    # ACCESS SHARE on catalogs only.
    rows = connection.execute(
        "SELECT attname::text FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped"
        " ORDER BY attnum",
        (table.full,),
    ).fetchall()
    return [str(name) for (name,) in rows]


def _exists(connection: Connection, role: str | None) -> bool:
    if role is None:
        return True
    return connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (role,)).fetchone() is not None


def _kept(taken: object) -> Iterator[tuple[QualifiedName, list[Privilege]]]:
    """What `hide` has kept, read with care."""
    if not isinstance(taken, list):
        raise StrangeBrownOut
    for entry in taken:
        try:
            yield (
                QualifiedName(str(entry["table"]), str(entry["schema"])),
                [
                    Privilege(p["role"], str(p["name"]), p["column"], bool(p["grantable"]))
                    for p in entry["privileges"]
                    if str(p["name"]) in _KNOWN
                ],
            )
        except (KeyError, TypeError) as error:
            raise StrangeBrownOut from error


class StrangeBrownOut(Misuse):
    def __init__(self) -> None:
        super().__init__(
            "table evolve.brown_out holds something that evolve did not write",
            why="privileges are given back from it",
            fix="grant by hand what is missing; then: evolve brown-out CHANGE --end --as-it-is",
        )
