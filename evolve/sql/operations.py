"""What one SQL statement does to a schema or to data, as a closed union of frozen values.

`parse.py` makes these from the SQL that will run; rules, the schema model, recipes and reports read them. One
`ALTER TABLE` with several clauses gives several operations. Whoever interprets the whole union ends in
`assert_never`.

Types of columns are written as PostgreSQL's `format_type` writes them ("integer", "character varying(50)",
"timestamp with time zone", "numeric(10,2)", "text[]"); types of the user's own keep their schema unless it is
`public`.
"""

from __future__ import annotations

from dataclasses import field
from typing import Literal

from evolve.sql.locks import LockMode
from evolve.sql.names import QualifiedName
from evolve.values import dataclass


# -- parts --------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Expression:
    """A default, check or generation expression.

    Args:
        sql: its text as the parser prints it.
        functions: names of the functions it calls, folded, without `pg_catalog`.
        columns: names of the columns it reads.
        constant: no function call, no column, no cast beyond literals.
        not_null_columns: columns that hold no null in a row for which it is not false, as PostgreSQL itself
        infers it.
        query: it holds one: (SELECT …), EXISTS (…), IN (TABLE …), ARRAY(…).
        qualified: it names a column together with its table.
    """

    sql: str
    functions: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    constant: bool = False
    not_null_columns: tuple[str, ...] = ()
    query: bool = False
    qualified: bool = False


@dataclass(frozen=True, slots=True)
class PrimaryKey:
    columns: tuple[str, ...]
    name: str | None = None
    using_index: str | None = None
    include: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Unique:
    columns: tuple[str, ...]
    name: str | None = None
    using_index: str | None = None
    nulls_not_distinct: bool = False
    include: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Check:
    expression: Expression
    name: str | None = None
    not_valid: bool = False
    no_inherit: bool = False
    enforced: bool = field(default=True, compare=False)  # NOT ENFORCED is not valid either


@dataclass(frozen=True, slots=True)
class ForeignKey:
    columns: tuple[str, ...]
    target: QualifiedName
    target_columns: tuple[str, ...] = ()  # empty: the target's primary key
    name: str | None = None
    not_valid: bool = False
    on_delete: str | None = None  # "CASCADE", "SET NULL", …; None is NO ACTION
    on_update: str | None = None
    deferrable: bool = False
    enforced: bool = field(default=True, compare=False)  # NOT ENFORCED is not valid either


@dataclass(frozen=True, slots=True)
class Exclude:
    name: str | None = None
    method: str = "gist"
    keys: tuple[IndexKey, ...] = ()
    where: Expression | None = None


@dataclass(frozen=True, slots=True)
class NotNull:
    """A named NOT NULL constraint; `not_valid` exists from PostgreSQL 18."""

    column: str
    name: str | None = None
    not_valid: bool = False


Constraint = PrimaryKey | Unique | Check | ForeignKey | Exclude | NotNull


@dataclass(frozen=True, slots=True)
class ColumnDefinition:
    name: str
    type: str
    not_null: bool = False
    default: Expression | None = None
    generated: Literal["stored", "virtual"] | None = None
    generation: Expression | None = None
    identity: Literal["always", "by default"] | None = None
    serial: bool = False  # serial, bigserial, smallserial: `type` is then the integer type
    collation: str | None = None
    constraints: tuple[Constraint, ...] = ()  # written inline: CHECK, UNIQUE, PRIMARY KEY, REFERENCES


@dataclass(frozen=True, slots=True)
class IndexKey:
    """One key of an index: a column, or an expression."""

    column: str | None
    expression: Expression | None = None
    descending: bool = False
    opclass: str | None = None
    # What PostgreSQL calls the key when it makes up the index's name: "lower" for lower(email).
    label: str | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class IndexDefinition:
    name: str | None
    table: QualifiedName
    keys: tuple[IndexKey, ...]
    unique: bool = False
    method: str = "btree"
    include: tuple[str, ...] = ()
    where: Expression | None = None
    nulls_not_distinct: bool = False
    # The names that the columns of `include` had when the index was made, where those differ.
    include_labels: tuple[str, ...] = field(default=(), compare=False)
    options: tuple[str, ...] = field(default=(), compare=False)  # storage parameters that WITH (…) names

    @property
    def columns(self) -> tuple[str | None, ...]:
        return tuple(key.column for key in self.keys)


@dataclass(frozen=True, slots=True)
class PartitionBy:
    method: Literal["range", "list", "hash"]
    keys: tuple[str, ...]  # column names; an expression stands as its SQL


# -- tables -------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class CreateTable:
    table: QualifiedName
    columns: tuple[ColumnDefinition, ...] = ()
    constraints: tuple[Constraint, ...] = ()
    if_not_exists: bool = False
    partition_by: PartitionBy | None = None
    partition_of: QualifiedName | None = None
    bound: str | None = None  # "FOR VALUES …" or "DEFAULT", with partition_of
    inherits: tuple[QualifiedName, ...] = ()
    like: tuple[QualifiedName, ...] = ()
    # "defaults", "constraints", "indexes", "identity", "generated", …
    like_options: frozenset[str] = frozenset()
    like_after: tuple[int, ...] = ()  # per table of `like`: how many of `columns` stand before it
    as_query: bool = False  # CREATE TABLE … AS: columns are not known from the text
    temporary: bool = False
    unlogged: bool = False
    reads: tuple[QualifiedName, ...] = ()  # with as_query: the relations its query names
    settings: tuple[tuple[str, str], ...] = ()  # storage parameters of WITH (…)
    tablespace: str | None = None
    access_method: str | None = None


@dataclass(frozen=True, slots=True)
class DropTable:
    table: QualifiedName
    if_exists: bool = False
    cascade: bool = False


@dataclass(frozen=True, slots=True)
class RenameTable:
    """ALTER TABLE … RENAME, which takes the name of a view, index or sequence as well."""

    table: QualifiedName
    to: str
    if_exists: bool = False


@dataclass(frozen=True, slots=True)
class MoveToSchema:
    """ALTER TABLE | TYPE | SEQUENCE | VIEW … SET SCHEMA."""

    kind: str
    name: QualifiedName
    to_schema: str


@dataclass(frozen=True, slots=True)
class AlterTableOther:
    """An ALTER TABLE clause without a type of its own; `clause` is its name in words, such as "set logged",
    "set tablespace", "enable row level security", "replica identity", "disable trigger", "set statistics".
    """

    table: QualifiedName
    clause: str
    detail: str | None = None  # column, trigger or parameter it names
    # With "set parameters" each with its value; "restart" of "set sequence options".
    settings: tuple[tuple[str, str], ...] = ()
    only: bool = False


# -- columns ------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class AddColumn:
    table: QualifiedName
    column: ColumnDefinition
    if_not_exists: bool = False
    only: bool = False  # ALTER TABLE ONLY: partitions and children are left alone


@dataclass(frozen=True, slots=True)
class DropColumn:
    table: QualifiedName
    column: str
    if_exists: bool = False
    cascade: bool = False
    only: bool = False  # ALTER TABLE ONLY: partitions and children are left alone


@dataclass(frozen=True, slots=True)
class RenameColumn:
    table: QualifiedName
    column: str
    to: str
    only: bool = False  # ALTER TABLE ONLY: partitions and children are left alone


@dataclass(frozen=True, slots=True)
class AlterColumnType:
    table: QualifiedName
    column: str
    type: str
    using: Expression | None = None
    collation: str | None = None
    only: bool = False  # ALTER TABLE ONLY: partitions and children are left alone


@dataclass(frozen=True, slots=True)
class SetNotNull:
    table: QualifiedName
    column: str
    only: bool = False  # ALTER TABLE ONLY: partitions and children are left alone


@dataclass(frozen=True, slots=True)
class DropNotNull:
    table: QualifiedName
    column: str
    only: bool = False  # ALTER TABLE ONLY: partitions and children are left alone


@dataclass(frozen=True, slots=True)
class SetDefault:
    table: QualifiedName
    column: str
    default: Expression
    only: bool = False  # ALTER TABLE ONLY: partitions and children are left alone


@dataclass(frozen=True, slots=True)
class DropDefault:
    table: QualifiedName
    column: str
    only: bool = False  # ALTER TABLE ONLY: partitions and children are left alone


@dataclass(frozen=True, slots=True)
class AddIdentity:
    table: QualifiedName
    column: str
    identity: Literal["always", "by default"]
    only: bool = False  # ALTER TABLE ONLY: partitions and children are left alone


@dataclass(frozen=True, slots=True)
class DropIdentity:
    table: QualifiedName
    column: str
    if_exists: bool = False


@dataclass(frozen=True, slots=True)
class SetExpression:
    """ALTER COLUMN … SET EXPRESSION (PostgreSQL 17): a stored column is computed anew for every row."""

    table: QualifiedName
    column: str
    expression: Expression


@dataclass(frozen=True, slots=True)
class DropExpression:
    """ALTER COLUMN … DROP EXPRESSION: a generated column becomes a plain one and keeps its values."""

    table: QualifiedName
    column: str
    if_exists: bool = False


# -- constraints --------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class AddConstraint:
    table: QualifiedName
    constraint: Constraint
    only: bool = False  # ALTER TABLE ONLY: partitions and children are left alone


@dataclass(frozen=True, slots=True)
class DropConstraint:
    table: QualifiedName
    name: str
    if_exists: bool = False
    cascade: bool = False
    only: bool = False  # ALTER TABLE ONLY: partitions and children are left alone


@dataclass(frozen=True, slots=True)
class ValidateConstraint:
    table: QualifiedName
    name: str
    only: bool = False  # ALTER TABLE ONLY: partitions and children are left alone


@dataclass(frozen=True, slots=True)
class RenameConstraint:
    table: QualifiedName
    name: str
    to: str
    only: bool = False  # ALTER TABLE ONLY: partitions and children are left alone


# -- partitions ---------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class AttachPartition:
    table: QualifiedName
    partition: QualifiedName
    bound: str  # "FOR VALUES …" or "DEFAULT"


@dataclass(frozen=True, slots=True)
class DetachPartition:
    table: QualifiedName
    partition: QualifiedName
    concurrently: bool = False
    finalize: bool = False


# -- indexes ------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class CreateIndex:
    index: IndexDefinition
    concurrently: bool = False
    if_not_exists: bool = False
    only: bool = False  # ON ONLY a partitioned parent

    @property
    def table(self) -> QualifiedName:
        return self.index.table


@dataclass(frozen=True, slots=True)
class DropIndex:
    index: QualifiedName
    concurrently: bool = False
    if_exists: bool = False
    cascade: bool = False


@dataclass(frozen=True, slots=True)
class RenameIndex:
    index: QualifiedName
    to: str


@dataclass(frozen=True, slots=True)
class AttachIndex:
    index: QualifiedName
    partition_index: QualifiedName


@dataclass(frozen=True, slots=True)
class Reindex:
    kind: Literal["index", "table", "schema", "database", "system"]
    name: QualifiedName | None
    concurrently: bool = False


# -- types, domains, sequences ------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class CreateEnum:
    type: QualifiedName
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class AddEnumValue:
    type: QualifiedName
    value: str
    before: str | None = None
    after: str | None = None
    if_not_exists: bool = False


@dataclass(frozen=True, slots=True)
class RenameEnumValue:
    type: QualifiedName
    value: str
    to: str


@dataclass(frozen=True, slots=True)
class RenameType:
    type: QualifiedName
    to: str


@dataclass(frozen=True, slots=True)
class DropType:
    """DROP TYPE or DROP DOMAIN."""

    type: QualifiedName
    if_exists: bool = False
    cascade: bool = False


@dataclass(frozen=True, slots=True)
class CreateDomain:
    domain: QualifiedName
    base: str
    not_null: bool = False
    default: Expression | None = None
    checks: tuple[Check, ...] = ()


@dataclass(frozen=True, slots=True)
class AlterDomain:
    """`change` is "set not null", "drop not null", "set default", "drop default", "add check", "drop
    constraint", "validate constraint" or "rename constraint".
    """

    domain: QualifiedName
    change: str
    check: Check | None = None
    constraint: str | None = None
    default: Expression | None = None
    to: str | None = None  # the new name, with "rename constraint"


@dataclass(frozen=True, slots=True)
class CreateSequence:
    sequence: QualifiedName
    if_not_exists: bool = False
    type: str = "bigint"
    owned_by: tuple[QualifiedName, str] | None = None


@dataclass(frozen=True, slots=True)
class AlterSequence:
    sequence: QualifiedName
    type: str | None = None
    owned_by: tuple[QualifiedName, str] | None = None
    owned_by_none: bool = False
    restart: int | Literal["start"] | None = None  # what it counts on from; "start" is where it once began


@dataclass(frozen=True, slots=True)
class RenameSequence:
    sequence: QualifiedName
    to: str


@dataclass(frozen=True, slots=True)
class DropSequence:
    sequence: QualifiedName
    if_exists: bool = False
    cascade: bool = False


# -- views, functions, triggers, schemas --------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class CreateView:
    """A view or materialized view.

    Args:
        reads: the relations its query names.
        columns: its output names where the text tells them, else None.
        mentions: (relation, column) pairs that its query names; None for a relation where the text does not
            tell which of `reads` has the column; "*" for all columns.
    """

    view: QualifiedName
    query: str
    reads: tuple[QualifiedName, ...] = ()
    columns: tuple[str, ...] | None = None
    mentions: tuple[tuple[QualifiedName | None, str], ...] = ()
    replace: bool = False
    materialized: bool = False
    with_data: bool = True
    if_not_exists: bool = False


@dataclass(frozen=True, slots=True)
class DropView:
    view: QualifiedName
    materialized: bool = False
    if_exists: bool = False
    cascade: bool = False


@dataclass(frozen=True, slots=True)
class RenameView:
    view: QualifiedName
    to: str
    materialized: bool = False


@dataclass(frozen=True, slots=True)
class RenameViewColumn:
    view: QualifiedName
    column: str
    to: str


@dataclass(frozen=True, slots=True)
class RefreshMaterializedView:
    view: QualifiedName
    concurrently: bool = False
    with_data: bool = True


@dataclass(frozen=True, slots=True)
class Body:
    """What a program may run, every branch of it.

    Args:
        operations: in the order of its text.
        gaps: why that is not all: an expression given to EXECUTE, or a language that is not read.
        volatile: it is declared neither STABLE nor IMMUTABLE.
    """

    operations: tuple[Operation, ...] = ()
    gaps: tuple[str, ...] = ()
    volatile: bool = True


@dataclass(frozen=True, slots=True)
class CreateFunction:
    """Args:
    runs: what a call of it may do.
    security_definer: it runs with its owner's rights.
    settings: the parameters that its SET clauses pin.
    """

    function: QualifiedName
    language: str
    replace: bool = False
    body: str | None = None
    runs: Body = field(default=Body(), compare=False)
    security_definer: bool = False
    settings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class AlterFunction:
    """ALTER FUNCTION, PROCEDURE or ROUTINE with options; `settings` are the parameters that it pins."""

    function: QualifiedName
    options: tuple[str, ...]  # in words, such as "immutable", "security definer", "set search_path"
    security_definer: bool = False
    settings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class DropFunction:
    function: QualifiedName
    if_exists: bool = False
    cascade: bool = False


@dataclass(frozen=True, slots=True)
class CreateTrigger:
    table: QualifiedName
    name: str
    function: QualifiedName
    replace: bool = False
    row: bool = False  # FOR EACH ROW


@dataclass(frozen=True, slots=True)
class DropTrigger:
    table: QualifiedName
    name: str
    if_exists: bool = False


@dataclass(frozen=True, slots=True)
class RenameTrigger:
    table: QualifiedName
    name: str
    to: str


@dataclass(frozen=True, slots=True)
class CreatePolicy:
    """A row-level security policy; `command` is "all", "select", "insert", "update" or "delete"."""

    table: QualifiedName
    name: str
    permissive: bool = True
    command: str = "all"
    roles: tuple[str, ...] = ("public",)
    using: Expression | None = None
    check: Expression | None = None


@dataclass(frozen=True, slots=True)
class AlterPolicy:
    """ALTER POLICY; `to` is its new name where that is what changes."""

    table: QualifiedName
    name: str
    roles: tuple[str, ...] = ()
    using: Expression | None = None
    check: Expression | None = None
    to: str | None = None


@dataclass(frozen=True, slots=True)
class DropPolicy:
    table: QualifiedName
    name: str
    if_exists: bool = False


@dataclass(frozen=True, slots=True)
class CreateSchema:
    schema: str
    if_not_exists: bool = False


@dataclass(frozen=True, slots=True)
class DropSchema:
    schema: str
    if_exists: bool = False
    cascade: bool = False


@dataclass(frozen=True, slots=True)
class RenameSchema:
    schema: str
    to: str


# -- data ---------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Insert:
    """Args:
    literals: string constants in the statement; an enum value that was added a moment ago may be among them.
    columns: those it names.
    sources: relations that its query draws rows from; what only a condition asks is left out.
    greatest: of `columns` those that are whole numbers in every row, written out, each with the greatest.
    """

    table: QualifiedName
    from_query: bool = False
    literals: frozenset[str] = frozenset()
    columns: tuple[str, ...] = ()
    sources: tuple[QualifiedName, ...] = ()
    greatest: tuple[tuple[str, int], ...] = field(default=(), compare=False)


@dataclass(frozen=True, slots=True)
class Update:
    """`filters`: columns that its WHERE names; `pinned`: those of them that have to equal a constant."""

    table: QualifiedName
    columns: tuple[str, ...] = ()
    where: bool = False
    literals: frozenset[str] = frozenset()
    filters: tuple[str, ...] = field(default=(), compare=False)
    pinned: frozenset[str] = field(default=frozenset(), compare=False)


@dataclass(frozen=True, slots=True)
class Delete:
    """`filters`: columns that its WHERE names; `pinned`: those of them that have to equal a constant."""

    table: QualifiedName
    where: bool = False
    literals: frozenset[str] = frozenset()
    filters: tuple[str, ...] = field(default=(), compare=False)
    pinned: frozenset[str] = field(default=frozenset(), compare=False)


@dataclass(frozen=True, slots=True)
class Truncate:
    tables: tuple[QualifiedName, ...]
    cascade: bool = False
    only: frozenset[QualifiedName] = frozenset()  # those of `tables` that ONLY stands before


@dataclass(frozen=True, slots=True)
class Query:
    """A SELECT, VALUES or SHOW.

    Args:
        functions: what it calls, e.g. setval, pg_advisory_lock.
        whole: nothing in its text keeps it from reading every row of `reads`.
        calls: of its functions those that it selects or reads from: a call for what it does stands there.
        conditions: its other functions: those that tell which rows, and in which order.
        set_to: sequences that `setval` gives a number that is written out, or the column that owns each, and what it
            counts on from.
    """

    reads: tuple[QualifiedName, ...] = ()
    functions: tuple[str, ...] = ()
    literals: frozenset[str] = frozenset()
    row_locks: bool = False
    whole: bool = field(default=False, compare=False)
    calls: tuple[QualifiedName, ...] = field(default=(), compare=False)
    conditions: tuple[QualifiedName, ...] = field(default=(), compare=False)
    set_to: tuple[tuple[QualifiedName | tuple[QualifiedName, str], int], ...] = field(
        default=(), compare=False
    )


@dataclass(frozen=True, slots=True)
class Copy:
    """`server` is what it reads or writes on the server itself, where it is not the client that it talks to."""

    table: QualifiedName | None
    into: bool = True
    server: Literal["file", "program"] | None = None


@dataclass(frozen=True, slots=True)
class LockTable:
    tables: tuple[QualifiedName, ...]
    mode: LockMode


# -- logical replication ------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class PublishedTable:
    """A table in a publication; `columns` is None where it sends all of them, later ones too."""

    table: QualifiedName
    columns: tuple[str, ...] | None = None
    row_filter: Expression | None = None


@dataclass(frozen=True, slots=True)
class ChangePublication:
    """CREATE, ALTER and DROP PUBLICATION.

    Args:
        action: "remove" takes `tables` and `schemas` out of it.
        all_tables: FOR ALL TABLES.
    """

    publication: str
    action: Literal["create", "add", "set", "remove", "drop"]
    tables: tuple[PublishedTable, ...] = ()
    schemas: tuple[str, ...] = ()
    all_tables: bool = False


# -- session and the rest -----------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class SetParameter:
    """SET, SET LOCAL, RESET; `value` is None for RESET and DEFAULT."""

    name: str
    value: str | None
    local: bool = False


@dataclass(frozen=True, slots=True)
class TransactionControl:
    """BEGIN, COMMIT, ROLLBACK, SAVEPOINT, RELEASE, ROLLBACK TO written as SQL in a revision."""

    action: Literal["begin", "commit", "rollback", "savepoint", "release", "rollback to"]


@dataclass(frozen=True, slots=True)
class DoBlock:
    """An anonymous code block, or the call of a `function` that is not read to its end.

    The operations that a block may run follow it; `gaps` says why those are not all. A `function` that is not
    `known` was made neither by the history nor by PostgreSQL.
    """

    body: str
    language: str = "plpgsql"
    gaps: tuple[str, ...] = ()
    function: QualifiedName | None = None
    known: bool = True


@dataclass(frozen=True, slots=True)
class Other:
    """A statement that was read and has no type of its own, such as COMMENT, GRANT, ANALYZE or CLUSTER.

    Args:
        kind: in capitals, e.g. "COMMENT", "GRANT", "CREATE EXTENSION", "VACUUM FULL".
        target: what it names, where that is a single object; an extension is named with the schema it is made in.
        detail: the version of CREATE EXTENSION and ALTER EXTENSION UPDATE, "cascade" of DROP EXTENSION, and the
            parameter of ALTER ROLE SET and ALTER DATABASE SET; the roles of GRANT and REVOKE, the new owner, and
            the new name of RENAME.
        options: "if not exists" of CREATE EXTENSION, and those that CREATE and ALTER ROLE turn on.
    """

    kind: str
    target: QualifiedName | None = None
    detail: str | None = None
    options: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Unread:
    """Text that the PostgreSQL grammar refuses, or a call that is not SQL at all (an unknown `op.…`)."""

    text: str
    reason: str


Operation = (
    CreateTable
    | DropTable
    | RenameTable
    | MoveToSchema
    | AlterTableOther
    | AddColumn
    | DropColumn
    | RenameColumn
    | AlterColumnType
    | SetNotNull
    | DropNotNull
    | SetDefault
    | DropDefault
    | AddIdentity
    | DropIdentity
    | SetExpression
    | DropExpression
    | AddConstraint
    | DropConstraint
    | ValidateConstraint
    | RenameConstraint
    | AttachPartition
    | DetachPartition
    | CreateIndex
    | DropIndex
    | RenameIndex
    | AttachIndex
    | Reindex
    | CreateEnum
    | AddEnumValue
    | RenameEnumValue
    | RenameType
    | DropType
    | CreateDomain
    | AlterDomain
    | CreateSequence
    | AlterSequence
    | RenameSequence
    | DropSequence
    | CreateView
    | DropView
    | RenameView
    | RenameViewColumn
    | RefreshMaterializedView
    | CreateFunction
    | AlterFunction
    | DropFunction
    | CreateTrigger
    | DropTrigger
    | RenameTrigger
    | CreatePolicy
    | AlterPolicy
    | DropPolicy
    | CreateSchema
    | DropSchema
    | RenameSchema
    | Insert
    | Update
    | Delete
    | Truncate
    | Query
    | Copy
    | LockTable
    | ChangePublication
    | SetParameter
    | TransactionControl
    | DoBlock
    | Other
    | Unread
)
