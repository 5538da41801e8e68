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
from typing import Literal, cast, get_args

import tomlkit
from tomlkit.exceptions import TOMLKitError
from tomlkit.items import AoT, Table

from evolve.counted import counted
from evolve.errors import EvolveError, Misuse
from evolve.files import write_whole
from evolve.plan.archive import with_archive
from evolve.plan.change import Change
from evolve.plan.kept_facts import BadFacts, KeptFacts
from evolve.plan.model import PHASES, PhaseName, Plan
from evolve.plan.parameters import TABLE, BadValue, Parameter, plain, understood
from evolve.plan.recipe import Recipe
from evolve.plan.recipes import find_recipe, kinds, make_plan
from evolve.plan.wording import describe_gate

SCHEMA = 1
PhaseState = Literal["planned", "begun"]

_REVISION = re.compile(r"[A-Za-z0-9_]{1,100}\Z")


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
class TakenBack:
    """One part of a phase that a revision further up the history takes back.

    Args:
        part: which of the phase's, counted from 0.
        of: the revision that had done it.
        revision: the one that takes it back.
    """

    phase: PhaseName
    part: int
    of: str
    revision: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """A change in flight.

    Args:
        facts: what its plan was made from.
        taken_back: what `evolve undo` has gone back on, oldest first.
        archive: purge keeps what it drops.
    """

    id: str
    change: Change
    phases: tuple[PhaseRecord, ...]
    created: datetime
    facts: KeptFacts
    taken_back: tuple[TakenBack, ...] = ()
    archive: bool = False

    @property
    def plan(self) -> Plan:
        """Its phases, made anew from the facts of the day it was planned."""
        plan = make_plan(self.change, self.facts)
        return with_archive(plan) if self.archive else plan

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

    @property
    def over(self) -> bool:
        """All of it has been taken back."""
        return all(phase.state == "planned" for phase in self.phases)

    def back_to(self, name: PhaseName | None, revisions: Sequence[str]) -> Manifest:
        """As if the phases after `name` had not begun, or none had where that is None.

        Args:
            name: a phase that has begun.
            revisions: ids for what takes their parts back, the newest part first.
        """
        kept = PHASES.index(name) if name is not None else -1
        leaving = [phase for phase in self.phases if PHASES.index(phase.name) > kept]
        parts: list[tuple[PhaseName, int, str]] = [
            (phase.name, number, revision)
            for phase in reversed(leaving)
            for number, revision in reversed(list(enumerate(phase.revisions)))
        ]
        back = tuple(
            TakenBack(phase, number, of, revision)
            for (phase, number, of), revision in zip(parts, revisions, strict=True)
        )
        phases = tuple(PhaseRecord(phase.name) if phase in leaving else phase for phase in self.phases)
        return replace(self, phases=phases, taken_back=(*self.taken_back, *back))

    def begin(self, name: PhaseName, revisions: Sequence[str]) -> Manifest:
        begun = PhaseRecord(name, "begun", tuple(revisions))
        return replace(self, phases=tuple(begun if phase.name == name else phase for phase in self.phases))


def new_manifest(plan: Plan, facts: KeptFacts, now: datetime) -> Manifest:
    return Manifest(
        plan.id,
        plan.change,
        tuple(PhaseRecord(phase.name) for phase in plan.phases),
        now.astimezone(UTC).replace(microsecond=0),
        facts,
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
    if not re.fullmatch(r"[a-z0-9_]{1,200}", identifier) or not path.is_file():
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
        change = document["change"]
        for key, value in _change_table(manifest.change).items():
            if isinstance(change, Table) and change.get(key) != value:
                change[key] = value
        tables = document["phase"]
        if isinstance(tables, AoT):
            for table in tables:
                record = next(phase for phase in manifest.phases if phase.name == table["name"])
                _fill(table, record)
        if manifest.archive:
            document["archive"] = True
        if manifest.taken_back:
            document["undone"] = _undone(manifest)
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
    document.add("facts", _facts_table(manifest.facts))
    return document


def _undone(manifest: Manifest) -> AoT:
    tables = tomlkit.aot()
    for back in manifest.taken_back:
        table = tomlkit.table()
        table.update({"phase": back.phase, "part": back.part + 1, "of": back.of, "revision": back.revision})
        tables.append(table)
    return tables


def _fill(table: Table, record: PhaseRecord) -> None:
    table["state"] = record.state
    table["revisions"] = list(record.revisions)


def _change_table(change: Change) -> Table:
    table = tomlkit.table()
    table.add("table", str(change.table))
    recipe = find_recipe(change.kind)
    for parameter in recipe.parameters if recipe is not None else ():
        value = getattr(change, parameter.name)
        if parameter.name != "table" and value is not None and value != ():
            table.add(parameter.name, tomlkit.item(plain(value)))
    return table


def _facts_table(facts: KeptFacts) -> Table:
    table = tomlkit.table()
    table.add(tomlkit.comment("What the phases are made from: the database as it was when this was planned."))
    for key, value in facts.to_plain().items():
        table.add(key, tomlkit.item(value))
    return table


# -- reading ------------------------------------------------------------------------------------------------
class _Reader:
    def __init__(self, path: Path, document: Mapping[str, object]) -> None:
        self._path = path
        self._document = document

    def read(self) -> Manifest:
        self._only(
            "",
            self._document,
            ("schema", "id", "kind", "created", "change", "phase", "facts", "undone", "archive"),
        )
        schema = self._document.get("schema")
        if schema != SCHEMA or isinstance(schema, bool):
            raise self._bad("schema", f"is {schema!r}", f"it must be {SCHEMA}; a newer evolve writes others")
        change = self._change()
        identifier = self._text("", self._document, "id")
        expected = change.id
        if identifier != expected:
            raise self._bad("id", f"is {identifier!r}", f'for this change it must be "{expected}"')
        if self._path.stem != identifier:
            raise self._bad("id", f"is {identifier!r}", f"the file must then be called {identifier}.toml")
        created = self._document.get("created")
        if not isinstance(created, datetime):
            raise self._bad("created", f"is {created!r}", "it must be a date and time")
        if created.tzinfo is None:
            created = created.replace(tzinfo=UTC)
        archive = self._document.get("archive", False)
        if not isinstance(archive, bool):
            raise self._bad("archive", f"is {archive!r}", "it must be true or false")
        manifest = Manifest(
            identifier, change, self._phases(), created, self._facts(), self._taken_back(), archive
        )
        self._compare(manifest)
        return manifest

    # -- parts ----------------------------------------------------------------------------------------------
    def _change(self) -> Change:
        kind = self._text("", self._document, "kind")
        recipe = find_recipe(kind)
        if recipe is None:
            raise self._bad("kind", f"is {kind!r}", f"it must be one of {', '.join(kinds())}")
        values = self._mapping("change")
        self._only("change.", values, ("table", *(parameter.name for parameter in recipe.parameters)))
        return self._made(recipe, values)

    def _made(self, recipe: Recipe[Change], values: Mapping[str, object]) -> Change:
        found: dict[str, object] = {"table": self._understood(TABLE, values)}
        for parameter in recipe.parameters:
            if parameter.name in values or parameter.required:
                found[parameter.name] = self._understood(parameter, values)
        return recipe.change(**found)  # type: ignore[arg-type]  # each value has been read by its parameter

    def _understood(self, parameter: Parameter, values: Mapping[str, object]) -> object:
        try:
            return understood(parameter, values.get(parameter.name))
        except BadValue as error:
            raise self._bad(f"change.{parameter.name}", error.found, error.allowed) from error

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

    def _taken_back(self) -> tuple[TakenBack, ...]:
        tables = self._document.get("undone", [])
        if not isinstance(tables, list):
            raise self._bad("undone", "is no list of tables", "evolve undo writes it")
        found = []
        for number, table in enumerate(tables, 1):
            key = f"undone[{number}]."
            if not isinstance(table, dict):
                raise self._bad(key[:-1], "is no table", "evolve undo writes it")
            self._only(key, table, ("phase", "part", "of", "revision"))
            phase = cast("PhaseName", self._choice(key, table, "phase", PHASES))
            part = table.get("part")
            if not isinstance(part, int) or isinstance(part, bool) or part < 1:
                raise self._bad(f"{key}part", f"is {part!r}", "it must be a number of 1 or more")
            of, revision = (self._text(key, table, name) for name in ("of", "revision"))
            for name, text in (("of", of), ("revision", revision)):
                if not _REVISION.match(text):
                    raise self._bad(f"{key}{name}", f"is {text!r}", "it must be a revision id")
            found.append(TakenBack(phase, part - 1, of, revision))
        return tuple(found)

    def _facts(self) -> KeptFacts:
        try:
            return KeptFacts.from_plain(self._mapping("facts"))
        except BadFacts as error:
            raise self._bad("facts", str(error), "nobody has to write here") from error

    def _compare(self, manifest: Manifest) -> None:
        """Raise where the phases are not those of the change."""
        try:
            plan = manifest.plan
        except (BadFacts, EvolveError) as error:
            raise self._bad("facts", f"do not fit the change: {error}", "nobody has to write here") from error
        planned, recorded = [phase.name for phase in plan.phases], [phase.name for phase in manifest.phases]
        if planned != recorded:
            raise self._bad(
                "phase",
                f"names {', '.join(recorded)}",
                f"for this change there must be {', '.join(planned)}",
            )
        for number, back in enumerate(manifest.taken_back, 1):
            undone = plan.phase(back.phase)
            if undone is None or back.part >= len(undone.parts):
                raise self._bad(
                    f"undone[{number}].part", f"is {back.part + 1}", f'"{back.phase}" has fewer parts'
                )
        for number, (phase, record) in enumerate(zip(plan.phases, manifest.phases, strict=True), 1):
            if record.state == "begun" and len(record.revisions) != len(phase.parts):
                raise self._bad(
                    f"phase[{number}].revisions",
                    "is empty"
                    if not record.revisions
                    else f"names {counted(len(record.revisions), 'revision')}",
                    f'"{phase.name}" has {len(phase.parts)} once it has begun',
                )

    # -- values ---------------------------------------------------------------------------------------------
    def _bad(self, key: str, found: str, allowed: str) -> BadManifest:
        return BadManifest(self._path, key, found, allowed)

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
