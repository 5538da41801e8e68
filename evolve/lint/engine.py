"""Runs the rules over recorded revisions, step by step, beside a replay of the schema."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import get_args

from evolve.compat.models import Models
from evolve.lint.advance import advance, enter, only_new, open_revision, release, what_is_new
from evolve.lint.databases import apart
from evolve.lint.facts import Facts
from evolve.lint.history import OLDEST_SUPPORTED, History
from evolve.lint.model import Coverage, Finding
from evolve.lint.needs import Need, needs
from evolve.lint.rule import Rule
from evolve.lint.sizes import Work, weigh, work_of
from evolve.lint.thresholds import Thresholds
from evolve.lint.undo import Undo, lasting
from evolve.sql import operations as op
from evolve.sql.names import QualifiedName
from evolve.sql.parse import parse, split, tokens
from evolve.sql.replay import apply
from evolve.sql.routines import remember, with_calls
from evolve.sql.schema import Schema
from evolve.sql.steps import Mark, Recording, Remark, Step

INCOMPLETE = frozenset({Mark.RAISED, Mark.TIMED_OUT, Mark.NOT_LOADED})
_DEPENDS = frozenset({Mark.READ_ROWS, Mark.READ_CATALOG})
_UNSEEN = frozenset({Mark.UNREACHED, Mark.UNKNOWN_OPERATION})


@dataclass(frozen=True, slots=True)
class Result:
    """Findings in the order of revisions, then of lines.

    Args:
        needs: what code of the next release may use, still there when its own revision ends.
        lasting: those still there at the end.
        in_use: tables that traffic uses at the end.
    """

    findings: tuple[Finding, ...]
    coverage: Coverage
    needs: tuple[Need, ...] = ()
    lasting: tuple[Need, ...] = ()
    in_use: frozenset[QualifiedName] = frozenset()


def check(
    recordings: Sequence[Recording],
    rules: Sequence[Rule],
    *,
    judged: Collection[str] | None = None,
    schema: Schema | None = None,
    postgres_version: int = OLDEST_SUPPORTED,
    together: bool = True,
    released: Collection[str] = (),
    old_models: Models | None = None,
    new_models: Models | None = None,
    facts: Facts | None = None,
    thresholds: Thresholds | None = None,
    required_columns: tuple[str, ...] = ("id",),
    premade: frozenset[str] = frozenset(),
) -> Result:
    """Replay `recordings` and judge those that are asked about. A rule that raises is a bug and is not caught.

    Args:
        recordings: in the order in which they are applied.
        rules: those that are asked.
        judged: ids of the revisions that are asked about; all of them unless given. The others are in use.
        schema: before the first of them; it is changed to the one after the last. Empty unless given. Where the
            statements go to several databases, each has a copy of its own.
        postgres_version: the oldest major version that the revisions must run on.
        together: the judged ones are not applied yet and reach the database in one rollout, so that a table made
            in one is new in the next; else each is judged as if all before it were in use.
        released: ids of judged ones that databases may have already: what they make is in use by the next.
        old_models: those of the release that runs before the judged revisions; None where they are not known.
        new_models: those of the release that goes with the schema after them.
        facts: sizes and write rates of a live database, which findings are weighed by.
        required_columns: those that the project wants every table to have.
        premade: tables that the settings name partitions ahead for.
        thresholds: where its small tables end and its hot ones begin.
    """
    several = apart(recordings, {})
    if several:
        return _joined(
            recordings,
            [
                check(
                    of_one,
                    rules,
                    judged=judged,
                    schema=schema.copy() if schema is not None else None,
                    postgres_version=postgres_version,
                    together=together,
                    released=released,
                    old_models=old_models,
                    new_models=new_models,
                    facts=facts,
                    thresholds=thresholds,
                    required_columns=required_columns,
                    premade=premade,
                )
                for of_one, _ in several
            ],
        )
    checking = Checking(
        rules,
        judged=judged,
        schema=schema,
        postgres_version=postgres_version,
        together=together,
        released=released,
        old_models=old_models,
        new_models=new_models,
        facts=facts,
        thresholds=thresholds,
        required_columns=required_columns,
        premade=premade,
    )
    for recording in recordings:
        checking.take(recording)
    return checking.result()


class Checking:
    """What `check` does for one database, one recording at a time; its arguments are those of `check`."""

    def __init__(
        self,
        rules: Sequence[Rule],
        *,
        judged: Collection[str] | None = None,
        schema: Schema | None = None,
        postgres_version: int = OLDEST_SUPPORTED,
        together: bool = True,
        released: Collection[str] = (),
        old_models: Models | None = None,
        new_models: Models | None = None,
        facts: Facts | None = None,
        thresholds: Thresholds | None = None,
        required_columns: tuple[str, ...] = ("id",),
        premade: frozenset[str] = frozenset(),
    ) -> None:
        self._history = History(
            schema if schema is not None else Schema(),
            postgres_version,
            old_models=old_models,
            new_models=new_models,
            facts=facts,
            thresholds=thresholds or Thresholds(),
            required_columns=required_columns,
            premade=premade,
        )
        self._judged, self._together, self._released = judged, together, released
        self._asked = _by_operation(rules)
        self._of_remarks = [rule for rule in rules if type(rule).check_remark is not Rule.check_remark]
        self._looking_back = [rule for rule in rules if type(rule).finish is not Rule.finish]
        self._findings: list[Finding] = []
        self._needed: list[Need] = []
        self._seen: list[Recording] = []
        self._statements = self._read = 0

    def take(self, recording: Recording) -> None:
        """Replay what comes next, and judge it where it is asked about."""
        history = self._history
        if not recording.whole:
            history.schema.gaps.add("revision")
        if self._judged is not None and recording.revision not in self._judged:
            for statement in recording.statements:
                for operation in with_calls(parse(statement.sql), history.schema.functions):
                    apply(history.schema, operation)
            return
        self._seen.append(recording)
        released = self._together and recording.revision in self._released
        new_before = what_is_new(history) if released else {}
        read_steps = list(steps_of(recording, history.schema))
        steps = [step for step, _ in read_steps]
        clauses = [together for _, together in read_steps]
        self._statements += len(recording.statements)
        unread = {id(step.statement) for step in steps if _is_gap(step.operation)}
        self._read += len(recording.statements) - len(unread)
        self._findings += _check_remarks(recording, self._of_remarks)
        added: list[Need] = []
        self._findings += _check_steps(recording, steps, clauses, self._asked, history, added)
        self._needed += (need for need in added if need.stands(history.schema))
        only_new(history, new_before)
        if not self._together:
            self._findings += _finish(self._looking_back, history)
            release(history)

    def result(self) -> Result:
        """Asked once, after the last."""
        history = self._history
        if self._together:
            self._findings += _finish(self._looking_back, history)
        order = {recording.revision: number for number, recording in enumerate(self._seen)}
        self._findings.sort(key=lambda finding: (order[finding.revision], finding.place.line))
        return Result(
            _once(self._findings),
            _coverage(self._seen, self._statements, self._read),
            tuple(self._needed),
            tuple(need for need in self._needed if need.stands(history.schema)),
            frozenset(name for name in history.schema.tables if history.in_use(name)),
        )


def _joined(recordings: Sequence[Recording], results: Sequence[Result]) -> Result:
    """What was found in each of several databases."""
    order = {recording.revision: number for number, recording in enumerate(recordings)}
    findings = sorted(
        chain.from_iterable(result.findings for result in results),
        key=lambda finding: (order[finding.revision], finding.place.line),
    )
    return Result(
        _once(findings),
        # Remarks are about a file, and every database has them.
        replace(
            results[0].coverage,
            statements=sum(result.coverage.statements for result in results),
            read=sum(result.coverage.read for result in results),
        ),
        tuple(dict.fromkeys(chain.from_iterable(result.needs for result in results))),
        tuple(dict.fromkeys(chain.from_iterable(result.lasting for result in results))),
        frozenset(chain.from_iterable(result.in_use for result in results)),
    )


def _once(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Without what a loop in a revision has a rule say again, word for word, of the same line."""
    told: dict[tuple[object, ...], Finding] = {}
    for finding in findings:
        told.setdefault((finding.rule, finding.revision, finding.place, finding.message), finding)
    return tuple(told.values())


def _by_operation(rules: Sequence[Rule]) -> Mapping[type, tuple[Sequence[Rule], Sequence[Rule]]]:
    """The rules whose `check` looks at an operation, by its class, and those of them that may speak for others."""
    checking = [rule for rule in rules if type(rule).check is not Rule.check]
    found: dict[type, tuple[Sequence[Rule], Sequence[Rule]]] = {}
    for kind in get_args(op.Operation):
        looking = [rule for rule in checking if not rule.looks_at or kind in rule.looks_at]
        found[kind] = looking, [rule for rule in looking if type(rule).speaks_for is not Rule.speaks_for]
    return found


def steps_of(recording: Recording, schema: Schema) -> Iterator[tuple[Step, tuple[op.Operation, ...]]]:
    """Every step with the operations that the server runs as one with it.

    Calls of functions that were made before are followed; what a program does comes one after another.
    """
    functions = dict(schema.functions)
    for statement in recording.statements:
        for line, clauses in _apart(statement.sql):
            operations = with_calls(clauses, functions)
            for operation in operations:
                remember(functions, operation)
            together = () if isinstance(clauses[0], op.DoBlock) else clauses
            for operation in operations:
                yield Step(operation, statement, recording.revision, line), together


def _apart(sql: str) -> Iterator[tuple[int, tuple[op.Operation, ...]]]:
    """The operations of each statement in `sql`, with the line that it begins in."""
    whole = parse(sql)
    parts = split(sql) if ";" in sql else ()
    single = [parse(part) for part in parts]
    # The splitter knows less than the parser: it cuts function bodies in SQL-standard form.
    if tuple(chain.from_iterable(single)) != whole:
        parts, single = (sql,), [whole]
    at = 0
    for part, operations in zip(parts, single, strict=True):
        at = sql.index(part, at)
        if operations:
            yield sql.count("\n", 0, at) + _first_line(part), operations
        at += len(part)


def _first_line(sql: str) -> int:
    """Where the statement begins, behind comments."""
    words = sql.lstrip()
    if not words.startswith(("--", "/*")):
        return sql.count("\n", 0, len(sql) - len(words)) + 1
    begins = (begin for kind, begin, _ in tokens(sql) if not kind.endswith("COMMENT"))
    return sql.encode("utf-8", "surrogateescape").count(b"\n", 0, next(begins, 0)) + 1


def _check_remarks(recording: Recording, rules: Sequence[Rule]) -> Iterator[Finding]:
    for remark in _told_once(recording.remarks):
        for rule in rules:
            yield from rule.check_remark(remark, recording)


def _check_steps(
    recording: Recording,
    steps: Sequence[Step],
    clauses: Sequence[tuple[op.Operation, ...]],
    rules: Mapping[type, tuple[Sequence[Rule], Sequence[Rule]]],
    history: History,
    added: list[Need],
) -> list[Finding]:
    open_revision(history, recording, steps)
    undo = Undo(history)
    found: list[Finding] = []
    for step, siblings in zip(steps, clauses, strict=True):
        undo.enter(step)
        enter(history, step, siblings)
        asked, speaking = rules[type(step.operation)]
        silent = {name for rule in speaking for name in rule.speaks_for(step, history)}
        for rule in asked:
            if rule.name not in silent and not (history.gated and rule.answered_by_gate):
                told = rule.check(step, history)
                if history.facts is not None:
                    told = _weighed(told, history, step)
                found.extend(lasting(told, step) if step.statement.undone else told)
        if not step.statement.undone:
            added.extend(needs(step, history))
        advance(history, step)
    undo.enter(None)
    return found


def _told_once(remarks: Sequence[Remark]) -> Iterator[Remark]:
    """Without operations that were not reached because the reading ended, or that are told of as unknown already."""
    ended = min((remark.place.line for remark in remarks if remark.mark in INCOMPLETE), default=None)
    unknown = {remark.place.line for remark in remarks if remark.mark is Mark.UNKNOWN_OPERATION}
    for remark in remarks:
        behind = ended is not None and remark.place.line >= ended
        if remark.mark is not Mark.UNREACHED or not (behind or remark.place.line in unknown):
            yield remark


def _finish(rules: Sequence[Rule], history: History) -> Iterator[Finding]:
    for rule in rules:
        yield from _weighed(rule.finish(history), history)


def _weighed(findings: Iterable[Finding], history: History, step: Step | None = None) -> Iterator[Finding]:
    """The findings of one rule, by the sizes of the tables where they are known."""
    if history.facts is None:
        yield from findings
        return
    work: Work | None = None
    for finding in findings:
        work = work or (Work() if step is None else work_of(step, history))
        yield weigh(finding, work, history.facts, history.thresholds)


def _is_gap(operation: op.Operation) -> bool:
    match operation:
        case op.Unread():
            return True
        case op.DoBlock(gaps=gaps):
            return bool(gaps)
        case _:
            return False


def _coverage(recordings: Sequence[Recording], statements: int, read: int) -> Coverage:
    marks = [{remark.mark for remark in recording.remarks} for recording in recordings]
    return Coverage(
        revisions=len(recordings),
        statements=statements,
        read=read,
        data_dependent=sum(not found.isdisjoint(_DEPENDS) for found in marks),
        incomplete=sum(not found.isdisjoint(INCOMPLETE) for found in marks),
        unseen=sum(found.isdisjoint(INCOMPLETE) and not found.isdisjoint(_UNSEEN) for found in marks),
    )
