"""From the models to changes: each difference becomes a wish for a recipe; where two readings are possible, a question.

Nothing is guessed. A column that is gone beside one that is new may be a rename or two changes, and one of the two
readings loses every value: a hint in the model says which, or an answer.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import assert_never

from evolve.errors import Misuse
from evolve.plan.change import Change
from evolve.plan.differences import (
    ColumnAdded,
    ColumnAltered,
    ColumnDropped,
    ConstraintDropped,
    Difference,
    ForeignKeyAdded,
    IndexAdded,
    IndexDropped,
    Other,
    TableAdded,
    TableDropped,
    UniqueAdded,
)
from evolve.plan.parameters import ColumnName
from evolve.plan.recipes import find_recipe
from evolve.sql.names import QualifiedName
from evolve.sql.parse import ExpressionNotRead, expression

DROPPED = "dropped"  # the answer that something was not renamed


@dataclass(frozen=True, slots=True)
class Question:
    """What only a person can know.

    Args:
        about: "users.name" or "users", the column or table it is about.
        text: the question, whole.
        choices: answer → what it means, the likeliest first; empty where SQL is asked for.
        option: of `evolve plan auto` that gives the answer, as it would be typed for the first choice.
    """

    about: str
    text: str
    choices: Mapping[str, str]
    option: str


@dataclass(frozen=True, slots=True)
class Answers:
    """What is known beside the models.

    Args:
        renamed: "users.name" → "full_name", also "users" → "people"; `DROPPED` where it is no rename.
        values: "users.currency" → SQL that gives its value in rows that have none.
    """

    renamed: Mapping[str, str] = field(default_factory=dict)
    values: Mapping[str, str] = field(default_factory=dict)


class NotAsked(Misuse):
    def __init__(self, option: str, about: str, asked: Sequence[str]) -> None:
        super().__init__(
            f'nothing is asked about "{about}", which {option} answers',
            fix=f"{option} may answer for {', '.join(asked)}" if asked else "leave it out",
        )


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the differences come to.

    Args:
        changes: one after the other, in an order in which they can be planned.
        ordinary: what an ordinary revision does: no recipe is for it, or none is needed.
        questions: what has to be answered first.
    """

    changes: tuple[Change, ...]
    ordinary: tuple[str, ...]
    questions: tuple[Question, ...]


def wishes(differences: Sequence[Difference], answers: Answers) -> Wishes:
    """Read `differences`, with what `answers` and the hints in the models say.

    Raises:
        NotAsked: an answer to no question.
    """
    reader = _Reader(differences, answers)
    for about in answers.renamed:
        if about not in reader.about:
            raise NotAsked("--renamed", about, reader.about)
    for about in answers.values:
        if about not in reader.valued:
            raise NotAsked("--value", about, reader.valued)
    changes = [change for difference in differences for change in reader.read(difference)]
    return Wishes(tuple(dict.fromkeys(changes)), tuple(reader.ordinary), tuple(reader.questions))


class _Reader:
    def __init__(self, differences: Sequence[Difference], answers: Answers) -> None:
        self.differences = differences
        self.answers = answers
        self.ordinary: list[str] = []
        self.questions: list[Question] = []
        self.added = [d for d in differences if isinstance(d, ColumnAdded)]
        self.dropped = [d for d in differences if isinstance(d, ColumnDropped)]
        self.tables_added = [d for d in differences if isinstance(d, TableAdded)]
        self.tables_dropped = [d for d in differences if isinstance(d, TableDropped)]
        # (table, old name) → new name, and the same of tables
        self.renamed = dict(self._renamed_columns())
        self.renamed_tables = dict(self._renamed_tables())
        # A change carries the indexes and constraints of its column along: they are no wishes of their own.
        self.carried = {
            (table, name) for (table, old), new in self.renamed.items() if new for name in (old, new)
        } | {(d.table, d.name) for d in self.dropped}
        # What hangs on a column that may be a renamed one waits for the answer.
        asked = {question.about: question.choices for question in self.questions}
        self.carried |= {
            (d.table, name) for d in self.dropped for name in asked.get(f"{d.table.plain}.{d.name}", ())
        }

    @property
    def about(self) -> list[str]:
        """What may have been renamed."""
        columns = [f"{d.table.plain}.{d.name}" for d in self.dropped]
        return columns + [d.table.plain for d in self.tables_dropped]

    @property
    def valued(self) -> list[str]:
        """What may need a value."""
        return [
            f"{d.table.plain}.{d.column.name}"
            for d in self.differences
            if isinstance(d, ColumnAdded) or (isinstance(d, ColumnAltered) and d.not_null)
        ]

    # -- renames --------------------------------------------------------------------------------------------
    def _renamed_columns(self) -> Iterator[tuple[tuple[QualifiedName, str], str | None]]:
        """Each dropped column, and the name it lives on under; None: it is dropped, or that is not known yet."""
        hinted = {
            (added.table, added.column.hints["renamed_from"]): added.column.name
            for added in self.added
            if "renamed_from" in added.column.hints
        }
        for dropped in self.dropped:
            key = (dropped.table, dropped.name)
            about = f"{dropped.table.plain}.{dropped.name}"
            spoken_for = {new for (table, _), new in hinted.items() if table == dropped.table}
            free = [
                added.column.name
                for added in self.added
                if added.table == dropped.table and added.column.name not in spoken_for
            ]
            if key in hinted:
                yield key, hinted[key]
            elif about in self.answers.renamed:
                answer = self.answers.renamed[about]
                yield key, None if answer == DROPPED else answer
            else:
                if free:
                    self._ask_renamed(about, free, dropped.table)
                yield key, None

    def _renamed_tables(self) -> Iterator[tuple[QualifiedName, QualifiedName | None]]:
        hinted = {
            added.hints["renamed_from"]: added.table
            for added in self.tables_added
            if "renamed_from" in added.hints
        }
        for dropped in self.tables_dropped:
            about = dropped.table.plain
            same_schema = [a.table for a in self.tables_added if a.table.schema == dropped.table.schema]
            if dropped.table.name in hinted or about in hinted:
                yield dropped.table, hinted.get(about, hinted.get(dropped.table.name))
            elif about in self.answers.renamed:
                answer = self.answers.renamed[about]
                yield (
                    dropped.table,
                    None
                    if answer == DROPPED
                    else QualifiedName(answer.rpartition(".")[2], dropped.table.schema),
                )
            else:
                if same_schema:
                    self._ask_renamed(about, [table.name for table in same_schema], None)
                yield dropped.table, None

    def _ask_renamed(self, about: str, names: Sequence[str], table: QualifiedName | None) -> None:
        prefix = "" if table is None else f"{table.plain}."
        choices = {name: f"it is called {prefix}{name} now: its values are kept" for name in names}
        choices[DROPPED] = "it is dropped, and its values with it"
        new = ", ".join(f"{prefix}{name}" for name in names)
        self.questions.append(
            Question(
                about,
                f"{about} is gone from the models, and {new} is new there: was it renamed?",
                choices,
                f"--renamed {about}={names[0]}",
            )
        )

    # -- one difference -------------------------------------------------------------------------------------
    def read(self, difference: Difference) -> Iterator[Change]:
        match difference:
            case ColumnAdded():
                yield from self._column_added(difference)
            case ColumnDropped(table, name):
                yield from self._column_dropped(table, name)
            case ColumnAltered():
                yield from self._column_altered(difference)
            case TableAdded(table):
                if table not in self.renamed_tables.values():
                    self.ordinary.append(f'create table "{table.plain}": nothing uses it yet')
            case TableDropped(table):
                new = self.renamed_tables[table]
                if new is not None:
                    yield self._change("rename-table", table=table, to=new.name)
                elif not self._asked(table.plain):
                    yield self._change("drop-table", table=table)
            case IndexAdded():
                yield from self._index_added(difference)
            case IndexDropped(table, name, columns):
                if not self._is_carried(table, columns):
                    yield self._change("drop-index", table=QualifiedName(name, table.schema))
            case UniqueAdded(table, name, columns):
                if not self._is_carried(table, columns):
                    yield self._change("add-unique", table=table, columns=columns, name=name)
            case ForeignKeyAdded():
                yield from self._foreign_key_added(difference)
            case ConstraintDropped(table, name, columns):
                if not self._is_carried(table, columns):
                    yield self._change("drop-constraint", table=table, constraint=name)
            case Other(table, text, columns):
                if table is None or not columns or not self._is_carried(table, columns):
                    self.ordinary.append(text)
            case _:
                assert_never(difference)

    def _column_added(self, added: ColumnAdded) -> Iterator[Change]:
        table, column = added.table, added.column
        old = next(
            (old for (of, old), new in self.renamed.items() if of == table and new == column.name), None
        )
        if old is not None:
            yield self._change("rename-column", column=ColumnName(table, old), to=column.name)
            return
        if any(column.name in question.choices for question in self.questions):
            return  # what it is depends on the answer
        name = ColumnName(table, column.name)
        if column.computed is not None:
            yield self._change(
                "add-generated-column", column=name, type=column.type, expression=column.computed
            )
        elif column.identity:
            self.ordinary.append(
                f'identity column "{name.plain}": it rewrites the table; no recipe does it, see: evolve explain '
                "add-column-identity"
            )
        elif not column.not_null:
            yield self._change("add-column", column=name, type=column.type, default=column.default)
        else:
            value = self.answers.values.get(name.plain) or column.hints.get("up") or _constant(column.default)
            if value is None:
                self._ask_value(name, column.default)
                return
            yield self._change(
                "add-required-column", column=name, type=column.type, up=value, default=column.default
            )

    def _column_dropped(self, table: QualifiedName, name: str) -> Iterator[Change]:
        about = f"{table.plain}.{name}"
        if self.renamed[table, name] is None and not self._asked(about):
            yield self._change("drop-column", column=ColumnName(table, name))

    def _column_altered(self, altered: ColumnAltered) -> Iterator[Change]:
        column = altered.column
        name = ColumnName(altered.table, column.name)
        if altered.type is not None:
            yield self._change(
                "change-type",
                column=name,
                type=altered.type,
                up=column.hints.get("up"),
                down=column.hints.get("down"),
            )
        if altered.not_null is True:
            # A hint speaks of the change it stands beside: of a new type where there is one.
            hint = column.hints.get("fill") or (column.hints.get("up") if altered.type is None else None)
            fill = self.answers.values.get(name.plain) or hint
            yield self._change("set-not-null", column=name, fill=fill)
        elif altered.not_null is False:
            yield self._change("drop-not-null", column=name)
        if altered.default == "":
            yield self._change("drop-default", column=name)
        elif altered.default is not None:
            yield self._change("set-default", column=name, default=altered.default)

    def _index_added(self, added: IndexAdded) -> Iterator[Change]:
        if self._is_carried(added.table, added.columns):
            return
        yield self._change(
            "add-index",
            table=added.table,
            on=", ".join(added.keys),
            name=added.name,
            unique=added.unique or None,
            where=added.where,
            using=added.using,
        )

    def _foreign_key_added(self, added: ForeignKeyAdded) -> Iterator[Change]:
        if self._is_carried(added.table, added.columns):
            return
        pairs = tuple(zip(added.columns, added.referenced, strict=True))
        yield self._change(
            "add-foreign-key",
            column=ColumnName(added.table, pairs[0][0]),
            references=ColumnName(added.references, pairs[0][1]),
            also=pairs[1:] or None,
            name=added.name,
            on_delete=added.on_delete and added.on_delete.lower(),
            on_update=added.on_update and added.on_update.lower(),
        )

    # -- parts ----------------------------------------------------------------------------------------------
    def _change(self, kind: str, **values: object) -> Change:
        recipe = find_recipe(kind)
        if recipe is None:
            raise LookupError(kind)
        change: Change = recipe.make({name: value for name, value in values.items() if value is not None})
        return change

    def _asked(self, about: str) -> bool:
        return any(question.about == about for question in self.questions)

    def _ask_value(self, name: ColumnName, default: str | None) -> None:
        because = f"; its default {default} is a function call" if default is not None else ""
        self.questions.append(
            Question(
                name.plain,
                f"{name.plain} is new and NOT NULL{because}: which value do rows get that exist, and those that old "
                "code writes?",
                {},
                f"--value \"{name.plain}='…'\"",
            )
        )

    def _is_carried(self, table: QualifiedName, columns: Iterable[str]) -> bool:
        return any((table, column) in self.carried for column in columns)


def _constant(default: str | None) -> str | None:
    if default is None:
        return None
    try:
        return default if expression(default).constant else None
    except ExpressionNotRead:
        return None
