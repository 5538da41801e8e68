"""Versioned schemas: for the time of a change each version of the application finds its own shape of the table.

A view for the code that runs now and one for the code to come stand over the table, each in a schema of its own and
under the table's name. A client finds its own by `search_path` or by name. The views show and pass on; which side of a
twin was written the sync trigger goes on telling from the values, so that a client on the wrong road loses nothing.

Any recipe whose phases keep both shapes in the table can offer them: it takes `VERSIONS` as a parameter, joins
`uses_with` into its `uses()`, and hands its plan to `with_versions` together with the two shapes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from evolve.errors import Misuse, Refused
from evolve.plan.change import Uses
from evolve.plan.facts import Facts, refuse_taken
from evolve.plan.model import QUARANTINE, Part, Phase, PhaseName, Plan, Word
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
    "Two schemas, each with a view of the table: as old code knows it, and as new code does.",
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


# -- for a recipe -------------------------------------------------------------------------------------------
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


def views(text: str, table: QualifiedName) -> tuple[QualifiedName, QualifiedName]:
    """The two views of `table`, the old version's first."""
    old, new = schemas(text)
    if table.schema in (old, new):
        raise BadVersions(text)
    return QualifiedName(table.name, old), QualifiedName(table.name, new)


def uses_with(uses: Uses, text: str | None, table: QualifiedName) -> Uses:
    """`uses` of a change, with what its views take: their names, and every column that they show."""
    if text is None:
        return uses
    return Uses(
        uses.writes | {(view, None) for view in views(text, table)},
        uses.reads | {(table, None)},
    )


def shape(target: Target, changed: Mapping[str, Sequence[tuple[str, str]]] | None = None) -> Shape:
    """All columns of the table under their own names, but for `changed`: column → what stands in its place.

    `shape(target, {"name": [("full_name", "full_name")]})` is that of the code to come of a rename.
    """
    changed = changed or {}
    return tuple(
        pair
        for column in target.columns
        if not column.name.startswith(QUARANTINE)
        for pair in changed.get(column.name, [(column.name, column.name)])
    )


def version_trials(text: str | None, table: QualifiedName, facts: Facts) -> Iterator[Trial]:
    """What a recipe that offers versions adds to its trials."""
    if text is not None:
        merge = () if (facts.server_version or 0) >= _MERGE else ("MERGE INTO",)
        yield CommandsFit(
            table,
            ("COPY", "TRUNCATE", "TRUNCATE TABLE", *merge),
            lambda found: CommandsWouldFail(table, found),
            f'Whether somebody runs COPY, TRUNCATE or MERGE on "{table.plain}" could not be looked up, since '
            "pg_stat_statements cannot be read: they fail on a view, and have to name the table with its schema.",
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


def with_versions(
    plan: Plan,
    facts: Facts,
    text: str | None,
    *,
    old_shape: Shape,
    new_shape: Shape,
    defaults: Mapping[str, str] | None = None,
    old_until: PhaseName = "contract",
) -> Plan:
    """`plan` with a view per version from expand on, kept right until the last phase takes them away.

    A recipe's statements are read: where one renames a column, the views follow by themselves; where one drops or
    retypes a column that a view shows, the view is dropped before and made again behind it, in the same transaction.

    Args:
        plan: of a recipe; its first phase makes every column that `new_shape` shows.
        facts: the table's are asked for, and whether the views' names are free.
        text: what --versions gave; None leaves the plan as it is.
        old_shape: as the code that runs now knows the table.
        new_shape: as the code to come knows it.
        defaults: of columns that the table does not have yet: the SQL a version gets.
        old_until: the phase that takes the old shape away from its clients, and the old version's view.

    Raises:
        BadVersions, NameTaken, VersionsNeedDatabase, RowsWouldShow.
    """
    if text is None:
        return plan
    target = facts.table(plan.change.table)
    old, new = views(text, target.table)
    if facts.source != "database":
        raise VersionsNeedDatabase
    if target.row_security and (facts.server_version or 0) < _INVOKER:
        raise RowsWouldShow(target.table)
    for view in (old, new):
        refuse_taken(facts, view)
    known = {column.name: column.default for column in target.columns if column.default_constant}
    given = {**{name: sql for name, sql in known.items() if sql is not None}, **(defaults or {})}
    gone = tuple(column for pair in old_shape if pair not in new_shape for column in pair[1:])
    version = facts.server_version or 0
    made = {
        _View(
            target,
            view,
            version,
            tuple(
                (name, given[column])
                for name, column in own
                if (name, column) not in other and column in given
            ),
            tuple((name, _models(target, name, column, gone)) for name, column in own),
        ): own
        for view, own, other in ((old, old_shape, new_shape), (new, new_shape, old_shape))
    }
    return _Walk(plan, target, made, old_until).plan()


def _models(target: Target, name: str, column: str, gone: tuple[str, ...]) -> tuple[str, ...]:
    """The table's columns whose privileges and comment a column of a view has: what it is, or what it comes after."""
    for known in (column, name):
        if target.column(known) is not None:
            return (known,)
    return gone


# -- a view -------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class _View:
    """One version's view.

    Args:
        defaults: (exposed name, SQL) of columns whose default the versions may not share; the others have the table's.
        models: exposed name → columns of the table, as they were before the change, that it has rights and comment of.
    """

    target: Target
    name: QualifiedName
    server_version: int
    defaults: tuple[tuple[str, str], ...]
    models: tuple[tuple[str, tuple[str, ...]], ...]

    def create(self, shape: Shape) -> Iterator[Statement]:
        columns = ",\n        ".join(
            quote(actual) if exposed == actual else f"{quote(actual)} AS {quote(exposed)}"
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
            for exposed, known in self._modelled()
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
        for exposed, column in self._modelled():
            if column.comment is not None:
                yield Statement(
                    f"COMMENT ON COLUMN {self.name.full}.{quote(exposed)} IS {literal(column.comment).strip()}",
                    None,
                    "as of the table's column",
                )

    def _modelled(self) -> Iterator[tuple[str, TargetColumn]]:
        for exposed, models in self.models:
            for model in models:
                known = self.target.column(model)
                if known is not None:
                    yield exposed, known


_OF_VIEWS = ("SELECT", "INSERT", "UPDATE", "DELETE")


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
        "    NULL; -- other changes have views in it\nEND\n$evolve$",
        None,
        "only what this change, or one like it, has made, and only when it is empty",
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
    """Goes through the parts of a plan with the views that stand at each moment."""

    def __init__(
        self, plan: Plan, target: Target, shapes: Mapping[_View, Shape], old_until: PhaseName
    ) -> None:
        self._plan = plan
        self._table = target.table
        self._shapes = dict(shapes)
        self._old, self._new = shapes
        with_parts = [phase.name for phase in plan.phases if phase.parts]
        self._last = with_parts[-1]
        self._old_until = old_until if old_until in with_parts else self._last

    def plan(self) -> Plan:
        return replace(
            self._plan,
            phases=tuple(self._phase(number, phase) for number, phase in enumerate(self._plan.phases)),
            notes=(*self._plan.notes, *self._notes()),
        )

    def _phase(self, number: int, phase: Phase) -> Phase:
        parts = list(phase.parts)
        for place, part in enumerate(parts):
            if number == 0:
                parts[place] = self._opened(part) if place == len(parts) - 1 else self._carried(part, ())
                continue
            ending = [self._old] if phase.name == self._old_until and place == 0 else []
            ending += [self._new] if phase.name == self._last and place == len(parts) - 1 else []
            parts[place] = self._carried(part, ending)
        schema_of = {view: quote(view.name.schema) for view in (self._old, self._new)}
        if number == 0:
            said = (
                f"From here on {self._old.name.full} is the table as old code knows it, and {self._new.name.full} as "
                f"new code does: set search_path to {schema_of[self._old]}, {quote(self._table.schema)} in the one "
                f"and to {schema_of[self._new]}, {quote(self._table.schema)} in the other, or name the views.",
            )
            return replace(phase, parts=tuple(parts), instructions=(*phase.instructions, *said))
        if phase.name == self._last:
            unused = Word(
                VIEWS_UNUSED,
                f"no code names {self._new.name.full} with its schema (what finds it by search_path goes on with the "
                "table)",
            )
            return replace(phase, parts=tuple(parts), gates=(*phase.gates, unused))
        return replace(phase, parts=tuple(parts))

    def _opened(self, part: Part) -> Part:
        """The part at whose end the views are made."""
        self._follow(part.statements)
        made = [_create_schema(view.name.schema) for view in self._shapes]
        made += [statement for view, shape in self._shapes.items() for statement in view.create(shape)]
        gone = [view.drop() for view in self._shapes] + [
            _drop_schema(view.name.schema) for view in self._shapes
        ]
        return replace(
            part,
            statements=(*part.statements, *made),
            undo=_inserted(part.undo, [*self._guarded(), *gone]),
        )

    def _carried(self, part: Part, ending: Iterable[_View]) -> Part:
        """A part in whose course views stand; those of `ending` go with it."""
        ending = list(ending)
        before = dict(self._shapes)
        anew = [
            view for view in self._shapes if view not in ending and self._demands(part, self._shapes[view])
        ]
        self._follow(part.statements)
        after = dict(self._shapes)
        for view in ending:
            del self._shapes[view]
        for view in anew:
            lost = self._dropped(part.statements) & {actual for _, actual in after[view]}
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
            statements=(*_inserted(part.statements, [*self._guarded(), *first]), *last),
            undo=(*_inserted(part.undo, [*self._guarded(), *back_first]), *back_last),
        )

    def _guarded(self) -> list[Statement]:
        # A name with its schema finds the table whatever the path.
        return [_guard(self._table)] if self._table.schema == "public" else []

    def _follow(self, statements: Sequence[Statement]) -> None:
        """Views follow columns that are renamed under them."""
        for operation in _operations(statements):
            match operation:
                case RenameColumn(table, column, to) if table == self._table:
                    self._shapes = {
                        view: tuple(
                            (exposed, to if actual == column else actual) for exposed, actual in shape
                        )
                        for view, shape in self._shapes.items()
                    }
                case _:
                    pass

    def _demands(self, part: Part, shape: Shape) -> bool:
        """Whether a statement of the part, or of its undo, cannot run under a view of that shape."""
        named = {actual for _, actual in shape}
        for operation in _operations((*part.statements, *part.undo)):
            match operation:
                case RenameColumn(table, column, to) if table == self._table and column in named:
                    named.add(to)
                case DropColumn(table, column) | AlterColumnType(table, column) if (
                    table == self._table and column in named
                ):
                    return True
                case _:
                    pass
        return False

    def _dropped(self, statements: Sequence[Statement]) -> set[str]:
        return {
            operation.column
            for operation in _operations(statements)
            if isinstance(operation, DropColumn) and operation.table == self._table
        }

    def _notes(self) -> Iterator[str]:
        table, new = self._table, self._new.name.full
        merge = "" if self._new.server_version >= _MERGE else "MERGE, "
        yield (
            f"A view is not the table: COPY, TRUNCATE, {merge}foreign keys, indexes, ctid, tableoid and "
            f"pg_get_serial_sequence do not work with {self._old.name.full} and {new}; name {table.full} there. "
            "Columns that are added to the table meanwhile are missing in them."
        )
        yield (
            f"Migrations must find {table.full}: keep the search path of the role that runs them as it is; the "
            "revisions check it."
        )
        yield (
            f"Through the views a prepared SELECT * survives every phase but the one that drops its view ({self._last} "
            f"for {new}): recycle the connections then."
        )
        if self._new.server_version < _INVOKER:
            yield (
                "Before PostgreSQL 15 a view works with the rights of the role that ran the migration: do not enable "
                "row level security on the table while the views stand."
            )


def _inserted(statements: Sequence[Statement], more: Sequence[Statement]) -> tuple[Statement, ...]:
    """`more` before the first statement that is part of the transaction: the others come first and commit alone."""
    place = next((n for n, statement in enumerate(statements) if statement.transactional), len(statements))
    return (*statements[:place], *more, *statements[place:])


def _operations(statements: Sequence[Statement]) -> Iterator[Operation]:
    for statement in statements:
        yield from parse(statement.sql)
