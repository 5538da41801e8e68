"""Where models and a database differ, asked of Alembic's autogenerate through the project's own env.py."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import chdir, redirect_stdout
from dataclasses import replace
from typing import Any

from alembic.autogenerate.api import RevisionContext
from alembic.operations.ops import (
    AddColumnOp,
    AlterColumnOp,
    CreateCheckConstraintOp,
    CreateForeignKeyOp,
    CreateIndexOp,
    CreateTableOp,
    CreateUniqueConstraintOp,
    DropColumnOp,
    DropConstraintOp,
    DropIndexOp,
    DropTableOp,
    MigrateOperation,
    ModifyTableOps,
)
from alembic.runtime.environment import EnvironmentContext
from alembic.util.exc import CommandError
from sqlalchemy import Column, Computed, Identity
from sqlalchemy.dialects import postgresql
from sqlalchemy.sql.elements import ColumnElement

from evolve.errors import Misuse
from evolve.plan.differences import (
    ColumnAdded,
    ColumnAltered,
    ColumnDropped,
    ConstraintDropped,
    Difference,
    ForeignKeyAdded,
    IndexAdded,
    IndexDropped,
    ModelColumn,
    Other,
    TableAdded,
    TableDropped,
    UniqueAdded,
)
from evolve.revisions.project import Project
from evolve.revisions.run import RevisionBroken, alembic_config, load_scripts
from evolve.sql.names import QualifiedName, quote

HINTS = "evolve"  # the key of a column's or table's `info`
_KNOWN_HINTS = frozenset({"renamed_from", "up", "down", "fill"})
_DIALECT = postgresql.dialect()  # type: ignore[no-untyped-call]


class NotUpToDate(Misuse):
    def __init__(self) -> None:
        super().__init__(
            "the database lacks revisions of this project",
            why="what the models ask for is compared with the schema that all revisions make",
            fix="run: evolve upgrade",
        )


class NoModels(Misuse):
    def __init__(self) -> None:
        super().__init__(
            "env.py gives autogenerate no models",
            fix="let it pass target_metadata=Base.metadata to context.configure()",
        )


class BadHint(Misuse):
    def __init__(self, where: str, what: str) -> None:
        super().__init__(
            f'{where}: info["evolve"] {what}',
            why="a hint that nobody reads would let a rename become a drop",
            fix='write it as info={"evolve": {"renamed_from": "name"}}; known are '
            + ", ".join(sorted(_KNOWN_HINTS)),
        )


def model_differences(project: Project, url: str) -> tuple[Difference, ...]:
    """What `alembic revision --autogenerate` would write for the database at `url`; nothing is written.

    Changes in flight are left out, as they are for everybody who has this package installed.

    Raises:
        NotUpToDate, NoModels, BadHint: the question cannot be answered.
        RevisionBroken: env.py or a revision raises.
    """
    config = alembic_config(project, url)
    scripts = load_scripts(project, config)
    # As `alembic check` asks: nothing is going to be written.
    wish = dict.fromkeys(("message", "splice", "branch_label", "version_path", "rev_id", "depends_on"))
    context = RevisionContext(config, scripts, {**wish, "autogenerate": True, "sql": False, "head": "head"})
    infos: dict[tuple[QualifiedName, str], Mapping[Any, Any]] = {}

    def compare(revision: Any, migration: Any) -> Iterable[object]:
        context.run_autogenerate(revision, migration)
        for metadata in _metadata(migration.opts["target_metadata"]):
            for table in metadata.tables.values():
                for column in table.columns:
                    infos[_name(table.name, table.schema), str(column.name)] = column.info
        return ()

    try:
        with (
            chdir(project.root),
            redirect_stdout(sys.stderr),
            EnvironmentContext(
                config,
                scripts,
                fn=compare,
                as_sql=False,
                template_args=context.template_args,
                revision_context=context,
            ),
        ):
            scripts.run_env()
    except CommandError as error:
        if "not up to date" in str(error):
            raise NotUpToDate from error
        if "MetaData" in str(error):
            raise NoModels from error
        raise RevisionBroken(error) from error
    except Misuse:
        raise
    except (Exception, SystemExit) as error:  # env.py and the models can raise anything
        raise RevisionBroken(error) from error
    script = context.generated_revisions[-1]
    found = [each for ops in script.upgrade_ops_list for each in _all(ops.ops)]
    return tuple(_with_hints(each, infos) for each in found)


def _metadata(given: Any) -> Sequence[Any]:
    return given if isinstance(given, Sequence) else (given,)


def _all(operations: Iterable[MigrateOperation]) -> Iterator[Difference]:
    for operation in operations:
        if isinstance(operation, ModifyTableOps):
            yield from _all(operation.ops)
        else:
            yield _difference(operation)


def _with_hints(
    difference: Difference, infos: Mapping[tuple[QualifiedName, str], Mapping[Any, Any]]
) -> Difference:
    """An altered column with what the models say of it: autogenerate's own operation does not carry that."""
    if not isinstance(difference, ColumnAltered):
        return difference
    name = difference.column.name
    hints = _hints(f"{difference.table.plain}.{name}", infos.get((difference.table, name), {}))
    return replace(difference, column=replace(difference.column, hints=hints))


def _difference(operation: MigrateOperation) -> Difference:
    match operation:
        case AddColumnOp():
            table = _name(operation.table_name, operation.schema)
            return ColumnAdded(table, _column(table, operation.column))
        case DropColumnOp():
            existing = operation.to_column()
            return ColumnDropped(
                _name(operation.table_name, operation.schema), operation.column_name, _type(existing.type)
            )
        case AlterColumnOp():
            return _altered(operation)
        case CreateTableOp():
            table = _name(operation.table_name, operation.schema)
            return TableAdded(table, _hints(table.plain, operation.to_table().info))
        case DropTableOp():
            return TableDropped(_name(operation.table_name, operation.schema))
        case CreateIndexOp():
            return _index(operation)
        case DropIndexOp():
            index = operation.to_index()
            return IndexDropped(
                _name(str(operation.table_name), operation.schema),
                str(operation.index_name),
                _column_names(index.expressions),
            )
        case CreateUniqueConstraintOp():
            return UniqueAdded(
                _name(operation.table_name, operation.schema),
                _text(operation.constraint_name),
                tuple(str(column) for column in operation.columns),
            )
        case CreateForeignKeyOp():
            return ForeignKeyAdded(
                _name(operation.source_table, operation.kw.get("source_schema")),
                _text(operation.constraint_name),
                tuple(operation.local_cols),
                _name(operation.referent_table, operation.kw.get("referent_schema")),
                tuple(operation.remote_cols),
                _text(operation.kw.get("ondelete")),
                _text(operation.kw.get("onupdate")),
            )
        case DropConstraintOp():
            constraint = operation.to_constraint()
            return ConstraintDropped(
                _name(operation.table_name, operation.schema),
                str(operation.constraint_name),
                _column_names(getattr(constraint, "columns", ())),
            )
        case CreateCheckConstraintOp():
            return Other(
                _name(operation.table_name, operation.schema), f"check constraint {operation.constraint_name}"
            )
        case _:
            return Other(None, " ".join(str(part) for part in operation.to_diff_tuple()[:3]))


def _altered(operation: AlterColumnOp) -> Difference:
    table = _name(operation.table_name, operation.schema)
    type_ = operation.modify_type if operation.modify_type is not None else operation.existing_type
    nullable = (
        operation.modify_nullable if operation.modify_nullable is not None else operation.existing_nullable
    )
    column = ModelColumn(
        operation.column_name,
        _type(type_) if type_ is not None else "",
        not_null=nullable is False,
    )
    default = None
    if operation.modify_server_default is not False:
        default = _default(operation.modify_server_default, type_) or ""
    if (
        operation.modify_type is None
        and operation.modify_nullable is None
        and operation.modify_server_default is False
    ):
        return Other(table, f"comment of {table.plain}.{operation.column_name}", (operation.column_name,))
    return ColumnAltered(
        table,
        column,
        None if operation.modify_nullable is None else not operation.modify_nullable,
        None if operation.modify_type is None else _type(operation.modify_type),
        default,
    )


def _index(operation: CreateIndexOp) -> IndexAdded:
    index = operation.to_index()
    options = index.dialect_options["postgresql"]
    keys = tuple(
        quote(str(each.name))
        if isinstance(each, Column)
        else _sql(each)
        if isinstance(each, ColumnElement)
        else str(each)
        for each in index.expressions
    )
    where = options["where"]
    return IndexAdded(
        _name(operation.table_name, operation.schema),
        str(operation.index_name),
        _column_names(index.expressions),
        tuple(str(key) for key in keys),
        bool(index.unique),
        None if where is None else _sql(where) if isinstance(where, ColumnElement) else str(where),
        _text(options["using"] or None),
    )


# -- columns ------------------------------------------------------------------------------------------------
def _column(table: QualifiedName, column: Column[Any]) -> ModelColumn:
    generated = column.server_default
    computed = _sql(generated.sqltext) if isinstance(generated, Computed) else None
    identity = isinstance(generated, Identity)
    return ModelColumn(
        str(column.name),
        _type(column.type),
        not_null=not column.nullable,
        default=None if computed or identity else _default(generated, column.type),
        computed=computed,
        identity=identity,
        hints=_hints(f"{table.plain}.{column.name}", column.info),
    )


def _default(default: Any, type_: Any) -> str | None:
    if default is None:
        return None
    compiler = _DIALECT.ddl_compiler(_DIALECT, None)  # type: ignore[arg-type]  # as Alembic calls it
    column: Column[Any] = Column("c", type_, server_default=getattr(default, "arg", default))
    return compiler.get_column_default_string(column)


def _type(type_: Any) -> str:
    return str(type_.compile(dialect=_DIALECT))


def _sql(element: ColumnElement[Any] | Any) -> str:
    return str(element.compile(dialect=_DIALECT, compile_kwargs={"literal_binds": True}))


def _column_names(expressions: Iterable[object]) -> tuple[str, ...]:
    names: dict[str, None] = {}
    for each in expressions:
        if isinstance(each, str):
            names[each] = None
        elif isinstance(each, Column):
            names[str(each.name)] = None
        elif isinstance(each, ColumnElement):
            names.update({str(base.name): None for base in each.base_columns if isinstance(base, Column)})
    return tuple(names)


def _hints(where: str, info: Mapping[Any, Any]) -> dict[str, str]:
    hints = info.get(HINTS)
    if hints is None:
        return {}
    if not isinstance(hints, Mapping):
        raise BadHint(where, f"is {hints!r}, not a dictionary")
    for key, value in hints.items():
        if key == "partition":  # of a table; read by `declared_partitions`
            continue
        if key not in _KNOWN_HINTS:
            raise BadHint(where, f"has {key!r}, which nobody knows")
        if not isinstance(value, str) or not value.strip():
            raise BadHint(where, f"[{key!r}] is {value!r}, not text")
    return {key: value for key, value in hints.items() if key != "partition"}


def _name(name: str, schema: str | None) -> QualifiedName:
    return QualifiedName(str(name), str(schema) if schema else "public")


def _text(value: object) -> str | None:
    return None if value is None else str(value)
