"""The manifest: the committed TOML file of one change in flight, read with care and written whole.

Phases that have begun say so and name their revisions. The file is written before the revisions it names, so a crash
between the two shows as a revision that is missing, and the next run writes it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, assert_never, cast, get_args

import tomlkit
from tomlkit.exceptions import TOMLKitError
from tomlkit.items import AoT, Table

from evolve.backfill.spec import Spec
from evolve.errors import Misuse
from evolve.files import write_whole
from evolve.plan.model import (
    PHASES,
    AddRequiredColumn,
    Change,
    OnConflict,
    PhaseName,
    Plan,
    RenameColumn,
    SetNotNull,
    change_id,
)
from evolve.plan.wording import describe_gate
from evolve.sql.names import BadName, NameTooLong, QualifiedName, check_length, parse_name, quote
from evolve.sql.parse import ExpressionNotRead
from evolve.sql.parse import expression as read_expression

SCHEMA = 1
PhaseState = Literal["planned", "begun"]

# Phases that always send SQL: once begun they have revisions.
_WITH_REVISIONS = frozenset({"expand", "contract", "purge"})
_REVISION = re.compile(r"[A-Za-z0-9_]+\Z")


class BadManifest(Misuse):
    """A manifest that cannot be trusted.

    Args:
        key: the place in the file, dotted; empty where the whole file is meant.
        allowed: what may stand there.
    """

    def __init__(self, file: Path, key: str, found: str, allowed: str) -> None:
        place = f'{file}: "{key}"' if key else f"{file}:"
        super().__init__(
            f"{place} {found}",
            why="a manifest says which revisions a change has; acting on a wrong one could skip a phase",
            fix=f"{allowed}; or restore the file: git checkout -- {file}",
        )


class NoSuchChange(Misuse):
    def __init__(self, name: str, known: Sequence[str]) -> None:
        names = ", ".join(known)
        super().__init__(
            f'there is no change "{name}"',
            fix=f"name one of {names}" if names else "no change is in flight; plan one: evolve plan list",
        )


@dataclass(frozen=True, slots=True)
class PhaseRecord:
    """How far a phase has come; `revisions` are ids, oldest first."""

    name: PhaseName
    state: PhaseState = "planned"
    revisions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Manifest:
    id: str
    change: Change
    phases: tuple[PhaseRecord, ...]
    created: datetime
    backfill: Spec | None = None

    @property
    def current(self) -> PhaseRecord:
        """The last phase that has begun; the first one where none has."""
        begun = [phase for phase in self.phases if phase.state == "begun"]
        return begun[-1] if begun else self.phases[0]

    @property
    def following(self) -> PhaseRecord | None:
        """The first phase that has not begun; None where all have."""
        return next((phase for phase in self.phases if phase.state == "planned"), None)

    @property
    def revisions(self) -> tuple[str, ...]:
        return tuple(revision for phase in self.phases for revision in phase.revisions)

    def begin(self, name: PhaseName, revisions: Sequence[str]) -> Manifest:
        begun = PhaseRecord(name, "begun", tuple(revisions))
        return replace(self, phases=tuple(begun if phase.name == name else phase for phase in self.phases))


def new_manifest(plan: Plan, now: datetime) -> Manifest:
    return Manifest(
        plan.id,
        plan.change,
        tuple(PhaseRecord(phase.name) for phase in plan.phases),
        now.astimezone(UTC).replace(microsecond=0),
        plan.backfill,
    )


# -- files --------------------------------------------------------------------------------------------------
def directory(script_directory: Path) -> Path:
    """Where the manifests of a project lie."""
    return script_directory / "evolve"


def path_of(script_directory: Path, identifier: str) -> Path:
    return directory(script_directory) / f"{identifier}.toml"


def load_all(script_directory: Path) -> tuple[Manifest, ...]:
    """Every manifest of the project, oldest first.

    Raises:
        BadManifest: one of them cannot be trusted.
    """
    found = [load(path) for path in sorted(directory(script_directory).glob("*.toml"))]
    return tuple(sorted(found, key=lambda manifest: (manifest.created, manifest.id)))


def load_named(script_directory: Path, identifier: str) -> Manifest:
    """The manifest of one change.

    Raises:
        NoSuchChange: no file of that name; BadManifest: it cannot be trusted.
    """
    path = path_of(script_directory, identifier)
    # An id is a file name here: one with a slash in it must not lead elsewhere.
    if not re.fullmatch(r"[a-z0-9_]+", identifier) or not path.is_file():
        known = [found.stem for found in sorted(directory(script_directory).glob("*.toml"))]
        raise NoSuchChange(identifier, known)
    return load(path)


def load(path: Path) -> Manifest:
    """Read one manifest and check every word of it.

    Raises:
        BadManifest: naming file, key, and what is allowed there.
    """
    try:
        document = tomlkit.parse(path.read_text(encoding="utf-8"))
    except TOMLKitError as error:
        raise BadManifest(path, "", f"it is not TOML: {error}", "mend it") from error
    except (OSError, UnicodeDecodeError) as error:
        raise BadManifest(path, "", f"it cannot be read: {error}", "mend it") from error
    return _Reader(path, cast("Mapping[str, object]", document.unwrap())).read()


def save(path: Path, manifest: Manifest, plan: Plan) -> None:
    """Write `manifest`; comments of a file that is there already are kept.

    Raises:
        CannotWrite: the file cannot be written; the old one is left as it was.
    """
    if path.is_file():
        document = tomlkit.parse(path.read_text(encoding="utf-8"))
        tables = document["phase"]
        if isinstance(tables, AoT):
            for table in tables:
                record = next(phase for phase in manifest.phases if phase.name == table["name"])
                _fill(table, record)
    else:
        document = _document(manifest, plan)
    write_whole(path, tomlkit.dumps(document).encode())


# -- writing ------------------------------------------------------------------------------------------------
def _document(manifest: Manifest, plan: Plan) -> tomlkit.TOMLDocument:
    document = tomlkit.document()
    document.add(tomlkit.comment(f"A change in flight. See: evolve status {manifest.id}"))
    document.add(tomlkit.comment("Written by evolve; commit it together with the revisions it names."))
    document.add("schema", tomlkit.item(SCHEMA))
    document.add("id", tomlkit.item(manifest.id))
    document.add("kind", tomlkit.item(manifest.change.kind))
    document.add("created", tomlkit.item(manifest.created))
    document.add("change", _change_table(manifest.change))
    if manifest.backfill is not None:
        document.add("backfill", _spec_table(manifest.backfill))
    phases = tomlkit.aot()
    for record in manifest.phases:
        table = tomlkit.table()
        phase = plan.phase(record.name)
        table.add("name", record.name)
        _fill(table, record)
        for gate in phase.gates if phase else ():
            table.add(tomlkit.comment(f"gate: {describe_gate(gate)}"))
        phases.append(table)
    document.add("phase", phases)
    return document


def _fill(table: Table, record: PhaseRecord) -> None:
    table["state"] = record.state
    table["revisions"] = list(record.revisions)


def _change_table(change: Change) -> Table:
    table = tomlkit.table()
    table.add("table", str(change.table))
    table.add("column", change.column)
    match change:
        case RenameColumn(to=to, on_conflict=on_conflict):
            table.add("to", to)
            table.add("on_conflict", on_conflict)
        case SetNotNull(fill=fill):
            if fill is not None:
                table.add("fill", fill)
        case AddRequiredColumn(type=type_name, up=up, default=default):
            table.add("type", type_name)
            table.add("up", up)
            if default is not None:
                table.add("default", default)
        case _:
            assert_never(change)
    return table


def _spec_table(spec: Spec) -> Table:
    table = tomlkit.table()
    assignments = tomlkit.inline_table()
    for column, expression in spec.assignments:
        assignments.add(tomlkit.key(column) if re.fullmatch(r"[\w-]+", column) else column, expression)
    table.add("assignments", assignments)
    if spec.where is not None:
        table.add("where", spec.where)
    if spec.mismatch is not None:
        table.add("mismatch", spec.mismatch)
    if spec.key is not None:
        table.add("key", list(spec.key))
    return table


# -- reading ------------------------------------------------------------------------------------------------
class _Reader:
    def __init__(self, path: Path, document: Mapping[str, object]) -> None:
        self._path = path
        self._document = document

    def read(self) -> Manifest:
        self._only("", self._document, ("schema", "id", "kind", "created", "change", "backfill", "phase"))
        schema = self._document.get("schema")
        if schema != SCHEMA or isinstance(schema, bool):
            raise self._bad("schema", f"is {schema!r}", f"it must be {SCHEMA}; a newer evolve writes others")
        change = self._change()
        identifier = self._text("", self._document, "id")
        expected = change_id(change)
        if identifier != expected:
            raise self._bad("id", f"is {identifier!r}", f'for this change it must be "{expected}"')
        if self._path.stem != identifier:
            raise self._bad("id", f"is {identifier!r}", f"the file must then be called {identifier}.toml")
        created = self._document.get("created")
        if not isinstance(created, datetime):
            raise self._bad("created", f"is {created!r}", "it must be a date and time")
        if created.tzinfo is None:
            created = created.replace(tzinfo=UTC)
        return Manifest(identifier, change, self._phases(), created, self._spec(identifier, change))

    # -- parts ----------------------------------------------------------------------------------------------
    def _change(self) -> Change:
        kind = self._text("", self._document, "kind")
        values = self._mapping("change")
        table = self._table(values)
        column = self._name(values, "column")
        match kind:
            case RenameColumn.kind:
                self._only("change.", values, ("table", "column", "to", "on_conflict"))
                to = self._name(values, "to")
                policy = self._choice("change.", values, "on_conflict", get_args(OnConflict))
                return RenameColumn(table, column, to, cast("OnConflict", policy))
            case SetNotNull.kind:
                self._only("change.", values, ("table", "column", "fill"))
                return SetNotNull(table, column, self._optional("change.", values, "fill"))
            case AddRequiredColumn.kind:
                self._only("change.", values, ("table", "column", "type", "up", "default"))
                return AddRequiredColumn(
                    table,
                    column,
                    self._text("change.", values, "type"),
                    self._text("change.", values, "up"),
                    self._optional("change.", values, "default"),
                )
            case _:
                kinds = ", ".join(f'"{known.kind}"' for known in get_args(Change))
                raise self._bad("kind", f"is {kind!r}", f"it must be one of {kinds}")

    def _phases(self) -> tuple[PhaseRecord, ...]:
        tables = self._document.get("phase")
        if not isinstance(tables, list) or not tables:
            raise self._bad("phase", "is missing", "every phase has a [[phase]] table")
        records: list[PhaseRecord] = []
        for number, table in enumerate(tables, 1):
            key = f"phase[{number}]."
            if not isinstance(table, dict):
                raise self._bad(key[:-1], "is no table", "every phase has a [[phase]] table")
            self._only(key, table, ("name", "state", "revisions"))
            name = cast("PhaseName", self._choice(key, table, "name", PHASES))
            state = cast("PhaseState", self._choice(key, table, "state", get_args(PhaseState)))
            revisions = table.get("revisions")
            if not isinstance(revisions, list) or not all(
                isinstance(revision, str) and _REVISION.match(revision) for revision in revisions
            ):
                raise self._bad(f"{key}revisions", f"is {revisions!r}", "it must be a list of revision ids")
            if state == "begun" and not revisions and name in _WITH_REVISIONS:
                raise self._bad(f"{key}revisions", "is empty", f'"{name}" has revisions once it has begun')
            if state == "planned" and revisions:
                raise self._bad(f"{key}state", 'is "planned"', 'a phase that has revisions is "begun"')
            if state == "begun" and records and records[-1].state == "planned":
                raise self._bad(
                    f"{key}state", 'is "begun"', f'the phase before it, "{records[-1].name}", is planned only'
                )
            if records and PHASES.index(name) <= PHASES.index(records[-1].name):
                raise self._bad(f"{key}name", f'is "{name}"', f"phases come in the order {', '.join(PHASES)}")
            records.append(PhaseRecord(name, state, tuple(str(revision) for revision in revisions)))
        everything = [revision for record in records for revision in record.revisions]
        doubled = next((revision for revision in everything if everything.count(revision) > 1), None)
        if doubled is not None:
            raise self._bad(
                "phase", f'names revision "{doubled}" twice', "each revision belongs to one phase"
            )
        if records[0].name != "expand":
            raise self._bad("phase[1].name", f'is "{records[0].name}"', 'the first phase is "expand"')
        return tuple(records)

    def _spec(self, identifier: str, change: Change) -> Spec | None:
        if "backfill" not in self._document:
            return None
        values = self._mapping("backfill")
        self._only("backfill.", values, ("assignments", "where", "mismatch", "key"))
        assignments = values.get("assignments")
        if not isinstance(assignments, dict) or not assignments:
            raise self._bad("backfill.assignments", f"is {assignments!r}", 'write it as { column = "SQL" }')
        expected = self._assignment(change)
        if tuple(assignments.items()) != (expected,):
            # Rows would get other values than the trigger gives them, or other columns would be overwritten.
            raise self._bad(
                "backfill.assignments",
                f"is {dict(assignments)!r}",
                f"for this change it must be {{{expected[0]!r}: {expected[1]!r}}}",
            )
        key = values.get("key")
        if key is not None and not (
            isinstance(key, list) and key and all(isinstance(column, str) for column in key)
        ):
            raise self._bad("backfill.key", f"is {key!r}", "it must be a list of columns")
        return Spec(
            identifier,
            change.table,
            (expected,),
            where=self._optional("backfill.", values, "where"),
            key=tuple(str(column) for column in key) if isinstance(key, list) else None,
            mismatch=self._optional("backfill.", values, "mismatch"),
        )

    def _assignment(self, change: Change) -> tuple[str, str]:
        """The column that the backfill of `change` writes, and the value."""
        match change:
            case RenameColumn(column=column, to=to):
                return to, quote(column)
            case SetNotNull(column=column, fill=fill):
                return column, self._sql("change.fill", fill or "")
            case AddRequiredColumn(column=column, up=up):
                return column, self._sql("change.up", up)
            case _:
                assert_never(change)

    # -- values ---------------------------------------------------------------------------------------------
    def _bad(self, key: str, found: str, allowed: str) -> BadManifest:
        return BadManifest(self._path, key, found, allowed)

    def _sql(self, key: str, text: str) -> str:
        try:
            return read_expression(text).sql
        except ExpressionNotRead as error:
            raise self._bad(key, f"is {text!r}", "it must be one SQL expression") from error

    def _only(self, prefix: str, values: Mapping[str, object], allowed: Sequence[str]) -> None:
        for key in values:
            if key not in allowed:
                names = ", ".join(allowed)
                raise self._bad(f"{prefix}{key}", "is unknown", f"valid here: {names}")

    def _mapping(self, key: str) -> Mapping[str, object]:
        values = self._document.get(key)
        if not isinstance(values, dict):
            raise self._bad(key, "is missing", f"there must be a table [{key}]")
        return values

    def _optional(self, prefix: str, values: Mapping[str, object], key: str) -> str | None:
        return self._text(prefix, values, key) if key in values else None

    def _text(self, prefix: str, values: Mapping[str, object], key: str) -> str:
        value = values.get(key)
        if not isinstance(value, str) or not value.strip() or "\0" in value:
            raise self._bad(f"{prefix}{key}", f"is {value!r}", "it must be text")
        return value

    def _choice(self, prefix: str, values: Mapping[str, object], key: str, allowed: Sequence[str]) -> str:
        value = values.get(key)
        if value not in allowed:
            names = ", ".join(f'"{name}"' for name in allowed)
            raise self._bad(f"{prefix}{key}", f"is {value!r}", f"it must be one of {names}")
        return str(value)

    def _name(self, values: Mapping[str, object], key: str) -> str:
        """A column's name as it is, without quotes."""
        try:
            return check_length(self._text("change.", values, key))
        except NameTooLong as error:
            raise self._bad(f"change.{key}", "is too long", "a name has at most 63 bytes") from error

    def _table(self, values: Mapping[str, object]) -> QualifiedName:
        text = self._text("change.", values, "table")
        try:
            return parse_name(text)
        except (BadName, NameTooLong) as error:
            raise self._bad("change.table", f"is {text!r}", "write it as table or schema.table") from error
