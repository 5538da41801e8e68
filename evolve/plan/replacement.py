"""Columns that take the place of others: the road from one shape of a row to another while both are written.

Recipes say what the shapes are; everything between is the same for all of them: new columns and a trigger, batches,
indexes and constraints, the switch, quarantine for the old columns, and the way back from each.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from evolve.backfill.spec import Spec
from evolve.plan import sync
from evolve.plan.carry import (
    Carried,
    Carry,
    add_checks,
    add_uniques_and_foreign_keys,
    build_indexes,
    comment_and_grants,
    drop_indexes,
    drop_uniques_and_foreign_keys,
    validate,
    validate_constraint,
)
from evolve.plan.change import Change
from evolve.plan.lost_rows import lost
from evolve.plan.model import (
    OLD_CODE_GONE,
    PURGE_APPROVED,
    BackfillDone,
    ColumnNotNull,
    Gate,
    LostRows,
    NoOlderTransaction,
    NoRows,
    Part,
    Phase,
    TriggerArmed,
    Validated,
    ValidIndex,
    Word,
    function_name,
    quarantine_name,
    trigger_name,
)
from evolve.plan.sync import Side
from evolve.plan.target import NoKey, Target, known_column, refuse_family, refuse_later_triggers
from evolve.sql.locks import LockMode
from evolve.sql.names import QualifiedName, quote, shorten
from evolve.sql.parse import rename_in_definition, substitute_in_expression
from evolve.sql.statements import Statement

_AX = LockMode.ACCESS_EXCLUSIVE


@dataclass(frozen=True, slots=True)
class NewColumn:
    """A column that is added.

    Args:
        side: its part in the sync.
        collation: SQL of a collation that is not the type's own.
        not_null: it becomes NOT NULL.
    """

    side: Side
    collation: str | None = None
    not_null: bool = False


@dataclass(frozen=True, slots=True)
class Replacement:
    """The road of one change.

    Args:
        change: whose road it is.
        target: the table before it.
        old: the columns that go; `fill` makes each of the new ones, and only of them.
        new: the columns that come; `fill` makes each of the old ones, and only of them. Where no column has one, the
            new one holds what the old one does.
        wish: of the change, for titles: "users.name to full_name".
        carried: what hangs on an old column and is made again on a new one.
        comments: new columns are commented like the old one.
        on_conflict: of the trigger.
        swap: at contract the one new column takes the name of the one old column.
        before: revisions of expand that come before the columns.
        added_checks: (name, predicate) of checks on an old column that `before` adds.
        helpers: functions that the fills call: CREATE OR REPLACE, and their names.
        deploy: instructions of switch, where they are other than usual.
        called: what the old shape is called, where it is no column of its own.
        old_code: what is confirmed before contract.
        loses_at_purge: what only the old columns hold.
        accept_lost: rows that may hold such a thing when they are purged; None: that is not counted.
        own: what names are made of, where the change has several such roads; else the change's id.
    """

    change: Change
    target: Target
    old: tuple[Side, ...]
    new: tuple[NewColumn, ...]
    wish: str
    carried: Carry | None = None
    comments: bool = False
    on_conflict: sync.OnConflict = "raise"
    swap: bool = False
    before: tuple[Part, ...] = ()
    added_checks: tuple[tuple[str, str], ...] = ()
    helpers: tuple[tuple[str, Statement], ...] = ()
    deploy: tuple[str, ...] = ()
    called: str | None = None
    old_code: str = ""
    loses_at_purge: str | None = None
    accept_lost: int | None = None
    own: str | None = None

    def refuse(self) -> None:
        """Raise what every such road refuses."""
        refuse_family(self.target)
        if not self.target.key:
            raise NoKey(self.target)
        refuse_later_triggers(self.target, self.trigger)

    def phases(self) -> tuple[Phase, ...]:
        return (
            self.expand(),
            self.backfill(),
            self.validate(),
            self.switch(),
            self.contract(),
            self.purge(),
        )

    # -- names ----------------------------------------------------------------------------------------------
    @property
    def id(self) -> str:
        return self.own or self.change.id

    @property
    def table(self) -> QualifiedName:
        return self.target.table

    @property
    def trigger(self) -> str:
        return trigger_name(self.id)

    @property
    def function(self) -> QualifiedName:
        return function_name(self.id)

    @property
    def sides(self) -> tuple[Side, ...]:
        return tuple(column.side for column in self.new)

    @property
    def copies(self) -> bool:
        """The one new column holds what the one old column does."""
        return all(side.fill is None for side in (*self.old, *self.sides))

    def _say(self, copied: str, made: str) -> str:
        """What is said of columns that are equal, and of such that are made of each other."""
        return copied if self.copies else made

    def quarantine(self, column: str) -> str:
        return quarantine_name(self.id if len(self.old) == 1 else f"{self.id}_{column}")

    def _check(self, column: str) -> str:
        return shorten("evolve", self.table.name, column, "not_null")

    @property
    def _olds(self) -> str:
        return self.called or _and(side.column for side in self.old)

    @property
    def _news(self) -> str:
        if self.swap:
            return f"{self._olds} as {self.sides[0].type}"
        return _and(side.column for side in self.sides)

    def _alter(self, action: str, why: str) -> Statement:
        return Statement(f"ALTER TABLE {self.table}\n    {action}", _AX, why)

    # -- what is equal --------------------------------------------------------------------------------------
    @property
    def armed(self) -> TriggerArmed:
        return TriggerArmed(self.table, self.trigger)

    @property
    def divergent(self) -> NoRows:
        """Rows of which neither shape is what it would be made of the other."""
        predicate = disagreement(self.old, self.sides)
        missing = [f"{quote(column.side.column)} IS NULL" for column in self.new if column.not_null]
        if missing and not self.copies:
            predicate = " OR ".join([f"({predicate})", *missing])
        same = self._say(
            f"{self._news} differs from {self._olds}", f"{self._news} and {self._olds} do not agree"
        )
        return NoRows(self.table, predicate, same)

    @property
    def spec(self) -> Spec:
        return Spec(
            self.id,
            self.table,
            tuple((side.column, _value(side, self.old)) for side in self.sides),
            where=self.divergent.predicate,
            key=self.target.other_key,
            mismatch=self.divergent.predicate,
        )

    def published_notes(self, *, renames: bool = True) -> tuple[str, ...]:
        """What subscribers need.

        Args:
            renames: at contract the old columns go into quarantine.
        """
        if not self.target.published:
            return ()
        news = ", ".join(f"{quote(column.side.column)} {_type(column)}" for column in self.new)
        needs = f"its subscribers need {news} before expand"
        if renames:
            olds = ", ".join(f"{quote(self.quarantine(side.column))} {side.type}" for side in self.old)
            needs += f", and {olds} before contract"
            empty = [
                quote(side.column)
                for side in self.old
                if not self.swap and known_column(self.target, side.column).not_null
            ]
            if empty:  # nothing comes under their names any more
                needs += f", with {', '.join(empty)} no longer NOT NULL there"
        note = f"{self.table.plain} is published by {', '.join(self.target.published)}: {needs}, else they stop with "
        note += "an error."
        if renames and self.swap:
            note += (
                f" From contract on they get values of {self.sides[0].type} for {quote(self.old[0].column)}, which its "
                "type there must take."
            )
        return (note,)

    # -- phases ---------------------------------------------------------------------------------------------
    def expand(self) -> Phase:
        added = ",\n    ".join(f"ADD COLUMN {quote(c.side.column)} {_type(c)}" for c in self.new)
        statements = [
            sync.create_schema(),
            *(sync.create_function(sql) for sql, _ in self.helpers),
            sync.create_function(self.two_way()),
            self._alter(
                added,
                "nullable columns without a default change only the catalog; no row is read or written"
                if len(self.new) > 1
                else "a nullable column without a default changes only the catalog; no row is read or written",
            ),
            *(
                self._alter(
                    f"ALTER COLUMN {quote(side.column)} SET DEFAULT {side.default}",
                    "catalog only; set apart from ADD COLUMN, so that rows which exist stay null until they are "
                    "backfilled",
                )
                for side in self.sides
                if side.default is not None
            ),
            *sync.create_trigger(self.table, self.trigger, self.function),
            *(
                self._add_not_null(
                    column, "NOT VALID reads no row; the trigger is there already, so no writer can break it"
                )
                for column in self.new
                if column.not_null
            ),
            *(add_checks(self.carried) if self.carried else ()),
            *self._comments_and_grants(),
        ]
        undo = [
            sync.drop_trigger(self.table, self.trigger),
            self._alter(
                ",\n    ".join(f"DROP COLUMN {quote(side.column)}" for side in self.sides),
                self._say(
                    "catalog only; the old column holds every value",
                    "catalog only; what code has written is in the old shape too",
                ),
            ),
            sync.drop_function(self.function),
            *(drop for _, drop in self.helpers),
        ]
        return Phase(
            "expand",
            f"{self._news} {_are(self.sides)} there beside {self._olds}, and a trigger keeps "
            f"{self._say('the two equal', 'them in step')} on every write",
            (*self.before, Part(self.wish, tuple(statements), tuple(undo))),
            instructions=(
                "Code that runs now goes on as it is."
                if self.swap
                else f"Code that runs now goes on as it is; code that writes {self._news} may start.",
            ),
            go_back=f"downgrade the expand revision: trigger, function and new {self._say('column', 'columns')} go",
        )

    def backfill(self) -> Phase:
        return Phase(
            "backfill",
            self._say(f"{self._news} equals {self._olds} in every row", f"every row has {self._news}"),
            gates=(self.armed, NoOlderTransaction(self.table, self.trigger)),
            backfills=(self.spec,),
            instructions=(f"Run: evolve backfill run {self.id}",),
            go_back="stop the backfill; rows filled so far do no harm",
        )

    def validate(self) -> Phase:
        parts: list[Part] = []
        if self.carried and (self.carried.indexes or self.carried.foreign_keys):
            parts.append(
                Part(
                    f"indexes and keys for {self.table.plain}.{self._news}",
                    (*build_indexes(self.carried), *add_uniques_and_foreign_keys(self.carried)),
                    (*drop_uniques_and_foreign_keys(self.carried), *drop_indexes(self.carried)),
                    fills=(self.spec,),
                )
            )
        required = [column for column in self.new if column.not_null]
        proofs = [
            *(validate_constraint(self.table, self._check(column.side.column)) for column in required),
            *(validate(self.carried) if self.carried else ()),
        ]
        undo: list[Statement] = []
        for column in required:
            name = quote(column.side.column)
            check = quote(self._check(column.side.column))
            proofs += [
                self._alter(
                    f"ALTER COLUMN {name} SET NOT NULL", "the validated check proves it, so no row is read"
                ),
                self._alter(
                    f"DROP CONSTRAINT {check}",
                    "catalog only; a statement of its own, since together with SET NOT NULL the table would be "
                    "scanned",
                ),
            ]
            undo += [
                self._add_not_null(column, "NOT VALID reads no row"),
                self._alter(f"ALTER COLUMN {name} DROP NOT NULL", "catalog only"),
            ]
        if proofs or not parts:
            name = f"{self.table.plain}.{self._news}"
            title = (
                f"what {name} promises"
                if proofs
                else self._say(f"every row has {name}", f"what {name} holds")
            )
            # One look at every row is enough for the phase; a new database has seed rows, which only a gate fills.
            parts.append(Part(title, tuple(proofs), tuple(undo), fills=() if parts else (self.spec,)))
        return Phase(
            "validate",
            self._say(
                f"{self._news} has the same indexes and constraints as {self._olds}, all of them valid",
                f"{self._news} can stand in for {self._olds}",
            ),
            tuple(parts),
            gates=(self.armed, BackfillDone(self.id), self.divergent),
            go_back=self._say(
                "downgrade the validate revisions: the new column's indexes and constraints go",
                "downgrade the validate revisions: indexes and constraints of the new shape go",
            ),
        )

    def switch(self) -> Phase:
        proofs: list[Gate] = []
        if self.carried:
            proofs += [Validated(self.table, c.name) for c in self.carried.to_validate]
            proofs += [ValidIndex(QualifiedName(i.name, self.table.schema)) for i in self.carried.indexes]
        proofs += [ColumnNotNull(self.table, c.side.column) for c in self.new if c.not_null]
        instructions: tuple[str, ...] = self.deploy
        if self.swap:
            instructions = (
                f"Deploy code that copes with {self._olds} as {self.sides[0].type} under the same name.",
            )
        elif not instructions:
            instructions = (
                f"Deploy code that reads and writes {self._news} and no longer maps {self._olds}.",
                f"One class must not map {self._say('both columns', 'both')}: it would write a null to one of them.",
            )
        return Phase(
            "switch",
            f"all code copes with {self._olds} as {self.sides[0].type}"
            if self.swap
            else f"all code reads and writes {self._news}",
            gates=(self.armed, *proofs, self.divergent),
            instructions=instructions,
            go_back=f"deploy the old code again; the trigger kept {self._say('its column', 'the old shape')} fresh",
        )

    def contract(self) -> Phase:
        renames = [(side.column, self.quarantine(side.column)) for side in self.old]
        if self.swap:
            renames.append((self.sides[0].column, self.old[0].column))
        statements = [
            self._alter(
                f"RENAME COLUMN {quote(name)} TO {quote(to)}",
                "catalog only; the old column and its indexes stay, out of sight, until they are purged"
                if to.startswith(quarantine_name(""))
                else "catalog only, in the same transaction: there is always a column of this name",
            )
            for name, to in renames
        ]
        undo = [
            self._alter(
                f"RENAME COLUMN {quote(to)} TO {quote(name)}",
                self._say(
                    "catalog only; the trigger kept the column equal, so nothing is lost",
                    "catalog only; the trigger kept the old shape in step",
                ),
            )
            for name, to in reversed(renames)
        ]
        for column in self._late_defaults():
            name = quote(self._lasting[0].column)
            statements.append(
                self._alter(
                    f"ALTER COLUMN {name} SET DEFAULT {column}",
                    "catalog only; until now the trigger "
                    f"{self._say('copied', 'made the value of')} what the old column's default gave",
                )
            )
            undo.insert(0, self._alter(f"ALTER COLUMN {name} DROP DEFAULT", "catalog only"))
        statements.append(
            Statement(
                self.backward(),
                None,
                f"from here on the trigger only {self._say('copies to the old column', 'writes the old shape')}, so "
                "that the way back stays open",
            )
        )
        both = self._say("both columns", "both shapes")
        undo.append(Statement(self.two_way(), None, f"{both} may be written again"))
        gone = f"{self._olds} {_are(self.old)} gone for every client"
        return Phase(
            "contract",
            f"{self._olds} is a {self.sides[0].type}; the old values are kept"
            if self.swap
            else self._say(
                f"{gone}; its values are kept under {self._kept[0].column}", f"{gone}; the values are kept"
            ),
            (
                Part(
                    f"{self.table.plain}.{self._olds} "
                    + ("has its new type" if self.swap else f"{_go(self.old)} into quarantine"),
                    tuple(statements),
                    tuple(undo),
                    (self.armed, self.divergent),
                ),
            ),
            gates=(Word(OLD_CODE_GONE, self.old_code), self.armed, self.divergent),
            instructions=(
                "Recycle every pool of connections right after it: a statement that was prepared before it fails with "
                '"cached plan must not change result type".',
            )
            if self.swap
            else (),
            go_back="downgrade the contract revision: "
            f"{self._say('the old column', self._olds)} {_are(self.old)} back, with every value",
        )

    def purge(self) -> Phase:
        kept, lasting = self._kept, self._lasting
        news = _and(side.column for side in lasting)
        told = NoRows(
            self.table,
            disagreement(kept, lasting),
            self._say(
                f"{news} differs from what is kept of {self._olds}",
                f"{news} and what is kept of {self._olds} do not agree",
            ),
            fix=None
            if self.copies
            else "make them the same: somebody has written one of them past the trigger",
        )
        losing = self._losing()
        names = {side.column for side in self.old}
        foreign = [
            c for c in self.target.constraints if c.kind == "foreign key" and names.intersection(c.columns)
        ]
        statements = (
            sync.drop_trigger(self.table, self.trigger),
            *(
                self._alter(
                    f"DROP CONSTRAINT {quote(key.name)}",
                    "catalog only, but of both tables: writers of the other table wait for an instant too",
                )
                for key in foreign
            ),
            self._alter(
                ",\n    ".join(f"DROP COLUMN {quote(side.column)}" for side in kept),
                self._say(
                    "catalog only; its indexes go with it, and the new column holds every value",
                    "catalog only; indexes go with it, and the new shape holds what is needed",
                ),
            ),
            *self._renames(back=False),
            sync.drop_function(self.function),
            *(drop for _, drop in self.helpers),
        )
        return Phase(
            "purge",
            f"nothing of the old {self._say('column', 'shape')} is left",
            (
                Part(
                    f"what was {self.table.plain}.{self._olds}",
                    statements,
                    (*self._renames(back=True), *self._unpurge()),
                    (told, *losing),
                ),
            ),
            gates=(
                Word(
                    PURGE_APPROVED,
                    f"nobody will want {self.table.plain}.{self._olds}"
                    f"{self._say('', f' as {_they(self.old)}')} back"
                    + (f"; {self.loses_at_purge} is gone then" if self.loses_at_purge else ""),
                ),
                told,
                *losing,
            ),
            go_back="downgrade the purge revision: it "
            + self._say(
                "fills the column again from the new one", "makes the old values anew from the new ones"
            )
            + ", in one transaction",
            undo_loses=self.loses_at_purge,
        )

    def _losing(self) -> tuple[LostRows, ...]:
        if self.accept_lost is None:
            return ()
        more = f"more in the old {self._olds} than its" if self.swap else f"more in {self._olds} than"
        news = _and(side.column for side in self._lasting)
        tell = "tell" if len(self.new) > 1 else "tells"
        return (
            LostRows(
                self.table,
                lost(self._kept, self._lasting),
                f"{more} {self._lasting[0].type if self.swap else news} {tell}",
                self.accept_lost,
                f"give {news} {'values' if len(self.new) > 1 else 'a value'} that {tell} it",
            ),
        )

    # -- parts ----------------------------------------------------------------------------------------------
    @property
    def _kept(self) -> tuple[Side, ...]:
        """The old columns as they are after contract."""
        return tuple(_renamed(side, self._after, self.quarantine(side.column)) for side in self.old)

    @property
    def _lasting(self) -> tuple[Side, ...]:
        """The new columns as they are after contract."""
        return tuple(
            _renamed(side, self._after, self.old[0].column if self.swap else side.column)
            for side in self.sides
        )

    @property
    def _after(self) -> dict[str, str]:
        names = {side.column: quote(self.quarantine(side.column)) for side in self.old}
        if self.swap:
            names[self.sides[0].column] = quote(self.old[0].column)
        return names

    def two_way(self) -> str:
        return sync.two_way_function(
            self.function, self.table, self.old, self.sides, on_conflict=self.on_conflict
        )

    def backward(self) -> str:
        if self.copies:
            return sync.copy_function(
                self.function, self.table, self._lasting[0].column, self._kept[0].column
            )
        return sync.backward_function(self.function, self.table, self._kept, self._lasting)

    def _late_defaults(self) -> Iterator[str]:
        """Of the one new column, where the old one's is a function call."""
        if len(self.old) == len(self.new) == 1 and self.old[0].volatile:
            default = default_of(self.sides[0], self.target, self.old, late=True)
            if default is not None:
                yield default

    def _add_not_null(self, column: NewColumn, why: str) -> Statement:
        name = column.side.column
        return self._alter(
            f"ADD CONSTRAINT {quote(self._check(name))} CHECK ({quote(name)} IS NOT NULL) NOT VALID", why
        )

    def _comments_and_grants(self) -> Iterator[Statement]:
        """Comment and privileges; of several old columns, those privileges that each of them has."""
        first, *others = [self.target.column(side.column) for side in self.old]
        if first is None:
            return
        shared = set(first.grants).intersection(*(set(other.grants) for other in others if other is not None))
        model = replace(
            first,
            comment=first.comment if self.comments else None,
            grants=tuple(grant for grant in first.grants if grant in shared),
        )
        for side in self.sides:
            yield from comment_and_grants(self.target.with_column(model), first.name, side.column)

    def _renames(self, *, back: bool) -> Iterator[Statement]:
        """Indexes and constraints get the names that those of the old column had, where the column gets its name."""
        if not self.swap or self.carried is None:
            return
        schema = self.table.schema
        # Renaming the constraint renames the index behind it.
        backing = {carried.name for carried in self.carried.uniques}
        for index in self.carried.indexes:
            if index.name not in backing:
                name, to = _order(index, back=back)
                yield Statement(
                    f"ALTER INDEX {QualifiedName(name, schema)} RENAME TO {quote(to)}",
                    LockMode.SHARE_UPDATE_EXCLUSIVE,
                    "catalog only",
                )
        for constraint in (*self.carried.checks, *self.carried.uniques, *self.carried.foreign_keys):
            name, to = _order(constraint, back=back)
            yield self._alter(f"RENAME CONSTRAINT {quote(name)} TO {quote(to)}", "catalog only")

    def _unpurge(self) -> Iterator[Statement]:
        """The quarantined columns again, made of the new ones."""
        held = "under the lock that is held anyway"
        for side, kept in zip(self.old, self._kept, strict=True):
            known = self.target.column(side.column)
            collation = f" COLLATE {known.collation}" if known is not None and known.collation else ""
            yield self._alter(f"ADD COLUMN {quote(kept.column)} {side.type}{collation}", "catalog only")
        yield from (sync.create_function(sql) for sql, _ in self.helpers)
        yield sync.create_function(self.backward())
        yield from sync.create_trigger(self.table, self.trigger, self.function)
        made = ", ".join(f"{quote(side.column)} = {_value(side, self._lasting)}" for side in self._kept)
        yield Statement(
            f"UPDATE {self.table} SET {made}",  # noqa: S608 - quoted names, and the operator's SQL
            _AX,
            "the lock of ADD COLUMN is held until every row is written: go back this far only on a small table or "
            "in a maintenance window",
        )
        for side in self.old:
            known = self.target.column(side.column)
            name = quote(self.quarantine(side.column))
            if known is not None and known.default is not None:
                yield self._alter(f"ALTER COLUMN {name} SET DEFAULT {known.default}", "catalog only")
            if known is not None and known.not_null:
                yield self._alter(
                    f"ALTER COLUMN {name} SET NOT NULL",
                    "it reads every row, under the lock that is held anyway",
                )
        names = {side.column: self.quarantine(side.column) for side in self.old}
        for index in self.target.indexes:
            if index.constraint is None and names.keys() & set(index.columns):
                yield Statement(_with(index.definition, names), LockMode.SHARE, held)
        for constraint in self.target.constraints:
            if names.keys() & set(constraint.columns) and constraint.kind in (
                "check",
                "foreign key",
                "unique",
            ):
                sql = f"ALTER TABLE {self.table} ADD CONSTRAINT {quote(constraint.name)} {constraint.definition}"
                yield Statement(_with(sql, names), _AX, held)
        for name, predicate in self.added_checks:
            sql = f"ALTER TABLE {self.table} ADD CONSTRAINT {quote(name)} CHECK ({predicate})"
            yield Statement(_with(sql, names), _AX, held)
        for side in self.old:
            yield from comment_and_grants(self.target, side.column, self.quarantine(side.column))


# -- expressions --------------------------------------------------------------------------------------------
def disagreement(old: Sequence[Side], new: Sequence[Side]) -> str:
    """Predicate of rows of which neither shape is what it would be made of the other."""
    if all(side.fill is None for side in (*old, *new)):
        ((one,), (other,)) = (new, old)
        return sync.differs(quote(one.column), quote(other.column), exact=one.exact)
    upward = " OR ".join(_differs(side, old) for side in new)
    downward = " OR ".join(_differs(side, new) for side in old)
    return f"({upward}) AND ({downward})"


def _differs(side: Side, others: Sequence[Side]) -> str:
    made = f"CAST({_value(side, others)} AS {side.type})"
    return sync.differs(side.of(quote(side.column)), side.of(made), exact=side.exact)


def _value(side: Side, others: Sequence[Side]) -> str:
    return quote(others[0].column) if side.fill is None else side.fill


def default_of(side: Side, target: Target, old: Sequence[Side], *, late: bool = False) -> str | None:
    """The default of a new column: what is made of the old columns' defaults; None where none of them has one.

    Args:
        late: also of defaults that are function calls.
    """
    defaults: dict[str, str] = {}
    for other in old:
        known = target.column(other.column)
        default = known.default if known is not None else None
        if default is not None and (late or not other.volatile):
            defaults[other.column] = default
    if not defaults or (not late and any(other.volatile for other in old)):
        return None
    if side.fill is None:
        return next(iter(defaults.values()))
    values = {other.column: defaults.get(other.column, f"NULL::{other.type}") for other in old}
    return substitute_in_expression(_value(side, old), values)


def _renamed(side: Side, names: dict[str, str], column: str) -> Side:
    fill = side.fill if side.fill is None else substitute_in_expression(side.fill, names)
    return replace(side, column=column, fill=fill)


def _with(sql: str, names: dict[str, str]) -> str:
    for name, to in names.items():
        sql = rename_in_definition(sql, name, to)
    return sql


def _order(carried: Carried, *, back: bool) -> tuple[str, str]:
    names = (carried.name, carried.source.name)
    return (names[1], names[0]) if back else names


def _type(column: NewColumn) -> str:
    return f"{column.side.type} COLLATE {column.collation}" if column.collation else column.side.type


# -- words --------------------------------------------------------------------------------------------------
def _and(names: Iterator[str]) -> str:
    *most, last = names
    return f"{', '.join(most)} and {last}" if most else last


def _are(sides: Sequence[Side]) -> str:
    return "are" if len(sides) > 1 else "is"


def _go(sides: Sequence[Side]) -> str:
    return "go" if len(sides) > 1 else "goes"


def _they(sides: Sequence[Side]) -> str:
    return "they were" if len(sides) > 1 else "it was"
