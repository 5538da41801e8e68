"""Versioned schemas: for the time of a change each version of the application finds its own shape of the tables.

Views for the code that runs now and for the code to come stand over the tables, each version's in a schema of its own
and under the names that it knows. A client finds its own by `search_path` or by name. The views show and pass on; which
side of a twin was written the sync trigger goes on telling from the values, so that a client on the wrong road loses
nothing.

A recipe whose phases keep both shapes says what they are (`Recipe.shapes`); all else is done here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from evolve.errors import Misuse, Refused
from evolve.plan.change import Uses
from evolve.plan.facts import Facts, refuse_taken
from evolve.plan.model import OLD_CODE_GONE, QUARANTINE, Part, Phase, PhaseName, Plan, Word
from evolve.plan.parameters import BadParameter, option
from evolve.plan.target import Target, TargetColumn
from evolve.plan.trials import CommandsFit, Trial
from evolve.sql.locks import LockMode
from evolve.sql.names import QualifiedName, literal, parse_name, quote
from evolve.sql.operations import AlterColumnType, DropColumn, Operation, RenameColumn
from evolve.sql.parse import parse
from evolve.sql.statements import Statement

VERSIONS = option(
    "versions",
    "text",
    "Two schemas with views: the tables as old code knows them, and as new code does.",
    metavar="OLD,NEW",
)

# (exposed name, actual column) of every column that a version shows, in its order.
Shape = tuple[tuple[str, str], ...]

VIEWS_UNUSED = "views-unused"
_MADE = "made by evolve for one version of the application"
_INVOKER = 150000  # server version from which a view can check what its caller may do
_MERGE = 170000  # server version from which MERGE can write to a view


class BadVersions(BadParameter):
    def __init__(self, text: str) -> None:
        super().__init__("--versions", text, "two different schemas of your own, such as app_v1,app_v2")


class OneShape(Misuse):
    def __init__(self, kind: str) -> None:
        super().__init__(
            f"{kind} has no --versions",
            why="old and new code know the same columns under the same names",
            fix="leave it out",
        )


class VersionsNeedDatabase(Misuse):
    def __init__(self) -> None:
        super().__init__(
            "--versions needs facts from the database",
            why="owner, privileges and row security of the table, which the views must repeat, are not told by the "
            "revisions",
            fix="give --database-url",
        )


class RowsWouldShow(Refused):
    """Row security before PostgreSQL 15."""

    def __init__(self, table: QualifiedName) -> None:
        super().__init__(
            f'"{table.plain}" has row level security, which a view would pass by',
            why="before PostgreSQL 15 a view reads with the rights of its owner, so that every client would see and "
            "write the rows of all others",
            fix="leave out --versions: old and new code then use the table itself",
        )


class CommandsWouldFail(Refused):
    """COPY and its kind name the table in a way that would find the view."""

    def __init__(self, table: QualifiedName, found: Sequence[str]) -> None:
        super().__init__(
            f'clients run commands on "{table.plain}" that a view refuses: {"; ".join(found)}',
            why="with a version in front of the search path the bare name means the view, and such a command fails",
            fix=f"let them write {table.full}, then forget what was seen: SELECT pg_stat_statements_reset(); or leave "
            "out --versions",
        )


# -- what a recipe says -------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Shown:
    """A table as one version of the application knows it.

    Args:
        name: what that version calls it.
        table: as it is from expand on; its view has the privileges and comments of it and of its columns.
        columns: what that version sees of it.
        defaults: (exposed name, SQL) of columns whose default differs between the versions; None: it has none.
        computed: (exposed name, SQL) of columns that are read otherwise than they are stored.
    """

    name: str
    table: Target
    columns: Shape
    defaults: tuple[tuple[str, str | None], ...] = ()
    computed: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Shapes:
    """The tables that two versions of an application know differently, as each does."""

    old: tuple[Shown, ...]
    new: tuple[Shown, ...]

    @classmethod
    def within(
        cls,
        table: Target,
        changed: Mapping[str, Mapping[str, str]] | None = None,
        *,
        also: Sequence[TargetColumn | str] = (),
        defaults: Mapping[str, str] | None = None,
    ) -> Shapes:
        """Of a change within one table, which old code knows as it is.

        Args:
            changed: column → what new code knows in its place, with the column that it means by that:
                `{"name": {"full_name": "full_name"}}` for a rename, `{"name": {}}` for a column that goes.
            also: columns that new code knows besides; a whole one where it has privileges or a comment.
            defaults: of columns that new code knows and the table does not have yet.
        """
        added = [TargetColumn(column, "") if isinstance(column, str) else column for column in also]
        return cls(
            (whole(table),),
            (
                Shown(
                    table.table.name,
                    replace(table, columns=(*table.columns, *added)),
                    shape(table, changed) + tuple((column.name, column.name) for column in added),
                    tuple((defaults or {}).items()),
                ),
            ),
        )

    def __add__(self, other: Shapes) -> Shapes:
        return Shapes(self.old + other.old, self.new + other.new)


def whole(table: Target, name: str | None = None) -> Shown:
    """All columns of a table under their own names."""
    return Shown(name or table.table.name, table, shape(table))


def shape(target: Target, changed: Mapping[str, Mapping[str, str]] | None = None) -> Shape:
    """All columns of the table under their own names, but for `changed`; see `Shapes.within`."""
    return tuple(
        pair
        for column in target.columns
        if not column.name.startswith(QUARANTINE)
        for pair in (changed or {}).get(column.name, {column.name: column.name}).items()
    )


# -- what follows for every recipe --------------------------------------------------------------------------
def schemas(text: str) -> tuple[str, str]:
    """The old and the new version's schema, as --versions names them.

    Raises:
        BadVersions, BadName, NameTooLong.
    """
    names = [each.strip() for each in re.findall(r'(?:"(?:[^"]|"")*"|[^,"])+', text)]
    if len(names) != 2:
        raise BadVersions(text)
    parsed = [parse_name(name) for name in names]
    old, new = (name.name for name in parsed)
    reserved = {"public", "evolve", "information_schema"}
    if old == new or any(
        name.schema != "public" or name.name in reserved or name.name.startswith("pg_") for name in parsed
    ):
        raise BadVersions(text)
    return old, new


def version_trials(shapes: Shapes, facts: Facts) -> Iterator[Trial]:
    """That nobody runs on a table of old code what a view refuses."""
    merge = () if (facts.server_version or 0) >= _MERGE else ("MERGE INTO",)
    for shown in shapes.old:
        table = QualifiedName(shown.name, shown.table.table.schema)
        yield CommandsFit(
            table,
            ("COPY", "TRUNCATE", "TRUNCATE TABLE", *merge),
            _refusal(table),
            f'Whether somebody runs COPY, TRUNCATE or MERGE on "{table.plain}" could not be looked up, since '
            "pg_stat_statements cannot be read: they fail on a view, and have to name the table with its schema.",
        )


def _refusal(table: QualifiedName) -> Callable[[tuple[str, ...]], CommandsWouldFail]:
    return lambda found: CommandsWouldFail(table, found)


def with_versions(plan: Plan, facts: Facts, text: str, shapes: Shapes) -> Plan:
    """`plan` with the views of each version from expand on, kept right until it takes them away.

    The old version's go at contract, the new one's with the last phase; a plan that ends before contract gets that one.
    A recipe's statements are read: where one renames a column, the views follow by themselves; where one drops or
    retypes a column that a view shows, the view is dropped before and made again behind it, in the same transaction.

    Args:
        plan: of a recipe; its first phase makes every table and column that `shapes` shows.
        facts: whether the views' names are free.
        text: what --versions gave.

    Raises:
        BadVersions, NameTaken, VersionsNeedDatabase, RowsWouldShow.
    """
    old_schema, new_schema = schemas(text)
    if facts.source != "database":
        raise VersionsNeedDatabase
    version = facts.server_version or 0
    for shown in (*shapes.old, *shapes.new):
        table = shown.table.table
        if table.schema in (old_schema, new_schema):
            raise BadVersions(text)
        if shown.table.row_security and version < _INVOKER:
            raise RowsWouldShow(table)
    old = {_view(each, old_schema, version, shapes.new): each.columns for each in shapes.old}
    new = {_view(each, new_schema, version, shapes.old): each.columns for each in shapes.new}
    for view in (*old, *new):
        refuse_taken(facts, view.name)
    also = Uses(
        plan.also.writes | {(view.name, None) for view in (*old, *new)},
        plan.also.reads | {(view.target.table, None) for view in (*old, *new)},
    )
    return replace(_Walk(plan, old, new).plan(), also=also)


# -- a view -------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class _View:
    """One version's view of a table.

    Args:
        defaults: (exposed name, SQL) of columns whose default the versions may not share; the others have the table's.
        computed: (exposed name, SQL) of what is not simply a column.
        models: (exposed name, column that it has privileges and comment of).
    """

    target: Target
    name: QualifiedName
    server_version: int
    defaults: tuple[tuple[str, str], ...]
    computed: tuple[tuple[str, str], ...]
    models: tuple[tuple[str, TargetColumn], ...]

    def create(self, shape: Shape) -> Iterator[Statement]:
        read = dict(self.computed)
        columns = ",\n        ".join(
            quote(actual)
            if exposed == actual and exposed not in read
            else f"{read.get(exposed, quote(actual))} AS {quote(exposed)}"
            for exposed, actual in shape
        )
        invoker = "\n    WITH (security_invoker = true)" if self.server_version >= _INVOKER else ""
        rights = "with its caller's rights, row security included" if invoker else "with its owner's rights"
        yield Statement(
            f"CREATE VIEW {self.name.full}{invoker} AS\n    SELECT\n        {columns}\n    "
            f"FROM {self.target.table.full}",
            LockMode.ACCESS_SHARE,
            f"a new view blocks nobody; it reads and writes the table {rights}",
        )
        for exposed, default in self.defaults:
            yield Statement(
                f"ALTER VIEW {self.name.full}\n    ALTER COLUMN {quote(exposed)} SET DEFAULT {default}",
                None,
                "of the view alone, which nobody uses yet; columns without one take the table's",
            )
        yield from self._grants()
        yield from self._comments()

    def drop(self) -> Statement:
        return Statement(
            f"DROP VIEW {self.name.full}",
            LockMode.ACCESS_EXCLUSIVE,
            "it locks the view alone, before the table, as its readers do; clients that find the table by their "
            "search path go on with the table itself",
            allow=("drop-view",),
        )

    def _grants(self) -> Iterator[Statement]:
        granted = [grant for grant in self.target.grants if grant[0] in _OF_VIEWS]
        of_columns = [
            (privilege, exposed, grantee, grantable)
            for exposed, known in self.models
            for privilege, grantee, grantable in known.grants
            if privilege in _OF_VIEWS
        ]
        # The role that runs migrations owns the view, and need not be the one that owns the table.
        owner = [(privilege, self.target.owner, True) for privilege in _OF_VIEWS] if self.target.owner else []
        whole: dict[tuple[str, bool], list[str]] = {}
        for privilege, grantee, grantable in (*owner, *granted):
            whole.setdefault((grantee, grantable), []).append(privilege)
        everybody = dict.fromkeys(
            [grantee for grantee, _ in whole] + [grantee for _, _, grantee, _ in of_columns]
        )
        for grantee in everybody:
            yield Statement(
                f"GRANT USAGE ON SCHEMA {quote(self.name.schema)} TO {_role(grantee)}",
                None,
                "whoever may use the table may find its view",
            )
        for (grantee, grantable), privileges in whole.items():
            yield Statement(
                f"GRANT {', '.join(privileges)} ON {self.name.full} TO {_role(grantee)}{_option(grantable)}",
                None,
                "as on the table",
            )
        for privilege, exposed, grantee, grantable in of_columns:
            yield Statement(
                f"GRANT {privilege} ({quote(exposed)}) ON {self.name.full} TO {_role(grantee)}{_option(grantable)}",
                None,
                "as on the table's column",
            )

    def _comments(self) -> Iterator[Statement]:
        if self.target.comment is not None:
            yield Statement(
                f"COMMENT ON VIEW {self.name.full} IS {literal(self.target.comment).strip()}",
                None,
                "as of the table",
            )
        for exposed, column in self.models:
            if column.comment is not None:
                yield Statement(
                    f"COMMENT ON COLUMN {self.name.full}.{quote(exposed)} IS {literal(column.comment).strip()}",
                    None,
                    "as of the table's column",
                )


_OF_VIEWS = ("SELECT", "INSERT", "UPDATE", "DELETE")


def _view(shown: Shown, schema: str, version: int, others: Sequence[Shown]) -> _View:
    """The view that shows it, beside what the other version sees of the same table."""
    table = shown.table
    other = next((each.columns for each in others if each.table.table == table.table), ())
    gone = tuple(column for _, column in (pair for pair in other if pair not in shown.columns))
    return _View(
        table,
        QualifiedName(shown.name, schema),
        version,
        tuple(_defaults(shown, other)),
        shown.computed,
        tuple(
            (name, model)
            for name, column in shown.columns
            if (model := _model(table, name, column, gone)) is not None
        ),
    )


def _defaults(shown: Shown, other: Shape) -> Iterator[tuple[str, str]]:
    said = dict(shown.defaults)
    for name, actual in shown.columns:
        column = shown.table.column(actual)
        type_, constant = (
            (column.type, column.default if column.default_constant else None) if column else ("text", None)
        )
        if name in said:
            # PostgreSQL forgets a plain null, and takes the table's default.
            yield name, said[name] or f"CASE WHEN true THEN NULL::{type_} END"
        elif constant is not None and (name, actual) not in other:
            yield name, constant


def _model(table: Target, name: str, actual: str, gone: tuple[str, ...]) -> TargetColumn | None:
    """What a column of a view has privileges and comment of: the column that it is, or that it comes after.

    Where it comes after several, it has the privileges that each of them has, and no comment.
    """
    for known in (actual, name):
        column = table.column(known)
        if column is not None:
            return column
    before = [column for each in gone if (column := table.column(each)) is not None]
    if len(before) < 2:
        return before[0] if before else None
    first, *others = before
    shared = set(first.grants).intersection(*(column.grants for column in others))
    return replace(first, comment=None, grants=tuple(grant for grant in first.grants if grant in shared))


def _role(name: str) -> str:
    return name if name == "PUBLIC" else quote(name)


def _option(grantable: bool) -> str:
    return " WITH GRANT OPTION" if grantable else ""


def _create_schema(name: str) -> Statement:
    return Statement(
        "DO $evolve$\nBEGIN\n"
        f"    IF to_regnamespace({literal(quote(name))}) IS NULL THEN\n"
        f"        CREATE SCHEMA {quote(name)};\n"
        f"        COMMENT ON SCHEMA {quote(name)} IS '{_MADE}';\n"
        "    END IF;\nEND\n$evolve$",
        None,
        "one that is there already is used, and left alone in the end; the comment tells them apart",
    )


def _drop_schema(name: str) -> Statement:
    return Statement(
        "DO $evolve$\nBEGIN\n"
        f"    IF obj_description(to_regnamespace({literal(quote(name))}), 'pg_namespace') = '{_MADE}' THEN\n"
        f"        DROP SCHEMA {quote(name)};\n"
        "    END IF;\n"
        "EXCEPTION WHEN dependent_objects_still_exist THEN\n"
        "    NULL; -- there are other views in it\nEND\n$evolve$",
        None,
        "only what this change, or one like it, has made, and only when it is empty",
        allow=("drop-schema",),
    )


def _guard(table: QualifiedName) -> Statement:
    return Statement(
        "DO $evolve$\nBEGIN\n"
        f"    IF to_regclass({literal(str(table))}) IS DISTINCT FROM to_regclass({literal(table.full)}) THEN\n"
        "        RAISE EXCEPTION USING ERRCODE = '3F000',\n"
        f"            MESSAGE = {literal(f'the search path finds another {table.plain} than {table.full}').strip()},\n"
        "            HINT = 'run migrations with the search path that they had before the versions were there';\n"
        "    END IF;\nEND\n$evolve$",
        None,
        "what follows must meet the table, not the view that a client's search path would find",
    )


# -- a plan -------------------------------------------------------------------------------------------------
class _Walk:
    """Goes through the parts of a plan with the views that stand at each moment.

    Views come and go in one transaction for each table, that of the first table with the recipe's own statements:
    whoever holds two views at once would else meet a client that took them in the other order.
    """

    def __init__(self, plan: Plan, old: Mapping[_View, Shape], new: Mapping[_View, Shape]) -> None:
        self._plan = plan
        self._shapes = {**old, **new}
        self._old, self._new = tuple(old), tuple(new)
        tables = dict.fromkeys(view.target.table for view in self._shapes)
        self._first, *self._others = (
            tuple(view for view in self._shapes if view.target.table == table) for table in tables
        )
        last = plan.phases[-1].name
        self._last: PhaseName = last if last in ("contract", "purge") else "contract"
        self._old_until = "contract" if plan.phase("contract") is not None else self._last

    def plan(self) -> Plan:
        phases = list(self._plan.phases)
        if phases[-1].name != self._last:
            tables, them = _tables(self._old)
            phases.append(
                Phase(
                    "contract",
                    "clients find what is behind the views again",
                    gates=(
                        Word(
                            OLD_CODE_GONE,
                            f"no running code needs the {tables} as {_listed(self._old)} would show {them}",
                        ),
                    ),
                    go_back="downgrade the contract revisions: the views are back",
                )
            )
        first, *others = phases
        return replace(
            self._plan,
            phases=(self._opening(first), *(self._later(phase) for phase in others)),
            notes=(*self._plan.notes, *self._notes()),
        )

    def _opening(self, phase: Phase) -> Phase:
        *before, last = phase.parts or (Part("a schema for each version of the application", ()),)
        for part in (*before, last):
            self._follow(part.statements)
        opened = replace(
            last,
            statements=(*last.statements, *self._made(self._first)),
            undo=_inserted(last.undo, [*self._guarded(last.undo), *self._gone(self._first)]),
        )
        return replace(
            phase,
            parts=(*before, opened, *(self._part(views) for views in self._others)),
            instructions=(*phase.instructions, self._directions()),
        )

    def _later(self, phase: Phase) -> Phase:
        ending_old = self._old if phase.name == self._old_until else ()
        ending_new = self._new if phase.name == self._last else ()
        parts: list[Part] = []
        given = phase.parts
        if not given and (ending_old or ending_new):
            given = (Part(f"no more views of {self._first[0].target.table.plain}", ()),)
        for part in given:
            ending = [view for view in ending_old if view in self._first] if part is given[0] else []
            ending += [view for view in ending_new if view in self._first] if part is given[-1] else []
            parts.append(self._carried(part, ending))
            if part is given[0]:
                parts += self._ended(ending_old)
        parts += self._ended(ending_new)
        gates = phase.gates
        if ending_new:
            tables, them = _tables(self._new)
            named = (
                f"no code names {_listed(self._new)} with {'their' if them == 'them' else 'its'} schema (what finds "
                f"{them} by search_path goes on with the {tables})"
            )
            gates = (*gates, Word(VIEWS_UNUSED, named))
        return replace(phase, parts=tuple(parts), gates=gates)

    # -- parts ----------------------------------------------------------------------------------------------
    def _part(self, views: Sequence[_View]) -> Part:
        return Part(f"versions of {views[0].target.table.plain}", self._made(views), self._gone(views))

    def _ended(self, ending: Sequence[_View]) -> list[Part]:
        """The end of those whose tables are not the first."""
        parts = []
        for group in self._others:
            views = [view for view in group if view in ending]
            if views:
                made = self._part(views)
                parts.append(Part(f"no more {_listed(views)}", made.undo, made.statements))
                for view in views:
                    del self._shapes[view]
        return parts

    def _made(self, views: Sequence[_View]) -> tuple[Statement, ...]:
        return (
            *(_create_schema(view.name.schema) for view in views),
            *(statement for view in views for statement in view.create(self._shapes[view])),
        )

    def _gone(self, views: Sequence[_View]) -> tuple[Statement, ...]:
        return (*(view.drop() for view in views), *(_drop_schema(view.name.schema) for view in views))

    def _carried(self, part: Part, ending: Sequence[_View]) -> Part:
        """A part in whose course views stand; those of `ending` go with it."""
        before = dict(self._shapes)
        anew = [view for view in self._shapes if view not in ending and self._demands(part, view)]
        self._follow(part.statements)
        after = dict(self._shapes)
        for view in ending:
            del self._shapes[view]
        for view in anew:
            lost = _dropped(part.statements, view) & {actual for _, actual in after[view]}
            if lost:
                raise LookupError(
                    f"{self._plan.id}: {view.name} shows {sorted(lost)}, which is dropped under it"
                )
        first = [view.drop() for view in (*ending, *anew)]
        last = [statement for view in anew for statement in view.create(after[view])]
        last += [_drop_schema(view.name.schema) for view in ending]
        back_first = [view.drop() for view in anew]
        back_last = [_create_schema(view.name.schema) for view in ending]
        back_last += [statement for view in (*ending, *anew) for statement in view.create(before[view])]
        if not part.statements and not ending:
            return part
        return replace(
            part,
            statements=(*_inserted(part.statements, [*self._guarded(part.statements), *first]), *last),
            undo=(*_inserted(part.undo, [*self._guarded(part.undo), *back_first]), *back_last),
        )

    def _guarded(self, statements: Sequence[Statement]) -> list[Statement]:
        """That the names which the statements use find the tables; one with its schema finds it whatever the path."""
        views = (*self._old, *self._new)
        names = dict.fromkeys(
            name
            for view in views
            for name in (QualifiedName(view.name.name, view.target.table.schema), view.target.table)
            if name.schema == "public"
        )
        text = "\n".join(statement.sql for statement in statements)
        return [_guard(name) for name in names if str(name) in text]

    # -- columns --------------------------------------------------------------------------------------------
    def _follow(self, statements: Sequence[Statement]) -> None:
        """Views follow columns that are renamed under them."""
        for operation in _operations(statements):
            if isinstance(operation, RenameColumn):
                for view, shape in self._shapes.items():
                    if view.target.table == operation.table:
                        self._shapes[view] = tuple(
                            (exposed, operation.to if actual == operation.column else actual)
                            for exposed, actual in shape
                        )

    def _demands(self, part: Part, view: _View) -> bool:
        """Whether a statement of the part, or of its undo, cannot run under the view."""
        table = view.target.table
        named = {actual for _, actual in self._shapes[view]}
        for operation in _operations((*part.statements, *part.undo)):
            match operation:
                case RenameColumn(other, column, to) if other == table and column in named:
                    named.add(to)
                case DropColumn(other, column) | AlterColumnType(other, column) if (
                    other == table and column in named
                ):
                    return True
                case _:
                    pass
        return False

    # -- words ----------------------------------------------------------------------------------------------
    @property
    def _named(self) -> list[QualifiedName]:
        return list(dict.fromkeys(view.target.table for view in (*self._old, *self._new)))

    def _directions(self) -> str:
        own = ", ".join(dict.fromkeys(quote(table.schema) for table in self._named))
        old, new = (quote(views[0].name.schema) for views in (self._old, self._new))
        tables, them = _tables(self._old)
        return (
            f"From here on {_listed(self._old)} {'are' if them == 'them' else 'is'} the {tables} as old code knows "
            f"{them}, and {_listed(self._new)} as new code does: set search_path to {old}, {own} in the one and to "
            f"{new}, {own} in the other, or name the views."
            + (
                f" What was written before is complete in {_listed(self._new)} from the end of the backfill on: code "
                "that has to find it there waits for that."
                if self._plan.backfills
                else ""
            )
        )

    def _notes(self) -> Iterator[str]:
        views, tables = _listed((*self._old, *self._new)), [table.full for table in self._named]
        version = self._old[0].server_version
        merge = "" if version >= _MERGE else "MERGE, "
        yield (
            f"A view is not the table: COPY, TRUNCATE, {merge}foreign keys, indexes, ctid, tableoid and "
            f"pg_get_serial_sequence do not work with {views}; name {_and(tables)} there. Columns that are added to "
            f"the {'tables' if len(tables) > 1 else 'table'} meanwhile are missing in them."
        )
        yield (
            f"Migrations must find {_and(tables)}: keep the search path of the role that runs them as it is; the "
            "revisions check it."
        )
        yield (
            f"Through the views a prepared SELECT * survives every phase but the one that drops its view ({self._last} "
            f"for {_listed(self._new)}): recycle the connections then."
        )
        if version < _INVOKER:
            yield (
                "Before PostgreSQL 15 a view works with the rights of the role that ran the migration: do not enable "
                f"row level security on {_and(tables)} while the views stand."
            )


def _dropped(statements: Sequence[Statement], view: _View) -> set[str]:
    return {
        operation.column
        for operation in _operations(statements)
        if isinstance(operation, DropColumn) and operation.table == view.target.table
    }


def _inserted(statements: Sequence[Statement], more: Sequence[Statement]) -> tuple[Statement, ...]:
    """`more` before the first statement that is part of the transaction: the others come first and commit alone."""
    place = next((n for n, statement in enumerate(statements) if statement.transactional), len(statements))
    return (*statements[:place], *more, *statements[place:])


def _operations(statements: Sequence[Statement]) -> Iterator[Operation]:
    for statement in statements:
        yield from parse(statement.sql)


def _listed(views: Iterable[_View]) -> str:
    return _and([view.name.full for view in views])


def _and(names: Sequence[str]) -> str:
    *most, last = names
    return f"{', '.join(most)} and {last}" if most else last


def _tables(views: Sequence[_View]) -> tuple[str, str]:
    return ("tables", "them") if len(views) > 1 else ("table", "it")
