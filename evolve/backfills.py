"""What an application declares to be backfilled, in a module of its own.

    from evolve.backfills import Backfill

    full_name = Backfill(
        table="users",
        set={"full_name": "first || ' ' || last"},
        where="full_name IS NULL",
    )

It is run by `evolve backfill run shop.backfills:full_name`, or by its name where the settings list the module. SQL is
checked on the server before the first batch, like that of the command line.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from evolve.backfill.spec import Spec
from evolve.backfill.transform import Mode, Transform
from evolve.backfill.works import UPDATE, Conflict, Delete, InsertSelect, JoinedUpdate, Work
from evolve.errors import Misuse
from evolve.sql.names import BadName, QualifiedName, parse_name, quote

_SOURCE = re.compile(
    r'((?:"(?:[^"]|"")+"|[^\s",()])+)(?:\s+(?:AS\s+)?("(?:[^"]|"")+"|[^\s.",()]+))?', re.IGNORECASE
)


class BadBackfill(Misuse):
    def __init__(self, name: str, what: str, fix: str) -> None:
        super().__init__(f'backfill "{name}" {what}', fix=fix)


@dataclass(frozen=True, slots=True, kw_only=True)
class Backfill:
    """One of five kinds of work: assignments alone update; with `source` they read a joined table; with `into` rows are
    copied; `delete` deletes them; a `function` computes what columns hold.

    Args:
        table: "users", "app.users" or '"Quoted"'.
        set: column → SQL expression over the row; with `into`, a column of the other table.
        where: SQL predicate of the rows that need work; what it still finds afterwards is counted as missed.
        key: columns to walk by; None takes the primary key.
        name: of the run; None takes that of the variable.
        mismatch: SQL predicate of a row that is wrong afterwards; None compares what is set.
        source: a joined table and its name in the expressions: "addresses a".
        join: SQL predicate that joins it, so that no row has two partners.
        lock_source: hold the rows that are read FOR SHARE; None does so where rows are copied.
        into: table to copy rows into.
        columns: that are copied as they are.
        on_conflict: "nothing" keeps what is in `into` already; "error" fails.
        delete: delete the rows that `where` finds.
        function: gets rows and returns them; see `backfill`.
        reads, writes: columns it is given, and columns it returns.
        mode, each, model, rate: see `backfill`.
        after: names of backfills that must be done before.
    """

    table: str
    set: Mapping[str, str] = field(default_factory=dict[str, str])
    where: str | None = None
    key: Sequence[str] | None = None
    name: str | None = None
    mismatch: str | None = None
    source: str | None = None
    join: str | None = None
    lock_source: bool | None = None
    into: str | None = None
    columns: Sequence[str] = ()
    on_conflict: Literal["error", "nothing"] = "error"
    delete: bool = False
    function: Callable[..., object] | None = None
    reads: Sequence[str] = ()
    writes: Sequence[str] = ()
    mode: Literal["guarded", "locked", "outbox"] = "guarded"
    each: bool = False
    model: str | None = None
    rate: float | None = None
    after: Sequence[str] = ()

    def spec(self, name: str, place: str = "") -> Spec:
        """
        Args:
            name: of the run, where the declaration has none.
            place: "package.module:variable", for workers that must find the function.

        Raises:
            BadBackfill: parts that do not go together, or are missing.
            BadName: of the table or one that it names.
        """
        name = self.name or name
        self._check(name)
        values = [(column, quote(column)) for column in self.columns] + list(self.set.items())
        return Spec(
            name=name,
            table=parse_name(self.table),
            assignments=tuple(values),
            where=self.where,
            key=None if self.key is None else tuple(self.key),
            mismatch=self.mismatch,
            work=self._work(place),
        )

    def _work(self, place: str) -> Work:
        if self.delete:
            return Delete()
        if self.into is not None:
            lock = True if self.lock_source is None else self.lock_source
            return InsertSelect(parse_name(self.into), Conflict(self.on_conflict), lock)
        if self.source is not None and self.join is not None:
            source, alias = parse_source(self.source)
            return JoinedUpdate(source, alias, self.join, bool(self.lock_source))
        if self.function is not None:
            return Transform(
                function=place or f"{self.function.__module__}:{self.function.__qualname__}",
                reads=tuple(self.reads),
                writes=tuple(self.writes),
                mode=Mode(self.mode),
                each=self.each,
                model=self.model,
                rate=self.rate,
            )
        return UPDATE

    def _check(self, name: str) -> None:
        given = {
            "set": bool(self.set),
            "source": self.source is not None,
            "join": self.join is not None,
            "into": self.into is not None,
            "columns": bool(self.columns),
            "on_conflict": self.on_conflict != "error",
            "lock_source": self.lock_source is not None,
            "delete": self.delete,
            "function": self.function is not None,
            "writes": bool(self.writes),
        }
        kinds = {
            "delete": set[str](),
            "into": {"set", "columns", "on_conflict", "lock_source"},
            "source": {"set", "join", "lock_source"},
            "function": {"writes"},
            "set": set[str](),
        }
        kind = next((each for each in kinds if given[each]), None)
        if kind is None:
            raise BadBackfill(name, "says nothing about what it does", f"give one of {', '.join(kinds)}")
        for part, is_given in given.items():
            if is_given and part != kind and part not in kinds[kind]:
                raise BadBackfill(name, f"has {part} beside {kind}", f"leave out {part} or {kind}")
        if kind == "source" and self.join is None:
            raise BadBackfill(name, "has a source without a join", 'give join="other.user_id = users.id"')
        if kind == "into" and not (self.set or self.columns):
            raise BadBackfill(name, "names no column to copy", "give columns, or set, or both")
        if kind == "source" and not self.set:
            raise BadBackfill(name, "has a source and sets nothing", "give set")
        twice = [column for column in self.columns if column in self.set]
        if twice:
            raise BadBackfill(name, f"gives {twice[0]} a value twice", "leave it out of columns or of set")


def parse_source(text: str) -> tuple[QualifiedName, str]:
    """A table and its name in a query, as SQL writes them: "addresses", "app.addresses a", "addresses AS a".

    Raises:
        BadName: it is none.
    """
    found = _SOURCE.fullmatch(text.strip())
    if found is None:
        raise BadName(text, 'a table and its name in the query ("addresses a")')
    table = parse_name(found[1])
    return table, table.name if found[2] is None else parse_name(found[2]).name


def backfill(
    *,
    table: str,
    reads: Sequence[str],
    writes: Sequence[str],
    mode: Literal["guarded", "locked", "outbox"] = "guarded",
    where: str | None = None,
    key: Sequence[str] | None = None,
    name: str | None = None,
    each: bool = False,
    model: str | None = None,
    rate: float | None = None,
    after: Sequence[str] = (),
) -> Callable[[Callable[..., object]], Backfill]:
    """Declare a function of rows a backfill.

    Args:
        reads: columns it is given, beside the key, as dictionaries.
        writes: columns it returns.
        mode: guarded computes without locks, and again where a row changed meanwhile; locked holds the rows; outbox is
            for effects outside the database: they are called after the commit, at least once.
        each: it takes one row, not a list of them.
        model: "package.module:name" of a SQLAlchemy class; the function then takes objects of it and a session.
        rate: rows per second at most.
    """

    def declared(function: Callable[..., object]) -> Backfill:
        return Backfill(
            table=table,
            function=function,
            reads=reads,
            writes=writes,
            mode=mode,
            where=where,
            key=key,
            name=name,
            each=each,
            model=model,
            rate=rate,
            after=after,
        )

    return declared
