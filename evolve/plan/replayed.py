"""What a recipe has to know of a table, as far as the replayed revisions tell it."""

from __future__ import annotations

from evolve.errors import Misuse
from evolve.plan.facts import (
    EnumFacts,
    Facts,
    FunctionFacts,
    IndexFacts,
    QueryFacts,
    RelationKind,
    SequenceFacts,
    ViewFacts,
)
from evolve.plan.target import (
    Dependent,
    Target,
    TargetColumn,
    TargetConstraint,
    TargetIndex,
    TargetTrigger,
)
from evolve.sql.names import QualifiedName, quote
from evolve.sql.operations import (
    Check,
    Exclude,
    ForeignKey,
    IndexDefinition,
    IndexKey,
    NotNull,
    PrimaryKey,
    Unique,
)
from evolve.sql.schema import Column, Schema, Table


class NotInTheRevisions(Misuse):
    def __init__(self, table: QualifiedName, near: str | None) -> None:
        super().__init__(
            f'the revisions make no table "{table.plain}"',
            why="without a database, facts come from the project's revisions alone",
            fix=f'did you mean "{near}"?' if near else "check the name, or give --database-url",
        )


class HalfKnown(Misuse):
    def __init__(self, table: QualifiedName) -> None:
        super().__init__(
            f'the revisions do not tell all columns of "{table.plain}"',
            why="it is made outside of them, or from a query",
            fix="give --database-url, so that facts come from the database",
        )


class ReplayedFacts(Facts):
    """Facts as the revisions give them."""

    source = "revisions"
    server_version = None

    def __init__(self, schema: Schema) -> None:
        self._schema = schema

    def table(self, name: QualifiedName) -> Target:
        return target_from(self._schema, name)

    def relation(self, name: QualifiedName) -> RelationKind | None:
        schema = self._schema
        if schema.table(name) is not None:
            return "table"
        view = schema.views.get(name)
        if view is not None:
            return "materialized view" if view.materialized else "view"
        if name in schema.sequences:
            return "sequence"
        return "index" if self.index(name) is not None else None

    def index(self, name: QualifiedName) -> IndexFacts | None:
        for table in self._schema.tables:
            for index in self._schema.indexes_of(table):
                # An index lies in the schema of its table.
                if index.definition.name == name.name and table.schema == name.schema:
                    made = _index(index.definition, index.constraint, valid=index.valid)
                    return IndexFacts(name, table, made)
        return None

    def enum(self, name: QualifiedName) -> EnumFacts | None:
        raise NeedsDatabase("an enumeration", name)

    def view(self, name: QualifiedName) -> ViewFacts | None:
        raise NeedsDatabase("a view", name)

    def functions(self, name: QualifiedName) -> tuple[FunctionFacts, ...]:
        raise NeedsDatabase("a function", name)

    def sequence(self, name: QualifiedName) -> SequenceFacts | None:
        raise NeedsDatabase("a sequence", name)

    def query(self, name: QualifiedName, sql: str) -> QueryFacts:
        raise NeedsDatabase("a query", name)

    def written_function(self, name: QualifiedName, rest: str) -> FunctionFacts:
        raise NeedsDatabase("a function", name)


class NeedsDatabase(Misuse):
    def __init__(self, what: str, name: QualifiedName) -> None:
        super().__init__(
            f'what {what} such as "{name.plain}" is made of cannot be told from the revisions',
            fix="give --database-url, so that facts come from the database",
        )


def target_from(schema: Schema, table: QualifiedName) -> Target:
    """The table as the revisions make it; comments, privileges, publications and policies are not known from them.

    Raises:
        NotInTheRevisions: they make no such table; HalfKnown: they do not tell all its columns.
    """
    found = schema.table(table)
    if found is None:
        near = next(
            (known.plain for known in schema.tables if known.name.rstrip("s") == table.name.rstrip("s")), None
        )
        raise NotInTheRevisions(table, near)
    if found.implied:
        raise HalfKnown(table)
    return Target(
        table,
        tuple(_column(schema, table, column) for column in found.columns),
        tuple(
            _constraint(constraint) for constraint in found.constraints if not isinstance(constraint, NotNull)
        ),
        tuple(
            _index(index.definition, index.constraint, valid=index.valid)
            for index in schema.indexes_of(table)
        ),
        # Whether a trigger fires before the row is not in the replayed model; taking it to do so errs on the safe side.
        tuple(TargetTrigger(trigger.name, trigger.row) for trigger in found.trigger_list),
        tuple(_dependents(schema, found)),
        partitioned=found.partition_by is not None,
        partition_of=found.partition_of.plain if found.partition_of else None,
        inherits=bool(found.inherits) or any(table in other.inherits for other in schema.tables.values()),
        source="revisions",
        referenced_by=tuple(dict.fromkeys(other.name for other, _ in schema.foreign_keys_to(table))),
        partitions=tuple(
            sorted(name for name, other in schema.tables.items() if other.partition_of == table)
        ),
    )


def _column(schema: Schema, table: QualifiedName, column: Column) -> TargetColumn:
    # Of a default that names another sequence, the revisions do not tell which.
    draws = column.identity is not None or (
        column.default is not None and "nextval" in column.default.functions
    )
    owned = next(schema.sequences_of(table, column.name), None) if draws else None
    return TargetColumn(
        column.name,
        column.type,
        not_null=column.not_null,
        default=column.default.sql if column.default else None,
        default_constant=column.default.constant if column.default else True,
        collation=column.collation,
        enum=schema.is_enum(column.type),
        identity=column.identity is not None,
        generated=column.generated is not None,
        generation=column.generation.sql if column.generation is not None else None,
        virtual=column.generated == "virtual",
        sequence=owned.name if owned is not None else None,
        always=column.identity == "always",
    )


def _constraint(constraint: PrimaryKey | Unique | Check | ForeignKey | Exclude) -> TargetConstraint:
    name = constraint.name or ""
    match constraint:
        case PrimaryKey(columns=columns):
            return TargetConstraint(
                name, "primary key", f"PRIMARY KEY ({_list(columns)})", columns, index=name
            )
        case Unique(columns=columns, nulls_not_distinct=nulls_not_distinct):
            nulls = " NULLS NOT DISTINCT" if nulls_not_distinct else ""
            return TargetConstraint(name, "unique", f"UNIQUE{nulls} ({_list(columns)})", columns, index=name)
        case Check(expression=expression, not_valid=not_valid, no_inherit=no_inherit):
            definition = f"CHECK ({expression.sql})" + (" NO INHERIT" if no_inherit else "")
            return TargetConstraint(name, "check", definition, expression.columns, validated=not not_valid)
        case ForeignKey():
            return TargetConstraint(
                name,
                "foreign key",
                _foreign_key(constraint),
                constraint.columns,
                validated=not constraint.not_valid,
            )
        case Exclude(keys=keys):
            columns = tuple(key.column for key in keys if key.column)
            return TargetConstraint(name, "exclude", "EXCLUDE", columns, index=name)


def _foreign_key(key: ForeignKey) -> str:
    target = f"{key.target} ({_list(key.target_columns)})" if key.target_columns else str(key.target)
    actions = f" ON UPDATE {key.on_update}" if key.on_update else ""
    actions += f" ON DELETE {key.on_delete}" if key.on_delete else ""
    deferrable = " DEFERRABLE" if key.deferrable else ""
    return f"FOREIGN KEY ({_list(key.columns)}) REFERENCES {target}{actions}{deferrable}"


def _index(definition: IndexDefinition, constraint: str | None, *, valid: bool) -> TargetIndex:
    columns = [column for key in definition.keys for column in _key_columns(key)]
    columns += definition.include
    columns += definition.where.columns if definition.where else ()
    return TargetIndex(
        definition.name or "",
        _create_index(definition),
        tuple(dict.fromkeys(columns)),
        unique=definition.unique,
        valid=valid,
        constraint=constraint,
    )


def _key_columns(key: IndexKey) -> tuple[str, ...]:
    if key.column is not None:
        return (key.column,)
    return key.expression.columns if key.expression else ()


def _create_index(definition: IndexDefinition) -> str:
    unique = "UNIQUE " if definition.unique else ""
    keys = ", ".join(_key(key) for key in definition.keys)
    text = (
        f"CREATE {unique}INDEX {quote(definition.name or '')} ON {definition.table} "
        f"USING {definition.method} ({keys})"
    )
    if definition.include:
        text += f" INCLUDE ({_list(definition.include)})"
    if definition.nulls_not_distinct:
        text += " NULLS NOT DISTINCT"
    if definition.where is not None:
        text += f" WHERE {definition.where.sql}"
    return text


def _key(key: IndexKey) -> str:
    expression = f"({key.expression.sql})" if key.expression else ""
    text = expression if key.column is None else quote(key.column)
    text += f" {key.opclass}" if key.opclass else ""
    return text + (" DESC" if key.descending else "")


def _list(names: tuple[str, ...]) -> str:
    return ", ".join(quote(name) for name in names)


def _dependents(schema: Schema, table: Table) -> list[Dependent]:
    found = []
    for view in schema.views.values():
        kind = "materialized view" if view.materialized else "view"
        found += [
            Dependent(column, "view", f"{kind} {view.name}")
            for relation, column in sorted(view.uses)
            if relation == table.name
        ]
    for column in table.columns:
        if column.generated and column.generation is not None:
            found += [
                Dependent(read, "generated column", f'generated column "{column.name}"')
                for read in column.generation.columns
            ]
    for sequence in schema.sequences.values():
        if sequence.owned_by is not None and sequence.owned_by[0] == table.name:
            found.append(Dependent(sequence.owned_by[1], "sequence", f'sequence "{sequence.name.plain}"'))
    primary = table.primary_key
    for other, key in schema.foreign_keys_to(table.name):
        columns = key.target_columns or (primary.columns if primary else ())
        found += [
            Dependent(column, "inbound foreign key", f'foreign key "{key.name}" of {other.name}')
            for column in columns
        ]
    return found
