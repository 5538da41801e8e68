"""Mapped classes and Core tables, read from source that is never run.

Read are declarative classes of SQLAlchemy (`Mapped[…]` and `mapped_column`, or `Column`; mixins, abstract bases,
classes that share a table, `Annotated` types, `declared_attr`), `Table(…)`, Flask-SQLAlchemy's `db.Model` and SQLModel.
What depends on running the code is a gap, or makes a class partly read; it is never guessed.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from evolve.compat.columns import Columns
from evolve.compat.models import NO_PYTHON, Gap, MappedColumn, MappedTable, MappedType, Models, Relationship
from evolve.compat.source import Attribute, Code, External, Local, Module
from evolve.compat.types import SQL
from evolve.sql.names import QualifiedName
from evolve.values import dataclass

# Without one of these words a file maps nothing.
_HINT = re.compile(r"mapped_column|Column\(|Table\(|Mapped\[|__tablename__|\.Model\b|SQLModel|declared_attr")
_ROOTS = frozenset({"DeclarativeBase", "DeclarativeBaseNoMeta", "SQLModel"})
_ROOT_CALLS = frozenset({"declarative_base", "generate_base", "automap_base"})
# Bases of libraries that map no column.
_BARE = frozenset(
    [
        "ABC",
        "AllFeaturesMixin",
        "AsyncAttrs",
        "BaseModel",
        "Generic",
        "MappedAsDataclass",
        "Protocol",
        "object",
    ]
)


@dataclass(frozen=True, slots=True)
class _Lineage:
    """A class and all that it inherits from, nearest first.

    Args:
        declarative: a base makes classes mapped; `flask` and `sqlmodel` say how they are named where they do not say.
        strangers: bases that could not be read: they may map columns of their own.
        schema: what the base's MetaData puts tables into.
    """

    classes: tuple[Local, ...]
    declarative: bool = False
    flask: bool = False
    sqlmodel: bool = False
    strangers: tuple[str, ...] = ()
    schema: str | None = None


def read_models(code: Code, files: Iterable[Path], where: str, gaps: Sequence[Gap] = ()) -> Models:
    """All that the classes and tables of `files` map; bases and types are looked up wherever they are.

    Args:
        where: for a person: "the working tree".
        gaps: what was not even found.
    """
    return _Reader(code).read(files, where, gaps)


class _Reader:
    def __init__(self, code: Code) -> None:
        self._code = code
        self._columns = Columns(code)
        self._gaps: list[Gap] = []
        self._tables: dict[QualifiedName, list[MappedTable]] = {}
        self._lineages: dict[int, _Lineage] = {}

    def read(self, files: Iterable[Path], where: str, gaps: Sequence[Gap]) -> Models:
        for path in dict.fromkeys(files):
            if not _HINT.search(self._code.sources.read(path) or ""):
                continue
            module = self._code.module(path)
            if module is None:
                self._gaps.append(Gap(path, self._code.broken.get(path, 0), NO_PYTHON))
                continue
            for name, node in module.names.items():
                if isinstance(node, ast.ClassDef):
                    self._read_class(Local(module, node, name))
                elif isinstance(node, ast.Call) and self._columns.library_name(module, node.func) == "Table":
                    self._read_table(module, node, name)
        return Models(
            {name: tuple(several) for name, several in self._tables.items()}, where, (*gaps, *self._gaps)
        )

    # -- classes -----------------------------------------------------------------------------------------------
    def _read_class(self, found: Local) -> None:
        module, node = found.module, found.node
        assert isinstance(node, ast.ClassDef)  # noqa: S101 - the caller looked
        lineage = self._lineage(found)
        core = self._own(lineage.classes[:1], "__table__")
        if core is not None:
            owner, value = core
            if isinstance(value, ast.Call):
                self._read_table(owner, value, node.name, mapped=lineage)
            return
        if not self._is_mapped(module, node, lineage):
            return
        name = self._table_name(node, lineage)
        if name is None:
            return
        mapped = MappedTable(name, node.name, module.path, node.lineno)
        self._add(self._fill(mapped, lineage, sqlmodel=lineage.sqlmodel))

    def _is_mapped(self, module: Module, node: ast.ClassDef, lineage: _Lineage) -> bool:
        abstract = self._own(lineage.classes[:1], "__abstract__")
        if abstract is not None and _is_true(abstract[1]):
            return False
        decorators = {self._columns.last_name(module, each) for each in node.decorator_list}
        if not decorators.isdisjoint({"mapped", "mapped_as_dataclass"}):
            return True
        if lineage.sqlmodel:
            return any(word.arg == "table" and _is_true(word.value) for word in node.keywords)
        # A base that cannot be read is one that makes classes mapped where the class names a table.
        return lineage.declarative or bool(
            lineage.strangers and self._own(lineage.classes[:1], "__tablename__")
        )

    def _table_name(self, node: ast.ClassDef, lineage: _Lineage) -> QualifiedName | None:
        """None where the class maps nothing of its own, or where that is a gap."""
        first = lineage.classes[0].module
        schema = self._schema(lineage)
        own = self._own(lineage.classes, "__tablename__")
        if own is None:
            if lineage.sqlmodel:
                return _qualified(node.name.lower(), schema)
            if lineage.flask and self._has_own_key(lineage):
                return _qualified(_flask_name(node.name), schema)
            return None
        module, value = own
        name = self._columns.text(module, value, {"__name__": node.name})
        if name is None:
            self._gap(first, node, f"the name of the table of {node.name} is known only when the code runs")
            return None
        if (
            schema is None
            and self._own(lineage.classes, "__table_args__")
            and self._schema_is_dynamic(lineage)
        ):
            self._gap(first, node, f"the schema of the table of {node.name} is known only when the code runs")
            return None
        return _qualified(name, schema)

    def _fill(self, mapped: MappedTable, lineage: _Lineage, *, sqlmodel: bool) -> MappedTable:
        """With the columns and relationships of the class and of all it inherits from, nearest first."""
        columns: dict[str, MappedColumn] = {}
        relationships: dict[str, Relationship] = {}
        partly = [
            f"{stranger} may map columns, and is not part of the source" for stranger in lineage.strangers
        ]
        seen: set[str] = set()
        parent = self._joined_parent(lineage)
        for each in lineage.classes:
            if parent is not None and each.node is parent.node:
                break  # its columns are in its own table
            assert isinstance(each.node, ast.ClassDef)  # noqa: S101 - a lineage holds classes
            for name, annotation, value, line in self._attributes(each):
                if name in seen:
                    continue
                seen.add(name)
                read = self._columns.read(each.module, name, annotation, value, sqlmodel=sqlmodel)
                match read:
                    case MappedColumn():
                        columns[name] = read
                    case Relationship():
                        relationships[name] = read
                    case str() as why:
                        partly.append(f"{each.module.path.name}:{line}: {why}")
                    case None:
                        pass
        return replace(
            mapped,
            columns=_counting(self._typed(columns.values(), lineage)),
            relationships=tuple(relationships.values()),
            partly=tuple(partly),
        )

    def _typed(self, columns: Iterable[MappedColumn], lineage: _Lineage) -> Iterator[MappedColumn]:
        """With the SQL of types that `Mapped[…]` alone gives, which the base's `type_annotation_map` may change."""
        own = self._own(lineage.classes, "type_annotation_map")
        changed = self._columns.annotation_map(*own) if own is not None else {}
        for column in columns:
            if column.type is None or column.type.sql is not None or column.type.name not in SQL:
                yield column
            elif changed is None:
                yield replace(column, type=None)
            else:
                named = MappedType(column.type.name, SQL[column.type.name])
                yield replace(column, type=changed.get(column.type.name, named))

    def _attributes(self, found: Local) -> Iterator[tuple[str, ast.expr | None, ast.expr | None, int]]:
        """Name, annotation and value of what a class body sets; a declared_attr has the value it returns."""
        assert isinstance(found.node, ast.ClassDef)  # noqa: S101 - a lineage holds classes
        body: list[ast.stmt] = []
        for statement in found.node.body:
            if isinstance(statement, ast.If):
                body += [*statement.body, *statement.orelse]
            else:
                body.append(statement)
        for node in body:
            match node:
                case ast.AnnAssign(target=ast.Name(id=name), annotation=annotation, value=value):
                    if not _dunder(name):
                        yield name, annotation, value, node.lineno
                case ast.Assign(targets=targets, value=value):
                    for target in targets:
                        if isinstance(target, ast.Name) and not _dunder(target.id):
                            yield target.id, None, value, node.lineno
                case ast.FunctionDef(name=name, decorator_list=decorators) if not _dunder(name):
                    if any(_names(each) & {"declared_attr"} for each in decorators):
                        yield name, None, _returned(node) or ast.Name("?"), node.lineno
                case _:
                    pass

    def _joined_parent(self, lineage: _Lineage) -> Local | None:
        """The mapped class it inherits from, whose table is another one."""
        if self._own(lineage.classes[:1], "__tablename__") is None:
            return None
        for each in lineage.classes[1:]:
            if self._own((each,), "__tablename__") is not None and not self._is_mixin_name(each):
                return each
        return None

    def _is_mixin_name(self, found: Local) -> bool:
        """A `__tablename__` made for each class that inherits it."""
        own = self._own((found,), "__tablename__")
        if own is None or isinstance(own[1], ast.Constant):
            abstract = self._own((found,), "__abstract__")
            return abstract is not None or not self._lineage(found).declarative
        return True

    def _has_own_key(self, lineage: _Lineage) -> bool:
        """Flask-SQLAlchemy names a table after a class that has a primary key, beside what mapped parents have."""
        for position, each in enumerate(lineage.classes):
            if position and self._lineage(each).flask and self._own((each,), "__abstract__") is None:
                return False
            for name, annotation, value, _ in self._attributes(each):
                read = self._columns.read(each.module, name, annotation, value, sqlmodel=False)
                if isinstance(read, MappedColumn) and read.primary_key:
                    return True
        return False

    def _own(self, classes: Sequence[Local], name: str) -> tuple[Module, ast.expr] | None:
        """What the first of `classes` that sets `name` sets it to."""
        for each in classes:
            assert isinstance(each.node, ast.ClassDef)  # noqa: S101 - a lineage holds classes
            for node in each.node.body:
                match node:
                    case ast.Assign(targets=targets, value=value):
                        if any(isinstance(target, ast.Name) and target.id == name for target in targets):
                            return each.module, value
                    case ast.AnnAssign(target=ast.Name(id=found), value=ast.expr() as value) if found == name:
                        return each.module, value
                    case ast.FunctionDef(name=found) if found == name:
                        return each.module, _returned(node) or ast.Name("?")
                    case _:
                        pass
        return None

    def _lineage(self, found: Local) -> _Lineage:
        key = id(found.node)
        if key not in self._lineages:
            self._lineages[key] = _Lineage((found,))  # a circle ends here
            self._lineages[key] = self._find_lineage(found)
        return self._lineages[key]

    def _find_lineage(self, found: Local) -> _Lineage:
        assert isinstance(found.node, ast.ClassDef)  # noqa: S101 - the caller looked
        result = _Lineage((found,), schema=self._metadata_schema(found))
        if any(
            self._columns.last_name(found.module, each) == "as_declarative"
            for each in found.node.decorator_list
        ):
            result = replace(result, declarative=True)
        for base in found.node.bases:
            result = _joined(result, self._base(found.module, base))
        return result

    def _base(self, module: Module, base: ast.expr) -> _Lineage:
        match self._code.meaning(module, base):
            case External(name=name):
                last = name.rpartition(".")[2]
                if last in _ROOTS:
                    return _Lineage((), declarative=True, sqlmodel=last == "SQLModel")
                return _Lineage((), strangers=() if last in _BARE else (name,))
            case Attribute(name="Model"):
                return _Lineage((), declarative=True, flask=True)
            case Attribute(name=name):
                return _Lineage((), strangers=(name,))
            case Local(node=ast.ClassDef()) as local:
                return self._lineage(local)
            case Local(module=owner, node=ast.Call() as call) if (
                self._columns.last_name(owner, call.func) in _ROOT_CALLS
            ):
                metadata = next((word.value for word in call.keywords if word.arg == "metadata"), None)
                schema = self._columns.metadata_schema(owner, metadata) if metadata is not None else None
                cls = next((word.value for word in call.keywords if word.arg == "cls"), None)
                root = self._base(owner, cls) if cls is not None else _Lineage(())
                return replace(root, declarative=True, schema=schema or root.schema)
            case _:
                text = ast.unparse(base)
                last = text.partition("[")[0].rpartition(".")[2]
                if last == "Model":
                    return _Lineage((), declarative=True, flask=True)
                return _Lineage((), strangers=() if last in _BARE else (text,))

    # -- schemas -----------------------------------------------------------------------------------------------
    def _schema(self, lineage: _Lineage) -> str | None:
        for node, module in self._table_args(lineage):
            found = self._columns.text(module, node, {})
            if found is not None:
                return found
        return lineage.schema

    def _schema_is_dynamic(self, lineage: _Lineage) -> bool:
        return any(self._columns.text(module, node, {}) is None for node, module in self._table_args(lineage))

    def _table_args(self, lineage: _Lineage) -> Iterator[tuple[ast.expr, Module]]:
        """The "schema" of `__table_args__`, a dictionary or the last item of a tuple."""
        own = self._own(lineage.classes, "__table_args__")
        if own is None:
            return
        module, value = own
        module, value = self._columns.followed(module, value)
        if isinstance(value, ast.Tuple) and value.elts:
            module, value = self._columns.followed(module, value.elts[-1])
        if isinstance(value, ast.Dict):
            for key, item in zip(value.keys, value.values, strict=True):
                if isinstance(key, ast.Constant) and key.value == "schema" and not _is_none(item):
                    yield item, module

    def _metadata_schema(self, found: Local) -> str | None:
        own = self._own((found,), "metadata")
        return self._columns.metadata_schema(*own) if own is not None else None

    # -- core tables -------------------------------------------------------------------------------------------
    def _read_table(self, module: Module, call: ast.Call, name: str, mapped: _Lineage | None = None) -> None:
        arguments = call.args
        table = self._columns.text(module, arguments[0], {}) if arguments else None
        words = {word.arg: word.value for word in call.keywords}
        schema_node = words.get("schema")
        if schema_node is not None:
            schema = self._columns.text(module, schema_node, {})
        else:
            schema = self._columns.metadata_schema(module, arguments[1]) if len(arguments) > 1 else None
        static_schema = schema_node is None or schema is not None or _is_none(schema_node)
        if table is None or not static_schema:
            self._gap(module, call, f"the name of the table of {name} is known only when the code runs")
            return
        partly = [f"{module.path.name}:{call.lineno}: it is read from a database"] * bool(
            {"autoload_with", "autoload"} & words.keys()
        )
        columns: list[MappedColumn] = []
        for argument in arguments[2:]:
            read = self._columns.read(module, "", None, argument, sqlmodel=False)
            if isinstance(read, MappedColumn):
                columns.append(read)
            elif isinstance(read, str) or isinstance(argument, ast.Starred):
                partly.append(
                    f"{module.path.name}:{argument.lineno}: its columns are known only when the code runs"
                )
        found = MappedTable(
            _qualified(table, schema),
            name,
            module.path,
            call.lineno,
            tuple(columns),
            partly=tuple(partly),
            core=True,
        )
        if mapped is not None:
            attributes = self._fill(replace(found, core=False), mapped, sqlmodel=False)
            found = replace(attributes, columns=found.columns, partly=found.partly)
        self._add(found)

    # -- the rest ----------------------------------------------------------------------------------------------
    def _add(self, mapped: MappedTable) -> None:
        self._tables.setdefault(mapped.name, []).append(mapped)

    def _gap(self, module: Module, node: ast.ClassDef | ast.Call, reason: str) -> None:
        self._gaps.append(Gap(module.path, node.lineno, reason))


def _joined(first: _Lineage, second: _Lineage) -> _Lineage:
    known = {id(each.node) for each in first.classes}
    return _Lineage(
        (*first.classes, *(each for each in second.classes if id(each.node) not in known)),
        first.declarative or second.declarative,
        first.flask or second.flask,
        first.sqlmodel or second.sqlmodel,
        tuple(dict.fromkeys((*first.strangers, *second.strangers))),
        first.schema or second.schema,
    )


def _counting(columns: Iterable[MappedColumn]) -> tuple[MappedColumn, ...]:
    """With what only the whole class tells: a key counts up by itself where it is the only one."""
    found = list(columns)
    keys = [column for column in found if column.primary_key]
    return tuple(
        replace(column, autoincrement=False)
        if column.autoincrement and column.primary_key and len(keys) > 1
        else column
        for column in found
    )


def _qualified(name: str, schema: str | None) -> QualifiedName:
    return QualifiedName(name, schema or "public")


def _flask_name(class_name: str) -> str:
    return re.sub(r"((?<=[a-z0-9])[A-Z]|(?!^)[A-Z](?=[a-z]))", r"_\1", class_name).lower().lstrip("_")


def _returned(function: ast.FunctionDef) -> ast.expr | None:
    """What a function returns that does nothing else."""
    body = [
        node
        for node in function.body
        if not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))
    ]
    match body:
        case [ast.Return(value=ast.expr() as value)]:
            return value
        case _:
            return None


def _names(node: ast.expr) -> set[str]:
    return {
        each.id if isinstance(each, ast.Name) else each.attr
        for each in ast.walk(node)
        if isinstance(each, ast.Name | ast.Attribute)
    }


def _dunder(name: str) -> bool:
    return name.startswith("__")


def _is_true(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is True


def _is_none(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is None
