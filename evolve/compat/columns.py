"""What one attribute of a mapped class is: a column, a relationship, something else, or nothing that can be told."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Literal

from evolve.compat.models import MappedColumn, MappedType, Relationship
from evolve.compat.source import Attribute, Code, External, Local, Module
from evolve.compat.types import PYTHON, SQL
from evolve.sql.names import QualifiedName

_COLUMNS = frozenset({"Column", "mapped_column"})
_WRAPPERS = frozenset({"deferred", "column_property"})
_RELATIONSHIPS = frozenset({"relationship", "Relationship", "dynamic_loader", "relation"})
_LIBRARIES = (
    "sqlalchemy",
    "sqlmodel",
    "flask_sqlalchemy",
    "sqlalchemy_utils",
    "advanced_alchemy",
    "sqlalchemy_json",
)
_ENUMS = frozenset({"Enum", "ENUM"})
_INTEGERS = frozenset({"Integer", "INTEGER", "BigInteger", "BIGINT", "SmallInteger", "SMALLINT"})
_NOT_COLUMNS = frozenset({"property", "dict", "list", "set", "tuple", "frozenset", "str", "int", "getLogger"})
_MAPPED = ("Mapped", "DynamicMapped", "WriteOnlyMapped")
_FIELD_WORDS = ("primary_key", "nullable", "default", "default_factory", None)
_DEPTH = 8


class Columns:
    """Reads attributes; knows all names of the application through `code`."""

    def __init__(self, code: Code) -> None:
        self._code = code

    def read(
        self,
        module: Module,
        name: str,
        annotation: ast.expr | None,
        value: ast.expr | None,
        *,
        sqlmodel: bool,
        depth: int = 0,
    ) -> MappedColumn | Relationship | str | None:
        """A text says why what may be a column cannot be told; None is something else than a column.

        Args:
            name: of the attribute; "" in a Core table.
            sqlmodel: every annotated attribute is a column.
        """
        inner = self._mapped_annotation(module, annotation) if annotation is not None else None
        if value is None:
            if inner is not None:
                return self._from_annotation(module, name, inner)
            return (
                self._sqlmodel(module, name, annotation, None)
                if sqlmodel and annotation is not None
                else None
            )
        if isinstance(value, ast.Call):
            return self._call(module, name, annotation, inner, value, sqlmodel=sqlmodel, depth=depth)
        if isinstance(value, ast.Name | ast.Attribute):
            return self._shared(module, name, annotation, value, sqlmodel=sqlmodel, depth=depth)
        if sqlmodel and annotation is not None:
            return self._sqlmodel(module, name, annotation, value)
        return None

    # -- values ------------------------------------------------------------------------------------------------
    def _call(
        self,
        module: Module,
        name: str,
        annotation: ast.expr | None,
        inner: ast.expr | None,
        call: ast.Call,
        *,
        sqlmodel: bool,
        depth: int,
    ) -> MappedColumn | Relationship | str | None:
        called = self.library_name(module, call.func)
        if called in _COLUMNS:
            return self._column(module, name, inner, call)
        if called in _WRAPPERS:
            first = call.args[0] if call.args else None
            if not isinstance(first, ast.Call):
                return None  # an expression: it is computed by a SELECT and never stored
            read = self.read(module, name, annotation, first, sqlmodel=sqlmodel, depth=depth + 1)
            late = called == "deferred" or _flag(_words(call), "deferred")
            return replace(read, deferred=late) if isinstance(read, MappedColumn) else None
        if called in _RELATIONSHIPS:
            return self._relationship(name, inner if inner is not None else annotation, call)
        if sqlmodel and called == "Field":
            return self._sqlmodel(module, name, annotation, call)
        if called == "composite":
            return "a composite maps columns of its own"
        if called is not None or self.last_name(module, call.func) in _NOT_COLUMNS:
            return None
        meaning = self._code.meaning(module, call.func)
        match meaning:
            case Local(module=owner, node=ast.FunctionDef(body=body)) if depth < _DEPTH:
                returned = [node.value for node in body if isinstance(node, ast.Return)]
                if len(returned) == 1 and returned[0] is not None and len(body) <= 2:
                    read = self.read(owner, name, annotation, returned[0], sqlmodel=sqlmodel, depth=depth + 1)
                    # Its arguments may change anything but the name.
                    if isinstance(read, MappedColumn) and (call.args or call.keywords):
                        return replace(read, static=False)
                    return read
            case Local(module=owner, node=ast.Call() as partial) if depth < _DEPTH and partial.args:
                if self.last_name(owner, partial.func) == "partial":
                    whole = ast.Call(
                        partial.args[0], [*partial.args[1:], *call.args], [*partial.keywords, *call.keywords]
                    )
                    return self._call(
                        owner, name, annotation, inner, whole, sqlmodel=sqlmodel, depth=depth + 1
                    )
            case Local(node=ast.ClassDef()) if inner is None:
                return None
            case _:
                pass
        return f'what "{ast.unparse(call.func)}" makes of "{name}" is known only when the code runs'

    def _shared(
        self,
        module: Module,
        name: str,
        annotation: ast.expr | None,
        value: ast.expr,
        *,
        sqlmodel: bool,
        depth: int,
    ) -> MappedColumn | Relationship | str | None:
        if isinstance(value, ast.Name) and value.id == "?":
            return f'what "{name}" is, is known only when the code runs'
        match self._code.meaning(module, value):
            case Local(module=owner, node=ast.Call() as call) if depth < _DEPTH:
                return self.read(owner, name, annotation, call, sqlmodel=sqlmodel, depth=depth + 1)
            case _:
                return None

    def _column(
        self, module: Module, attribute: str, inner: ast.expr | None, call: ast.Call
    ) -> MappedColumn | str:
        words = _words(call)
        arguments = list(call.args)
        name = attribute
        if arguments and isinstance(arguments[0], ast.Constant) and isinstance(arguments[0].value, str):
            name = arguments.pop(0).value  # type: ignore[attr-defined]
        elif arguments and isinstance(arguments[0], ast.Constant):
            arguments.pop(0)
        elif attribute and len(arguments) > 1 and self._is_type(module, arguments[1]):
            # A type stands second only behind a name.
            named = self.text(module, arguments.pop(0), {})
            if named is None:
                return f'the name of the column "{attribute}" is known only when the code runs'
            name = named
        if "name" in words:
            named = self.text(module, words["name"], {})
            if named is None:
                return f'the name of the column "{attribute}" is known only when the code runs'
            name = named
        if not name:
            found = self.text(module, arguments[0], {}) if arguments else None
            if found is None:
                return "the name of a column is known only when the code runs"
            name, arguments = found, arguments[1:]
        column = MappedColumn(name, attribute or name)
        if inner is not None:
            annotated = self._from_annotation(module, attribute, inner)
            column = annotated if name == attribute else replace(annotated, name=name)
        return self._options(module, column, words, arguments, annotated=inner is not None)

    def _options(
        self,
        module: Module,
        column: MappedColumn,
        words: Mapping[str | None, ast.expr],
        arguments: list[ast.expr],
        *,
        annotated: bool,
    ) -> MappedColumn:
        """What the arguments of `mapped_column` or `Column` say of `column`."""
        type_, foreign_key = column.type, False
        server_default = column.server_default or "server_default" in words or "server_onupdate" in words
        default = column.default
        identity = False
        candidates = [*arguments, *([words["type_"]] if "type_" in words else [])]
        for argument in candidates:
            made = self.library_name(module, argument.func if isinstance(argument, ast.Call) else argument)
            if made in ("ForeignKey", "CheckConstraint", "UniqueConstraint"):
                foreign_key = foreign_key or made == "ForeignKey"
            elif made in ("Identity", "Computed", "FetchedValue", "DefaultClause"):
                server_default, identity = True, identity or made == "Identity"
            elif made in ("Sequence", "ColumnDefault"):
                default = True
            else:
                type_ = self.type(module, argument) or type_
        for word in ("default", "insert_default", "default_factory"):
            default = default or (word in words and not _is_none(words[word]))
        if "server_default" in words and _is_none(words["server_default"]):
            server_default = column.server_default
        key = _flag(words, "primary_key") or column.primary_key
        nullable = not key if not annotated else column.nullable
        if "nullable" in words:
            value = words["nullable"]
            nullable = value.value is not False if isinstance(value, ast.Constant) else nullable
        elif key:
            nullable = False
        counts = words.get("autoincrement")
        no_counting = isinstance(counts, ast.Constant) and counts.value is False
        integer = type_ is not None and type_.name in _INTEGERS
        dynamic = None in words or any(isinstance(argument, ast.Starred) for argument in arguments)
        dynamic = dynamic or ("nullable" in words and not isinstance(words["nullable"], ast.Constant))
        return replace(
            column,
            type=type_,
            nullable=nullable,
            primary_key=key,
            default=default,
            server_default=server_default,
            autoincrement=key and integer and not foreign_key and not no_counting and not default,
            deferred=column.deferred or _flag(words, "deferred"),
            static=column.static and not dynamic,
        )

    def _relationship(self, name: str, annotation: ast.expr | None, call: ast.Call) -> Relationship | None:
        words = _words(call)
        target = _class_name(call.args[0] if call.args else words.get("argument", annotation))
        if target is None:
            return None
        passive: Literal[False, True, "all"] = False
        match words.get("passive_deletes"):
            case ast.Constant(value=True):
                passive = True
            case ast.Constant(value="all"):
                passive = "all"
            case _:
                pass
        cascade = words.get("cascade")
        deletes = isinstance(cascade, ast.Constant) and any(
            part.strip() in ("all", "delete") for part in str(cascade.value).split(",")
        )
        return Relationship(name, target, passive, deletes, _flag(words, "viewonly"))

    # -- annotations -------------------------------------------------------------------------------------------
    def _mapped_annotation(self, module: Module, annotation: ast.expr) -> ast.expr | None:
        """X of `Mapped[X]`; None where it is not mapped."""
        match annotation:
            case ast.Constant(value=str() as text):
                try:
                    return self._mapped_annotation(module, ast.parse(text, mode="eval").body)
                except SyntaxError:
                    return None
            case ast.Subscript(value=value, slice=inner) if _last(value) in _MAPPED:
                return inner
            case _:
                return None

    def _from_annotation(self, module: Module, name: str, inner: ast.expr, depth: int = 0) -> MappedColumn:
        """The column that `Mapped[inner]` alone declares."""
        plain, optional = _without_none(inner)
        column = MappedColumn(name, name, nullable=optional)
        match self._code.meaning(module, plain) if not isinstance(plain, ast.Subscript) else None:
            case Local(
                module=owner, node=ast.Subscript(value=outer, slice=ast.Tuple(elts=[first, *extras]))
            ) if _last(outer) == "Annotated" and depth < _DEPTH:
                column = replace(self._from_annotation(owner, name, first, depth + 1))
                column = self._annotated(owner, column, extras)
                return replace(column, nullable=optional or column.nullable)
            case _:
                pass
        match plain:
            case ast.Subscript(value=outer, slice=ast.Tuple(elts=[first, *extras])) if (
                _last(outer) == "Annotated"
            ):
                column = self._from_annotation(module, name, first, depth + 1)
                return self._annotated(module, replace(column, nullable=optional or column.nullable), extras)
            case _:
                return replace(column, type=self._python_type(module, plain))

    def _annotated(self, module: Module, column: MappedColumn, extras: list[ast.expr]) -> MappedColumn:
        for extra in extras:
            if isinstance(extra, ast.Call) and self.library_name(module, extra.func) in _COLUMNS:
                column = self._options(module, column, _words(extra), list(extra.args), annotated=True)
        return column

    def _python_type(self, module: Module, node: ast.expr) -> MappedType | None:
        match self._code.meaning(module, node):
            case External(name=name) if name in PYTHON:
                return MappedType(PYTHON[name], None)
            case Local(node=ast.ClassDef()) as local:
                return self._enum_of(local, {}) if self._is_enum(local) else None
            case None if isinstance(node, ast.Name) and node.id in PYTHON:
                return MappedType(PYTHON[node.id], None)
            case _:
                return None

    # -- types -------------------------------------------------------------------------------------------------
    def type(self, module: Module, node: ast.expr) -> MappedType | None:
        """The type that `String(50)`, `sa.Text`, `Enum(Status)` and such stand for; None where it is none we know."""
        call = node if isinstance(node, ast.Call) else None
        name = self.library_name(module, call.func if call else node)
        if name is None:
            match self._code.meaning(module, call.func if call else node):
                case Local(module=owner, node=ast.Call() as made):
                    return self.type(owner, made)
                case Local(node=ast.ClassDef(name=own)):
                    return MappedType(own)
                case _:
                    return None
        if name in _ENUMS:
            return self._enum(module, call) if call else MappedType(name)
        sql = SQL.get(name)
        if name in ("DateTime", "TIMESTAMP") and call and _flag(_words(call), "timezone"):
            sql = "timestamp with time zone"
        return MappedType(name, sql)

    def annotation_map(self, module: Module, node: ast.expr) -> dict[str, MappedType | None] | None:
        """`type_annotation_map`: what `Mapped[…]` alone would give → what it gives; None where it is not known."""
        owner, value = self.followed(module, node)
        if not isinstance(value, ast.Dict):
            return None
        changed: dict[str, MappedType | None] = {}
        for key, item in zip(value.keys, value.values, strict=True):
            usual = self._python_type(owner, key) if key is not None else None
            if usual is not None:
                changed[usual.name] = self.type(owner, item)
        return changed

    def _is_type(self, module: Module, node: ast.expr) -> bool:
        found = self.type(module, node)
        return found is not None and (found.name in SQL or found.name in _ENUMS)

    def _enum(self, module: Module, call: ast.Call) -> MappedType:
        words = _words(call)
        name = self.text(module, words["name"], {}) if "name" in words else None
        schema = self.text(module, words["schema"], {}) if "schema" in words else None
        native = not ("native_enum" in words and not _flag(words, "native_enum"))
        first = call.args[0] if call.args else None
        if first is not None and not isinstance(first, ast.Constant):
            match self._code.meaning(module, first):
                case Local(node=ast.ClassDef()) as local:
                    found = self._enum_of(local, words)
                    type_name = QualifiedName(name, schema or "public") if name else found.enum
                    return replace(found, enum=type_name if native else None)
                case _:
                    pass
        texts = [self.text(module, argument, {}) for argument in call.args]
        values = tuple(text for text in texts if text is not None)
        known = bool(values) and len(values) == len(texts)
        enum = QualifiedName(name, schema or "public") if name and native else None
        return MappedType("Enum", None, values if known else None, enum)

    def _enum_of(self, found: Local, words: Mapping[str | None, ast.expr]) -> MappedType:
        """SQLAlchemy stores the names of the members, unless `values_callable` says otherwise."""
        assert isinstance(found.node, ast.ClassDef)  # noqa: S101 - the caller looked
        members = [
            (target.id, node.value)
            for node in found.node.body
            if isinstance(node, ast.Assign)
            for target in node.targets
            if isinstance(target, ast.Name) and not target.id.startswith("_")
        ]
        values: tuple[str, ...] | None = tuple(name for name, _ in members)
        if "values_callable" in words:
            texts = [self.text(found.module, value, {}) for _, value in members]
            by_value = ".value" in ast.unparse(words["values_callable"])
            values = tuple(text for text in texts if text is not None)
            if not by_value or len(values) != len(texts):
                values = None
        return MappedType("Enum", None, values, QualifiedName(found.node.name.lower()))

    def _is_enum(self, found: Local, depth: int = 0) -> bool:
        assert isinstance(found.node, ast.ClassDef)  # noqa: S101 - the caller looked
        for base in found.node.bases:
            match self._code.meaning(found.module, base):
                case External(name=name) if name.startswith("enum."):
                    return True
                case Local(node=ast.ClassDef()) as local if depth < _DEPTH:
                    if self._is_enum(local, depth + 1):
                        return True
                case _:
                    pass
        return False

    # -- SQLModel ----------------------------------------------------------------------------------------------
    def _sqlmodel(
        self, module: Module, name: str, annotation: ast.expr | None, value: ast.expr | None
    ) -> MappedColumn | Relationship | str | None:
        if (
            annotation is None
            or _last(annotation) == "ClassVar"
            or ast.unparse(annotation).startswith("ClassVar")
        ):
            return None
        words = _words(value) if isinstance(value, ast.Call) else {}
        if "sa_column" in words:
            return self.read(module, name, None, words["sa_column"], sqlmodel=False)
        column = self._from_annotation(module, name, annotation)
        given = value is not None and not isinstance(value, ast.Call) and not _is_none(value)
        column = replace(column, default=given)
        words = {word: node for word, node in words.items() if word in _FIELD_WORDS}
        return self._options(module, column, words, [], annotated=True)

    # -- names and texts ---------------------------------------------------------------------------------------
    def library_name(self, module: Module, node: ast.expr) -> str | None:
        """The last name of something that SQLAlchemy or a library around it gives; None for anything else."""
        match self._code.meaning(module, node):
            case External(name=name) if name.split(".")[0] in _LIBRARIES:
                return name.rpartition(".")[2]
            case Attribute(of=Local(module=owner, node=ast.Call() as call), name=name):
                made = self._code.meaning(owner, call.func)
                return name if isinstance(made, External) and made.name.endswith("SQLAlchemy") else None
            case Attribute(of=Local(node=ast.ClassDef()), name=name) | Attribute(name=name):
                return None if name not in _COLUMNS | _RELATIONSHIPS | SQL.keys() | _ENUMS else name
            case None if (
                isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "db"
            ):
                return node.attr  # what everybody calls Flask-SQLAlchemy's object, wherever it is made
            case _:
                return None

    def last_name(self, module: Module, node: ast.expr) -> str | None:
        match self._code.meaning(module, node.func if isinstance(node, ast.Call) else node):
            case External(name=name):
                return name.rpartition(".")[2]
            case _:
                return _last(node.func if isinstance(node, ast.Call) else node)

    def followed(self, module: Module, node: ast.expr) -> tuple[Module, ast.expr]:
        """The expression that a name stands for, or itself, and the file that it is written in."""
        match self._code.meaning(module, node) if isinstance(node, ast.Name | ast.Attribute) else None:
            case Local(module=owner, node=ast.expr() as value):
                return owner, value
            case _:
                return module, node

    def text(self, module: Module, node: ast.expr, names: Mapping[str, str], depth: int = 0) -> str | None:
        """A text that can be told without running anything; `names` are attributes of the class: `cls.__name__`."""
        match node:
            case ast.Constant(value=str() as value):
                return value
            case ast.Attribute(value=ast.Name(id="cls" | "self"), attr=attribute) if attribute in names:
                return names[attribute]
            case ast.Name() | ast.Attribute() if depth < _DEPTH:
                match self._code.meaning(module, node):
                    case Local(module=owner, node=ast.expr() as value) if value is not node:
                        return self.text(owner, value, names, depth + 1)
                    case _:
                        return None
            case ast.BinOp(left=left, op=ast.Add(), right=right):
                parts = [self.text(module, part, names, depth) for part in (left, right)]
                return _concatenated(parts)
            case ast.JoinedStr(values=values):
                pieces = [part.value if isinstance(part, ast.FormattedValue) else part for part in values]
                return _concatenated([self.text(module, piece, names, depth) for piece in pieces])
            case ast.Call(func=ast.Attribute(value=value, attr="lower" | "upper" as change), args=[]):
                found = self.text(module, value, names, depth)
                return None if found is None else getattr(found, change)()
            case _:
                return None

    def metadata_schema(self, module: Module, node: ast.expr) -> str | None:
        """The schema of `MetaData(schema="…")`, of a name for one, or of `Base.metadata`."""
        owner, value = self.followed(module, node)
        if isinstance(value, ast.Call) and _last(value.func) == "MetaData":
            schema = _words(value).get("schema")
            return self.text(owner, schema, {}) if schema is not None else None
        return None


def _concatenated(parts: list[str | None]) -> str | None:
    return None if None in parts else "".join(part for part in parts if part is not None)


def _words(call: ast.expr) -> dict[str | None, ast.expr]:
    """Keyword arguments; `**rest` stands under None."""
    return {word.arg: word.value for word in call.keywords} if isinstance(call, ast.Call) else {}


def _flag(words: Mapping[str | None, ast.expr], name: str) -> bool:
    value = words.get(name)
    return isinstance(value, ast.Constant) and value.value is True


def _is_none(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is None


def _last(node: ast.expr) -> str | None:
    match node:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
        case _:
            return None


def _without_none(node: ast.expr) -> tuple[ast.expr, bool]:
    """`X | None`, `Optional[X]` and `Union[X, None]` without the None, and whether it was there."""
    match node:
        case ast.Constant(value=str() as text):
            try:
                return _without_none(ast.parse(text, mode="eval").body)
            except SyntaxError:
                return node, False
        case ast.Subscript(value=value, slice=inner) if _last(value) == "Optional":
            return inner, True
        case ast.Subscript(value=value, slice=ast.Tuple(elts=parts)) if _last(value) == "Union":
            return _without(parts)
        case ast.BinOp(op=ast.BitOr()):
            return _without(list(_alternatives(node)))
        case _:
            return node, False


def _without(parts: list[ast.expr]) -> tuple[ast.expr, bool]:
    left = [part for part in parts if not _is_none(part)]
    return (left[0] if left else parts[0]), len(left) < len(parts)


def _alternatives(node: ast.expr) -> Iterator[ast.expr]:
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        yield from _alternatives(node.left)
        yield from _alternatives(node.right)
    else:
        yield node


def _class_name(node: ast.expr | None) -> str | None:
    """The class at the other end: `Mapped[list["Order"]]`, "Order", `lambda: Order`."""
    match node:
        case ast.Constant(value=str() as text):
            try:
                parsed = ast.parse(text, mode="eval").body
            except SyntaxError:
                return None
            return _class_name(parsed) if not isinstance(parsed, ast.Constant) else None
        case ast.Subscript(slice=ast.Tuple(elts=elements)):
            return _class_name(elements[-1])
        case ast.Subscript(slice=inner):
            return _class_name(inner)
        case ast.BinOp():
            return _class_name(_without_none(node)[0])
        case ast.Lambda(body=body):
            return _class_name(body)
        case None:
            return None
        case _:
            return _last(node)
