"""Runs recorded statements on a scratch server, and says where it does other things than the linter believes.

What runs are the statements that the linter read, not the revisions: nobody's Python gets a live connection.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from evolve.errors import Misuse
from evolve.lint.databases import databases
from evolve.lint.engine import check
from evolve.lint.model import Finding
from evolve.lint.rule import Rule
from evolve.lint.verification import Difference, Run, Seen, Verification, differences
from evolve.postgres import scratch
from evolve.postgres.trial import Trial, trial
from evolve.sql import operations as op
from evolve.sql.effects import Effect, effect
from evolve.sql.names import QualifiedName
from evolve.sql.parse import parse
from evolve.sql.replay import apply
from evolve.sql.replay.drops import constraint_columns
from evolve.sql.replay.indexes import index_columns
from evolve.sql.routines import with_calls
from evolve.sql.schema import Schema
from evolve.sql.steps import CapturedStatement, Mark, Recording

# A table, column, type, function or schema is not there.
_MISSING = frozenset({"42P01", "42703", "42704", "42883", "3F000"})
# Rows that we made up meet what a revision asks of rows worse than real ones do.
_OF_ROWS = ("22", "23")
# Where one of these was not run, nothing is missing later.
_MAKES_NOTHING = op.Copy | op.Insert | op.Update | op.Delete | op.Query
_DEPENDS = frozenset({Mark.READ_ROWS, Mark.READ_CATALOG})
_INCOMPLETE = frozenset({Mark.RAISED, Mark.TIMED_OUT, Mark.NOT_LOADED})


class SeveralDatabases(Misuse):
    def __init__(self, names: Sequence[str]) -> None:
        super().__init__(
            f"--verify runs revisions on one database, and these are for {len(names)}: "
            + ", ".join(f'"{name}"' for name in names),
            why="each has tables of its own, and run on one server's database they would meet each other",
            fix="leave out --verify",
        )


def verify(
    recordings: Sequence[Recording],
    judged: Collection[str],
    rules: Sequence[Rule],
    *,
    together: bool,
    provider: str | None = None,
) -> Verification:
    """Run all statements in order, those of the judged revisions under observation.

    Args:
        recordings: in the order in which they are applied.
        judged: ids of the revisions that are asked about.
        rules: those that are asked.
        together: the judged ones reach the database in one rollout, so that what one makes is not in use in the next.
        provider: of the scratch server; None asks EVOLVE_SCRATCH.

    Raises:
        NoScratchServer, UnknownProvider: there is no server to run on.
        SeveralDatabases: the statements are for more than one.
    """
    names = databases(recordings)
    if len(names) > 1:
        raise SeveralDatabases(names)
    with scratch.server(provider) as server:
        return verify_on(server, recordings, judged, rules, together=together)


def verify_on(
    server: scratch.Server,
    recordings: Sequence[Recording],
    judged: Collection[str],
    rules: Sequence[Rule],
    *,
    together: bool,
) -> Verification:
    """`verify` on a server that runs already, in a database of its own."""
    # What a script takes back leaves nothing behind that could be compared.
    recordings = [
        replace(each, statements=tuple(s for s in each.statements if not s.undone)) for each in recordings
    ]
    with trial(server) as tried:
        found = check(
            recordings, rules, judged=judged, postgres_version=server.version, together=together
        ).findings
        course = _Course(tried, found, server.version)
        _run_all(course, recordings, judged, together=together)
        return Verification(
            server.version,
            server.provider,
            tuple(course.runs),
            tuple(course.differences),
            (*_unseen(recordings, judged), *course.notes),
            course.ended_at,
        )


def _run_all(
    course: _Course, recordings: Sequence[Recording], judged: Collection[str], *, together: bool
) -> None:
    first = True
    for recording in recordings:
        asked = recording.revision in judged
        if asked and (first or not together):
            course.take_into_use()
            first = False
        for statement in recording.statements:
            course.enter(statement.transaction)
            course.step(recording.revision, statement, asked=asked)
            if course.ended_at is not None:
                return
    course.leave()


@dataclass(slots=True)
class _Course:
    """How far the statements have been run.

    Args:
        schema: after all of them.
        ordinal: of the open transaction.
        before: what the statements of the open transaction did.
    """

    trial: Trial
    findings: Sequence[Finding]
    version: int
    schema: Schema = field(default_factory=Schema)
    ordinal: int | None = None
    before: list[Seen] = field(default_factory=list)
    runs: list[Run] = field(default_factory=list)
    differences: list[Difference] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    gaps: bool = False
    ended_at: str | None = None

    def enter(self, ordinal: int | None) -> None:
        """Be in the transaction that the next statement runs in."""
        if ordinal is None or ordinal != self.ordinal:
            self.leave()
            if ordinal is not None:
                self.trial.begin()
            self.ordinal = ordinal

    def leave(self) -> None:
        refused = self.trial.commit()
        if refused is not None:
            last = self.runs[-1] if self.runs else None
            self.notes.append(
                f"{last.revision if last else 'an earlier revision'}: COMMIT is refused: {refused}"
            )
            self.gaps = True
        self.ordinal = None
        self.before.clear()

    def take_into_use(self) -> None:
        self.leave()
        self.trial.take_into_use()

    def step(self, revision: str, statement: CapturedStatement, *, asked: bool) -> None:
        operations = with_calls(parse(statement.sql), self.schema.functions)
        before, predicted = self.schema.copy(), list[Effect]()
        # PostgreSQL drops constraints before it looks at the other clauses of a statement.
        for operation in sorted(operations, key=lambda each: not isinstance(each, op.DropConstraint)):
            predicted.append(effect(operation, self.schema, self.version, timezone=self.trial.timezone))
            apply(self.schema, operation)
        if any(isinstance(operation, op.TransactionControl) for operation in operations):
            refused = self.trial.control(statement.sql)
            if refused is not None:
                self.notes.append(f"{_place(statement)}: {refused}")
            self.before.clear()
            return
        findings = [each for each in self.findings if _is_about(each, revision, statement)]
        seen = self._run(statement, operations, before)
        if seen.error is not None and seen.skipped is None:
            seen = self._explain(statement, seen, findings, asked=asked)
        if seen.skipped is not None:
            makes = not any(isinstance(each, _MAKES_NOTHING) for each in operations)
            self.gaps = self.gaps or (makes and 'role "' not in seen.skipped)
            self.notes.append(f"{_place(statement)}: {seen.skipped}")
        if asked:
            if seen.error is None and seen.skipped is None:
                seen = self._untried(statement, seen, findings)
            self.runs.append(Run(revision, statement, seen))
            self.differences += differences(
                revision, statement, operations, predicted, findings, seen, self.before, before
            )
            if seen.error is not None and seen.skipped is None:
                self._go_on_without_rows(revision, statement)
        self.before.append(seen)

    def _run(self, statement: CapturedStatement, operations: Sequence[op.Operation], before: Schema) -> Seen:
        if operations and isinstance(operations[0], op.Copy):
            return Seen(skipped="COPY is not run")
        seen = self.trial.run(statement.sql)
        if seen.sqlstate in _MISSING:
            # What no revision makes is made as far as the statements tell what it looks like.
            for name, columns, key in _implied(operations, before, self.schema):
                self.trial.make_table(name, columns, key)
            again = self.trial.run(statement.sql)
            return seen if again.sqlstate in _MISSING else again
        return seen

    def _explain(
        self, statement: CapturedStatement, seen: Seen, findings: Sequence[Finding], *, asked: bool
    ) -> Seen:
        """The error as it is, or why it says nothing of the revision."""
        implied = any(table.implied for table in self.schema.tables.values())
        if seen.sqlstate in _MISSING and (self.gaps or implied):
            return replace(seen, skipped=f"it needs what no revision makes: {seen.error}")
        if not asked:
            return replace(seen, skipped=str(seen.error))
        if (seen.sqlstate or "").startswith(_OF_ROWS) and not any(each.fails for each in findings):
            if not self.trial.empty():
                return seen
            again = self.trial.run(statement.sql)
            if again.error is None:
                self.notes.append(f"{_place(statement)}: on empty tables, since a made-up row does not fit")
                return again
        return seen

    def _untried(self, statement: CapturedStatement, seen: Seen, findings: Sequence[Finding]) -> Seen:
        """What was seen says nothing of a failure where there was no row to fail on."""
        for table in {each.lock.relation for each in findings if each.fails and each.lock is not None}:
            if not self.trial.holds_rows(table):
                reason = f'no row could be made up for "{table.plain}" to fail on'
                self.notes.append(f"{_place(statement)}: {reason}")
                return replace(seen, skipped=reason)
        return seen

    def _go_on_without_rows(self, revision: str, statement: CapturedStatement) -> None:
        """Behind a failure that rows cause there is more to see; behind any other there is nothing."""
        if self.trial.empty() and self.trial.run(statement.sql).error is None:
            return
        self.trial.rollback()
        self.ended_at = revision


def _is_about(finding: Finding, revision: str, statement: CapturedStatement) -> bool:
    same = finding.place == statement.place and finding.sql == statement.sql
    return same and finding.revision == revision


def _place(statement: CapturedStatement) -> str:
    return f"{statement.place.file.name}:{statement.place.line}"


def _unseen(recordings: Sequence[Recording], judged: Collection[str]) -> Iterator[str]:
    for recording in recordings:
        if recording.revision not in judged:
            continue
        marks = {remark.mark for remark in recording.remarks}
        if marks & _INCOMPLETE:
            yield f"{recording.file.name} was not read to its end: the rest was not run"
        if marks & _DEPENDS:
            yield f"{recording.file.name} depends on data: other statements may run on yours"


# -- what no revision makes ------------------------------------------------------------------------------------------
def _implied(
    operations: Sequence[op.Operation], before: Schema, after: Schema
) -> Iterator[tuple[QualifiedName, Mapping[str, str], tuple[str, ...]]]:
    """Implied tables as they must have been before the statement: name, column → type, and key."""
    added = {(o.table, o.column.name) for o in operations if isinstance(o, op.AddColumn)}
    pointed_at = {
        target: dict(zip(targets or ("id",), types, strict=False))
        for target, targets, types in _keys(operations, after)
    }
    for name, table in {**after.tables, **before.tables}.items():
        if not table.implied:
            continue
        key = pointed_at.get(name, {})
        told = dict(_told_by_constraints(operations, name, after))
        # What the statement changes, it shows changed; a type that no statement tells is taken to be text.
        columns = {
            column.name: column.type or "text"
            for found in (after.table(name), before.table(name))
            for column in (found.columns if found is not None else ())
        }
        columns = {**told, **columns, **key}
        yield name, {c: type_ for c, type_ in columns.items() if (name, c) not in added}, tuple(key)


def _told_by_constraints(
    operations: Sequence[op.Operation], table: QualifiedName, schema: Schema
) -> Iterator[tuple[str, str]]:
    """Columns that a constraint or an index on the table needs, each with a type that will do."""
    for operation in operations:
        match operation:
            case op.AddConstraint(table=named, constraint=op.ForeignKey() as key) if named == table:
                found = schema.table(key.target)
                primary = found.primary_key if found is not None else None
                targets = key.target_columns or (primary.columns if primary is not None else ())
                for number, column in enumerate(key.columns):
                    at = schema.column(key.target, targets[number]) if number < len(targets) else None
                    yield column, at.type if at is not None and at.type else "bigint"
            case op.AddConstraint(table=named, constraint=constraint) if named == table:
                yield from ((column, "text") for column in constraint_columns(constraint))
            case op.CreateIndex(index=index) if index.table == table:
                yield from ((column, "text") for column in index_columns(index))
            case _:
                pass


def _keys(
    operations: Sequence[op.Operation], schema: Schema
) -> Iterator[tuple[QualifiedName, tuple[str, ...], list[str]]]:
    """Of each foreign key that is added: what it points to, there to which columns, and their types."""
    for operation in operations:
        match operation:
            case op.AddConstraint(table=table, constraint=op.ForeignKey() as key):
                found = [(table, key.columns, key)]
            case op.AddColumn(table=table, column=column):
                found = [
                    (table, (column.name,), k) for k in column.constraints if isinstance(k, op.ForeignKey)
                ]
            case op.CreateTable(table=table, columns=columns, constraints=constraints):
                found = [(table, k.columns, k) for k in constraints if isinstance(k, op.ForeignKey)]
                found += [
                    (table, (each.name,), k)
                    for each in columns
                    for k in each.constraints
                    if isinstance(k, op.ForeignKey)
                ]
            case _:
                continue
        for table, names, key in found:
            known = [schema.column(table, name) for name in names]
            yield key.target, key.target_columns, [column.type if column else "bigint" for column in known]
