"""From SQL text to operations.

The parser is PostgreSQL's own grammar (version 18), so names arrive folded and cut to 63 bytes as the server
would cut them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Literal, cast

from evolve.late import late

with late({"google.protobuf.internal.python_message": ()}):  # what is done in C where the parser is
    import postgast

from evolve.sql import plpgsql, types
from evolve.sql.locks import LockMode
from evolve.sql.names import QualifiedName, quote
from evolve.sql.operations import (
    AddColumn,
    AddConstraint,
    AddEnumValue,
    AddIdentity,
    AlterColumnType,
    AlterDomain,
    AlterFunction,
    AlterPolicy,
    AlterSequence,
    AlterTableOther,
    AttachIndex,
    AttachPartition,
    Body,
    ChangePublication,
    Check,
    ColumnDefinition,
    Constraint,
    Copy,
    CreateDomain,
    CreateEnum,
    CreateFunction,
    CreateIndex,
    CreatePolicy,
    CreateSchema,
    CreateSequence,
    CreateTable,
    CreateTrigger,
    CreateView,
    Delete,
    DetachPartition,
    DoBlock,
    DropColumn,
    DropConstraint,
    DropDefault,
    DropExpression,
    DropFunction,
    DropIdentity,
    DropIndex,
    DropNotNull,
    DropPolicy,
    DropSchema,
    DropSequence,
    DropTable,
    DropTrigger,
    DropType,
    DropView,
    Exclude,
    Expression,
    ForeignKey,
    IndexDefinition,
    IndexKey,
    Insert,
    LockTable,
    MoveToSchema,
    NotNull,
    Operation,
    Other,
    PartitionBy,
    PrimaryKey,
    PublishedTable,
    Query,
    RefreshMaterializedView,
    Reindex,
    RenameColumn,
    RenameConstraint,
    RenameEnumValue,
    RenameIndex,
    RenameSchema,
    RenameSequence,
    RenameTable,
    RenameTrigger,
    RenameType,
    RenameView,
    RenameViewColumn,
    SetDefault,
    SetExpression,
    SetNotNull,
    SetParameter,
    TransactionControl,
    Truncate,
    Unique,
    Unread,
    Update,
    ValidateConstraint,
)
from evolve.sql.tree import (
    Node,
    NotRead,
    column_of,
    kind_of,
    name_of,
    pb,
    read_tree,
    relation_of,
    strings_of,
    unwrapped,
    walk,
)
from evolve.sql.tree import text_of as _sql

GATE_COMMENT = "-- evolve: gate"
GATE_KIND = "EVOLVE GATE"


# -- public -------------------------------------------------------------------------------------------------
@lru_cache(maxsize=4096)
def parse(sql: str) -> tuple[Operation, ...]:
    """The operations of one or several statements, in order.

    Never raises: a statement that the grammar refuses gives `Unread`, and the statements round it are still
    read.
    """
    if "\x00" in sql:  # the parser would read no further
        return (Unread(sql, "it holds a zero byte"),)
    try:
        tree = read_tree(sql)
    except NotRead as error:
        return _parse_apart(sql, str(error))
    return tuple(operation for statement in tree.stmts for operation in _read(statement.stmt))


def split(sql: str) -> tuple[str, ...]:
    """The single statements of `sql`, without closing semicolons; what does not scan comes back whole."""
    try:
        parts = postgast.split(sql, method="scanner")
    except (postgast.PgQueryError, UnicodeError):
        parts = [sql]
    return tuple(part.strip() for part in parts if part.strip())


def tokens(sql: str) -> Iterator[tuple[str, int, int]]:
    """The words of `sql`: the scanner's name for each, its first byte in UTF-8 and the one behind its last.

    Text that does not scan, such as one with a string that never ends, is one word "UNREAD".
    """
    try:
        found = postgast.scan(sql).tokens
    except NotRead:
        yield "UNREAD", 0, len(sql.encode("utf-8", "surrogateescape"))
        return
    yield from ((pb.Token.Name(token.token), token.start, token.end) for token in found)


class ExpressionNotRead(ValueError):
    """The text is not one SQL expression."""


@lru_cache(maxsize=4096)
def expression(sql: str) -> Expression:
    """Read one SQL expression.

    Raises:
        ExpressionNotRead: the grammar refuses it.
    """
    return _expression(_expression_node(sql))


def rename_in_expression(
    text: Expression,
    *,
    column: tuple[str, str] | None = None,
    type_name: tuple[QualifiedName, QualifiedName] | None = None,
    relation: tuple[QualifiedName, QualifiedName] | None = None,
) -> Expression:
    """`text` after a column, a type (in casts) or a relation (in `nextval('…')`) was renamed from the first
    to the second.
    """
    if text.constant and type_name is None:
        return text
    node = _expression_node(text.sql)
    changed = False
    for part in walk(node):
        kind = type(part).__name__
        if column and kind == "ColumnRef" and column_of(part) == column[0]:
            part.fields[-1].string.sval = column[1]
            changed = True
        elif type_name and kind == "TypeName" and name_of(strings_of(part.names)) == type_name[0]:
            del part.names[:]
            for word in _words(type_name[1]):
                part.names.add().string.sval = word
            changed = True
        elif relation and kind == "FuncCall" and _function(part) in ("nextval", "currval", "setval"):
            constant = _sequence_constant(part)
            if constant is not None and _relation_text(constant.sval.sval) == relation[0]:
                constant.sval.sval = str(relation[1])
                changed = True
    return _expression(node) if changed else text


def substitute_in_expression(sql: str, values: Mapping[str, str]) -> str:
    """`sql` with an expression, in parentheses unless it is a name, in the place of each column that `values` names.

    Raises:
        ExpressionNotRead: the grammar refuses one of them.
    """
    node = _expression_node(sql)
    put: dict[str, str] = {}
    for part in walk(node):
        column = column_of(part) if type(part).__name__ == "ColumnRef" else None
        if column is not None and column in values:
            # The parser's own printer forgets parentheses that it holds for needless, so it is given a plain name.
            name = f"evolve_value_{len(put)}_"
            while name in sql:
                name += "_"
            del part.fields[:-1]
            part.fields[-1].string.sval = name
            value = _expression_node(values[column])
            put[name] = _sql(value) if kind_of(value) == "column_ref" else f"({_sql(value)})"
    text = _sql(node)
    return re.sub("|".join(put), lambda found: put[found[0]], text) if put else text


def outer_cast(sql: str) -> str | None:
    """The type that an expression is cast to as a whole, as `format_type` spells it; None where it is not cast.

    Raises:
        ExpressionNotRead: the grammar refuses it.
    """
    node = _expression_node(sql)
    return _type(node.type_cast.type_name)[0] if kind_of(node) == "type_cast" else None


def rename_value(text: Expression, type_: str, old: str, new: str, columns: Iterable[str] = ()) -> Expression:
    """`text` after the enum `type_` renamed a value: constants that are cast to it, or compared with its `columns`.

    A bare constant that is the whole of `text` counts as one of the type where `columns` is not empty.
    """
    if f"'{old.replace(chr(39), chr(39) * 2)}'" not in text.sql:
        return text
    node = _expression_node(text.sql)
    own = set(columns)
    for part in walk(node):
        match type(part).__name__:
            case "TypeCast" if _type(part.type_name)[0] == type_:
                _replace_constant(part.arg, old, new)
            case "A_Expr" if own and any(_only_column(side) & own for side in (part.lexpr, part.rexpr)):
                for side in (part.lexpr, part.rexpr):
                    for item in side.list.items if kind_of(side) == "list" else (side,):
                        _replace_constant(item, old, new)
    if own:
        _replace_constant(node, old, new)
    return _expression(node)


def _replace_constant(node: Node, old: str, new: str) -> None:
    if kind_of(node) == "a_const" and node.a_const.HasField("sval") and node.a_const.sval.sval == old:
        node.a_const.sval.sval = new


def sequences_in(text: Expression) -> tuple[QualifiedName, ...]:
    """The sequences that `text` reads through `nextval('…')` and its kin."""
    if not {"nextval", "currval", "setval"} & set(text.functions):
        return ()
    found = []
    for part in walk(_expression_node(text.sql)):
        if type(part).__name__ == "FuncCall" and _function(part) in ("nextval", "currval", "setval"):
            constant = _sequence_constant(part)
            name = _relation_text(constant.sval.sval) if constant is not None else None
            if name is not None:
                found.append(name)
    return tuple(found)


def types_in(text: Expression) -> tuple[str, ...]:
    """The types that `text` casts to, spelled as `format_type` spells them."""
    if "::" not in text.sql and "CAST" not in text.sql.upper():
        return ()
    node = _expression_node(text.sql)
    return tuple(_type(part)[0] for part in walk(node) if type(part).__name__ == "TypeName")


@lru_cache(maxsize=4096)
def canonical(sql: str) -> str:
    """A spelling in which an expression as written and as `pg_get_expr` prints it are equal.

    Casts go away, IN becomes = ANY, LIKE becomes ~~, BETWEEN becomes two comparisons, `now()`-like key words
    and schema `pg_catalog` are unified. It is for comparing, not for running; text that is no expression
    comes back as it is.
    """
    try:
        node = _expression_node(sql)
    except ExpressionNotRead:
        return sql
    return _sql(_canonical(node))


def conjuncts(sql: str) -> tuple[str, ...]:
    """The conditions that `sql` joins by AND, each canonically spelled."""
    node = _canonical(_expression_node(sql))
    return tuple(_sql(part) for part in _anded(node))


def bound_values(bound: str) -> tuple[Literal["range", "list"], tuple[str, ...], tuple[str, ...]] | None:
    """The values of `FOR VALUES …` as SQL: lower and upper of a range, or those of a list and nothing.

    None for DEFAULT and for a hash bound.
    """
    try:
        tree = read_tree(f"ALTER TABLE t ATTACH PARTITION p {bound}")
    except NotRead:
        return None
    spec = _definition(tree.stmts[0].stmt.alter_table_stmt.cmds[0].alter_table_cmd).partition_cmd.bound
    if spec.strategy == "l":
        return "list", tuple(_datum(node) for node in spec.listdatums), ()
    if spec.strategy == "r" and not spec.is_default:
        low = tuple(_datum(node) for node in spec.lowerdatums)
        return "range", low, tuple(_datum(node) for node in spec.upperdatums)
    return None


# -- trees --------------------------------------------------------------------------------------------------
def _parse_apart(sql: str, reason: str) -> tuple[Operation, ...]:
    parts = split(sql)
    if len(parts) < 2:
        return (Unread(sql.strip(), reason),) if sql.strip() else ()
    return tuple(operation for part in parts for operation in parse(part))


def _expression_node(sql: str) -> Node:
    try:
        tree = read_tree(f"SELECT {sql}")
    except NotRead as error:
        raise ExpressionNotRead(f"{sql!r}: {error}") from error
    select = tree.stmts[0].stmt.select_stmt if len(tree.stmts) == 1 else None
    if select is None or len(select.target_list) != 1 or _fields(select) != {"target_list"}:
        raise ExpressionNotRead(repr(sql))
    target = select.target_list[0].res_target
    if _fields(target) != {"val"} or any(type(part).__name__ == "ParamRef" for part in walk(target.val)):
        raise ExpressionNotRead(repr(sql))
    return target.val


def _fields(node: Node) -> set[str]:
    """What a node says beyond where it stands."""
    return {field.name for field, _ in node.ListFields()} - {"location", "limit_option", "op"}


def _statement_sql(node: Node) -> str:
    tree = pb.ParseResult()
    tree.stmts.add().stmt.CopyFrom(node)
    text: str = postgast.deparse(tree)
    return text


# -- names --------------------------------------------------------------------------------------------------
def _words(name: QualifiedName) -> tuple[str, ...]:
    return (name.name,) if name.schema == "public" else (name.schema, name.name)


def _object_name(node: Node) -> tuple[str, ...]:
    """The dotted parts of what DROP, COMMENT and RENAME name, whatever node they name it by."""
    inner = unwrapped(node)
    match kind_of(node):
        case "list":
            return strings_of(inner.items)
        case "type_name":
            return strings_of(inner.names)
        case "object_with_args":
            return strings_of(inner.objname)
        case "string":
            return (inner.sval,)
        case _:
            return ("",)


def _relation_text(text: str) -> QualifiedName | None:
    """A relation as it stands inside a string, such as nextval('"My seq"')."""
    try:
        tree = read_tree(f"TABLE {text}")
        return relation_of(tree.stmts[0].stmt.select_stmt.from_clause[0].range_var)
    except (*NotRead, IndexError):
        return None


# -- types --------------------------------------------------------------------------------------------------
def _type(type_name: Node) -> tuple[str, bool]:
    """The type's spelling, and whether it was written as serial."""
    names = strings_of(type_name.names)
    if len(names) == 1 and names[0] in types.SERIAL and not type_name.array_bounds:
        return types.SERIAL[names[0]], True
    modifiers = [_modifier(node) for node in type_name.typmods]
    return types.spell(names, modifiers, array=bool(type_name.array_bounds)), False


def _modifier(node: Node) -> str:
    match kind_of(node):
        case "a_const":
            constant = node.a_const
            return constant.sval.sval if constant.HasField("sval") else _sql(node)
        case "column_ref":
            return ".".join(strings_of(node.column_ref.fields))
        case _:
            return _sql(node)


# -- expressions --------------------------------------------------------------------------------------------
def _expression(node: Node) -> Expression:
    functions: list[str] = []
    columns: list[str] = []
    constant = True
    query = qualified = False
    for part in walk(node):
        match type(part).__name__:
            case "SubLink":
                query, constant = True, False
            case "FuncCall":
                functions.append(_function(part))
                constant = False
            case "SQLValueFunction":
                functions.append(_value_function(part))
                constant = False
            case "ColumnRef":
                column = column_of(part)
                if column is not None:
                    columns.append(column)
                qualified = qualified or len(part.fields) > 1
                constant = False
            case "TypeCast":
                if kind_of(part.arg) not in ("a_const", "type_cast", "a_array_expr"):
                    constant = False
            case "CoalesceExpr" | "MinMaxExpr" | "CaseExpr" | "XmlExpr" | "ParamRef":
                constant = False
    return Expression(
        sql=_sql(node),
        functions=tuple(dict.fromkeys(functions)),
        columns=tuple(dict.fromkeys(columns)),
        constant=constant,
        not_null_columns=tuple(sorted(_not_null(node, holds=True))),
        query=query,
        qualified=qualified,
    )


def _function(call: Node) -> str:
    *schema, name = strings_of(call.funcname)
    if schema and schema[-1] not in ("pg_catalog", "public"):
        return f"{schema[-1]}.{name}"
    return name


def _value_function(part: Node) -> str:
    """CURRENT_TIMESTAMP(3) and its kin, as "current_timestamp"."""
    name: str = pb.SQLValueFunctionOp.Name(part.op).removeprefix("SVFOP_")
    return name.removesuffix("_N").lower()


def _sequence_constant(call: Node) -> Node | None:
    """The string constant that names the sequence in nextval('s'::regclass)."""
    if not call.args:
        return None
    argument = call.args[0]
    while kind_of(argument) == "type_cast":
        argument = argument.type_cast.arg
    if kind_of(argument) == "a_const" and argument.a_const.HasField("sval"):
        return argument.a_const
    return None


def _not_null(node: Node, *, holds: bool) -> frozenset[str]:
    """The columns that are not null in each row for which the condition is not false (`holds`), or not true.

    PostgreSQL asks `predicate_implied_by(…, weak)`: only `IS NOT NULL` itself counts, through AND, OR and
    NOT. That `c > 0` would fail on a null is no proof, since a CHECK passes when its condition is null.
    """
    inner = unwrapped(node)
    match kind_of(node):
        case "bool_expr":
            parts = [inner.args[i] for i in range(len(inner.args))]
            if inner.boolop == pb.NOT_EXPR:
                return _not_null(parts[0], holds=not holds)
            sets = [_not_null(part, holds=holds) for part in parts]
            every = (inner.boolop == pb.AND_EXPR) == holds
            return frozenset().union(*sets) if every else frozenset.intersection(*sets)
        case "null_test":
            says_not_null = (inner.nulltesttype == pb.IS_NOT_NULL) == holds
            return _only_column(inner.arg) if says_not_null else frozenset()
        case "a_expr" if inner.kind in (pb.AEXPR_DISTINCT, pb.AEXPR_NOT_DISTINCT):
            # The server reads `c IS DISTINCT FROM NULL` as `c IS NOT NULL`.
            if (inner.kind == pb.AEXPR_DISTINCT) != holds:
                return frozenset()
            if _is_null(inner.rexpr):
                return _only_column(inner.lexpr)
            return _only_column(inner.rexpr) if _is_null(inner.lexpr) else frozenset()
        case _:
            return frozenset()


def _only_column(node: Node) -> frozenset[str]:
    if kind_of(node) != "column_ref":
        return frozenset()
    column = column_of(node.column_ref)
    return frozenset() if column is None else frozenset({column})


def _is_null(node: Node) -> bool:
    return kind_of(node) == "a_const" and bool(node.a_const.isnull)


_NUMBER = re.compile(r"-?\d+(\.\d+)?\Z")


def _canonical(node: Node) -> Node:
    """A copy of `node` with the server's own rewritings applied to it and to all beneath it."""
    copy = pb.Node()
    copy.CopyFrom(node)
    _rewrite(copy)
    return copy


def _rewrite(node: Node) -> None:
    which = node.WhichOneof("node")
    if which is None:
        return
    inner = getattr(node, which)
    if which == "type_cast":
        node.CopyFrom(_copied(inner.arg))
        _rewrite(node)
        return
    for field, value in inner.ListFields():
        if field.message_type is None:
            continue
        if isinstance(value, pb.Node):
            _rewrite(value)
        elif hasattr(value, "__getitem__"):
            for item in value:
                if isinstance(item, pb.Node):
                    _rewrite(item)
    if which == "a_const" and inner.HasField("sval") and _NUMBER.match(inner.sval.sval):
        # DEFAULT '-1' for an integer is printed as '-1'::integer, DEFAULT '1' as 1.
        node.CopyFrom(_expression_node(inner.sval.sval))
    if which == "func_call":
        if len(inner.funcname) == 2 and inner.funcname[0].string.sval in ("pg_catalog", "public"):
            del inner.funcname[0]
        inner.funcformat = pb.COERCE_EXPLICIT_CALL
        constant = _sequence_constant(inner) if _function(inner) in ("nextval", "currval", "setval") else None
        name = _relation_text(constant.sval.sval) if constant is not None else None
        if constant is not None and name is not None:
            constant.sval.sval = name.full
    elif which == "a_expr":
        _rewrite_operator(node, inner)
    elif which == "column_ref" and len(inner.fields) > 1:
        del inner.fields[:-1]


def _anded(node: Node) -> Iterator[Node]:
    if kind_of(node) == "bool_expr" and node.bool_expr.boolop == pb.AND_EXPR:
        for part in node.bool_expr.args:
            yield from _anded(part)
    else:
        yield node


def _copied(node: Node) -> Node:
    copy = pb.Node()
    copy.CopyFrom(node)
    return copy


def _rewrite_operator(node: Node, inner: Node) -> None:
    operator = inner.name[0].string.sval if inner.name else ""
    if inner.kind == pb.AEXPR_IN:
        inner.kind = pb.AEXPR_OP_ANY if operator == "=" else pb.AEXPR_OP_ALL
        values = [_copied(item) for item in inner.rexpr.list.items]
        inner.rexpr.Clear()
        inner.rexpr.a_array_expr.elements.extend(values)
    elif inner.kind in (pb.AEXPR_LIKE, pb.AEXPR_ILIKE):
        inner.kind = pb.AEXPR_OP
    elif inner.kind in (pb.AEXPR_BETWEEN, pb.AEXPR_NOT_BETWEEN):
        low, high = (_copied(item) for item in inner.rexpr.list.items)
        within = inner.kind == pb.AEXPR_BETWEEN
        left = _copied(inner.lexpr)
        node.Clear()
        node.bool_expr.boolop = pb.AND_EXPR if within else pb.OR_EXPR
        for sign, bound in ((">=" if within else "<", low), ("<=" if within else ">", high)):
            part = node.bool_expr.args.add().a_expr
            part.kind = pb.AEXPR_OP
            part.name.add().string.sval = sign
            part.lexpr.CopyFrom(left)
            part.rexpr.CopyFrom(bound)
    elif operator == "!=":
        inner.name[0].string.sval = "<>"


# -- statements ---------------------------------------------------------------------------------------------
def _read(node: Node) -> Iterator[Operation]:
    kind = kind_of(node)
    if not kind:
        return
    reader = _READERS.get(kind)
    if reader is None:
        yield Other(_KINDS.get(kind) or kind.removesuffix("_stmt").replace("_", " ").upper())
        return
    yield from reader(unwrapped(node))


def _columns_and_constraints(
    elements: Iterable[Node],
) -> tuple[tuple[ColumnDefinition, ...], tuple[Constraint, ...], tuple[tuple[Node, int], ...]]:
    columns: list[ColumnDefinition] = []
    constraints: list[Constraint] = []
    like: list[tuple[Node, int]] = []
    for element in elements:
        match kind_of(element):
            case "column_def":
                columns.append(_column(element.column_def))
            case "constraint":
                constraints.extend(_constraint(element.constraint))
            case "table_like_clause":
                like.append((element.table_like_clause, len(columns)))
    return tuple(columns), tuple(constraints), tuple(like)


_IDENTITY: dict[str, Literal["always", "by default"]] = {"a": "always", "d": "by default"}


def _column(definition: Node) -> ColumnDefinition:
    # A partition's own options for an inherited column come without a type.
    type_, serial = _type(definition.type_name) if definition.HasField("type_name") else ("", False)
    not_null = False
    default = generation = None
    generated: Literal["stored", "virtual"] | None = None
    identity: Literal["always", "by default"] | None = None
    constraints: list[Constraint] = []
    for node in definition.constraints:
        constraint = node.constraint
        match constraint.contype:
            case pb.CONSTR_NOTNULL:
                not_null = True
                if constraint.conname:
                    constraints.append(NotNull(definition.colname, constraint.conname))
            case pb.CONSTR_DEFAULT if not _casts_null(constraint.raw_expr):
                default = _expression(constraint.raw_expr)
            case pb.CONSTR_IDENTITY:
                identity = _IDENTITY[constraint.generated_when]
            case pb.CONSTR_GENERATED:
                generated = "virtual" if constraint.generated_kind == "v" else "stored"
                generation = _expression(constraint.raw_expr)
            case pb.CONSTR_ATTR_DEFERRABLE:
                last = constraints[-1] if constraints else None
                if isinstance(last, ForeignKey):
                    constraints[-1] = _deferrable(last)
            case pb.CONSTR_ATTR_NOT_ENFORCED:
                last = constraints[-1] if constraints else None
                if isinstance(last, Check | ForeignKey):
                    constraints[-1] = replace(last, not_valid=True, enforced=False)
            case _:
                constraints.extend(_constraint(constraint, column=definition.colname))
    return ColumnDefinition(
        name=definition.colname,
        type=type_,
        not_null=not_null,
        default=default,
        generated=generated,
        generation=generation,
        identity=identity,
        serial=serial,
        collation=_collation(definition),
        constraints=tuple(constraints),
    )


def _deferrable(key: ForeignKey) -> ForeignKey:
    return ForeignKey(
        key.columns,
        key.target,
        key.target_columns,
        key.name,
        key.not_valid,
        key.on_delete,
        key.on_update,
        deferrable=True,
        enforced=key.enforced,
    )


def _collation(definition: Node) -> str | None:
    if not definition.HasField("coll_clause"):
        return None
    return _collation_name(strings_of(definition.coll_clause.collname))


def _collation_name(parts: Sequence[str]) -> str | None:
    if not parts:
        return None
    if len(parts) > 1 and parts[-2] not in ("pg_catalog", "public"):
        return f"{quote(parts[-2])}.{quote(parts[-1])}"
    return None if parts[-1] == "default" else parts[-1]


_ACTIONS = {"c": "CASCADE", "n": "SET NULL", "d": "SET DEFAULT", "r": "RESTRICT"}


def _constraint(constraint: Node, column: str | None = None) -> Iterator[Constraint]:
    """The constraint of a node; nothing for what is no constraint of its own (NULL, DEFERRABLE, ENFORCED)."""
    name = constraint.conname or None
    own = (column,) if column is not None else ()
    match constraint.contype:
        case pb.CONSTR_PRIMARY:
            yield PrimaryKey(
                strings_of(constraint.keys) or own,
                name,
                constraint.indexname or None,
                strings_of(constraint.including),
            )
        case pb.CONSTR_UNIQUE:
            yield Unique(
                strings_of(constraint.keys) or own,
                name,
                constraint.indexname or None,
                bool(constraint.nulls_not_distinct),
                strings_of(constraint.including),
            )
        case pb.CONSTR_CHECK:
            yield Check(
                _expression(constraint.raw_expr),
                name,
                # NOT ENFORCED (PostgreSQL 18) proves as little as NOT VALID.
                not_valid=bool(constraint.skip_validation) or not constraint.is_enforced,
                no_inherit=bool(constraint.is_no_inherit),
                enforced=bool(constraint.is_enforced),
            )
        case pb.CONSTR_FOREIGN:
            yield ForeignKey(
                strings_of(constraint.fk_attrs) or own,
                relation_of(constraint.pktable),
                strings_of(constraint.pk_attrs),
                name,
                not_valid=bool(constraint.skip_validation) or not constraint.is_enforced,
                on_delete=_ACTIONS.get(constraint.fk_del_action),
                on_update=_ACTIONS.get(constraint.fk_upd_action),
                deferrable=bool(constraint.deferrable),
                enforced=bool(constraint.is_enforced),
            )
        case pb.CONSTR_EXCLUSION:
            yield Exclude(
                name,
                constraint.access_method or "btree",
                tuple(_index_key(pair.list.items[0].index_elem) for pair in constraint.exclusions),
                _optional(constraint, "where_clause"),
            )
        case pb.CONSTR_NOTNULL:
            keys = strings_of(constraint.keys)
            yield NotNull(column or (keys[0] if keys else ""), name, bool(constraint.skip_validation))
        case _:
            return


def _casts_null(node: Node) -> bool:
    """True for NULL and a cast of it: the server keeps no such default."""
    inner = unwrapped(node) if isinstance(node, pb.Node) else node
    while type(inner).__name__ == "TypeCast":
        inner = unwrapped(inner.arg)
    return type(inner).__name__ == "A_Const" and bool(inner.isnull)


def _optional(node: Node, field: str) -> Expression | None:
    return _expression(getattr(node, field)) if node.HasField(field) else None


def _bound(spec: Node) -> str:
    if spec.is_default:
        return "DEFAULT"
    if spec.strategy == "h":
        return f"FOR VALUES WITH (modulus {spec.modulus}, remainder {spec.remainder})"
    if spec.strategy == "l":
        return f"FOR VALUES IN ({_datums(spec.listdatums)})"
    return f"FOR VALUES FROM ({_datums(spec.lowerdatums)}) TO ({_datums(spec.upperdatums)})"


def _datums(nodes: Iterable[Node]) -> str:
    return ", ".join(_datum(node) for node in nodes)


def _datum(node: Node) -> str:
    if kind_of(node) == "column_ref":  # MINVALUE and MAXVALUE, which the grammar leaves as names
        return ".".join(strings_of(node.column_ref.fields)).upper()
    return _sql(node)


_METHODS: dict[int, Literal["range", "list", "hash"]] = {
    pb.PARTITION_STRATEGY_RANGE: "range",
    pb.PARTITION_STRATEGY_LIST: "list",
    pb.PARTITION_STRATEGY_HASH: "hash",
}


def _partition_by(statement: Node) -> PartitionBy | None:
    if not statement.HasField("partspec"):
        return None
    spec = statement.partspec
    keys = tuple(part.partition_elem.name or _sql(part.partition_elem.expr) for part in spec.part_params)
    return PartitionBy(_METHODS[spec.strategy], keys)


# Bits of LIKE's options, as parsenodes.h numbers them.
_LIKE_OPTIONS = (
    (1, "comments"),
    (2, "compression"),
    (4, "constraints"),
    (8, "defaults"),
    (16, "generated"),
    (32, "identity"),
    (64, "indexes"),
    (128, "statistics"),
    (256, "storage"),
)


def _create_table(statement: Node) -> Iterator[Operation]:
    columns, constraints, like = _columns_and_constraints(statement.table_elts)
    parents = tuple(relation_of(parent.range_var) for parent in statement.inh_relations)
    is_partition = statement.HasField("partbound")
    yield CreateTable(
        table=relation_of(statement.relation),
        columns=columns,
        constraints=constraints,
        if_not_exists=bool(statement.if_not_exists),
        partition_by=_partition_by(statement),
        partition_of=parents[0] if is_partition else None,
        bound=_bound(statement.partbound) if is_partition else None,
        inherits=() if is_partition else parents,
        like=tuple(relation_of(clause.relation) for clause, _ in like),
        like_options=frozenset(
            word for clause, _ in like for bit, word in _LIKE_OPTIONS if clause.options & bit
        ),
        like_after=tuple(position for _, position in like),
        temporary=statement.relation.relpersistence == "t",
        unlogged=statement.relation.relpersistence == "u",
        settings=_settings(statement.options),
        tablespace=statement.tablespacename or None,
        access_method=statement.access_method or None,
    )


def _settings(options: Iterable[Node]) -> tuple[tuple[str, str], ...]:
    """Storage parameters with their values; one that is named alone is on."""
    return tuple(
        (
            f"{node.def_elem.defnamespace}.{node.def_elem.defname}".removeprefix("."),
            _setting(node.def_elem.arg) if node.def_elem.HasField("arg") else "true",
        )
        for node in options
    )


def _setting(node: Node) -> str:
    match kind_of(node):
        case "string":
            return cast("str", node.string.sval)
        case "type_name":  # the grammar takes a bare word such as off for a type
            return strings_of(node.type_name.names)[-1]
        case "boolean":
            return "true" if node.boolean.boolval else "false"
        case "integer":
            return str(node.integer.ival)
        case _:
            return cast("str", node.float.fval)


def _create_table_as(statement: Node) -> Iterator[Operation]:
    relation = statement.into.rel
    reads = _reads(statement.query)
    yield from _nested_changes(statement.query)
    if statement.objtype == pb.OBJECT_MATVIEW:
        yield CreateView(
            view=relation_of(relation),
            query=_statement_sql(statement.query),
            reads=reads,
            columns=strings_of(statement.into.col_names) or _output_columns(statement.query),
            mentions=_mentions(statement.query),
            materialized=True,
            with_data=not statement.into.skip_data,
            if_not_exists=bool(statement.if_not_exists),
        )
        return
    yield CreateTable(
        table=relation_of(relation),
        if_not_exists=bool(statement.if_not_exists),
        as_query=True,
        temporary=relation.relpersistence == "t",
        unlogged=relation.relpersistence == "u",
        reads=reads,
    )


def _index_key(element: Node) -> IndexKey:
    opclass = strings_of(element.opclass)
    return IndexKey(
        column=element.name or None,
        expression=_expression(element.expr) if element.HasField("expr") else None,
        descending=element.ordering == pb.SORTBY_DESC,
        opclass=opclass[-1] if opclass else None,
        label=_label(element.expr) if element.HasField("expr") else element.name,
    )


def _label(node: Node) -> str | None:
    """The name FigureIndexColname() gives an expression; None where it has none and "expr" stands in."""
    inner = unwrapped(node)
    match kind_of(node):
        case "column_ref":
            return column_of(inner)
        case "func_call":
            return strings_of(inner.funcname)[-1]
        case "type_cast":
            return _label(inner.arg) or strings_of(inner.type_name.names)[-1]
        case "collate_clause":
            return _label(inner.arg)
        case "coalesce_expr":
            return "coalesce"
        case "case_expr":
            return _label(inner.defresult) if inner.HasField("defresult") else "case"
        case "min_max_expr":
            return "greatest" if inner.op == pb.IS_GREATEST else "least"
        case "a_array_expr":
            return "array"
        case _:
            return None


def _create_index(statement: Node) -> Iterator[Operation]:
    definition = IndexDefinition(
        name=statement.idxname or None,
        table=relation_of(statement.relation),
        keys=tuple(_index_key(node.index_elem) for node in statement.index_params),
        unique=bool(statement.unique),
        method=statement.access_method or "btree",
        include=tuple(node.index_elem.name for node in statement.index_including_params),
        where=_optional(statement, "where_clause"),
        nulls_not_distinct=bool(statement.nulls_not_distinct),
        options=tuple(node.def_elem.defname for node in statement.options),
    )
    yield CreateIndex(
        definition,
        concurrently=bool(statement.concurrent),
        if_not_exists=bool(statement.if_not_exists),
        only=not statement.relation.inh,
    )


# -- ALTER TABLE --------------------------------------------------------------------------------------------
# ALTER TABLE clauses without an operation of their own: their words, and where the detail is found.
_CLAUSES = {
    pb.AT_SetStatistics: "set statistics",
    pb.AT_SetOptions: "set column parameters",
    pb.AT_ResetOptions: "reset column parameters",
    pb.AT_SetStorage: "set storage",
    pb.AT_SetCompression: "set compression",
    pb.AT_AlterConstraint: "alter constraint",
    pb.AT_ChangeOwner: "owner",
    pb.AT_ClusterOn: "cluster on",
    pb.AT_DropCluster: "set without cluster",
    pb.AT_SetLogged: "set logged",
    pb.AT_SetUnLogged: "set unlogged",
    pb.AT_DropOids: "set without oids",
    pb.AT_SetAccessMethod: "set access method",
    pb.AT_SetTableSpace: "set tablespace",
    pb.AT_SetRelOptions: "set parameters",
    pb.AT_ResetRelOptions: "reset parameters",
    pb.AT_EnableTrig: "enable trigger",
    pb.AT_EnableAlwaysTrig: "enable always trigger",
    pb.AT_EnableReplicaTrig: "enable replica trigger",
    pb.AT_DisableTrig: "disable trigger",
    pb.AT_EnableTrigAll: "enable trigger",
    pb.AT_DisableTrigAll: "disable trigger",
    pb.AT_EnableTrigUser: "enable trigger",
    pb.AT_DisableTrigUser: "disable trigger",
    pb.AT_EnableRule: "enable rule",
    pb.AT_EnableAlwaysRule: "enable always rule",
    pb.AT_EnableReplicaRule: "enable replica rule",
    pb.AT_DisableRule: "disable rule",
    pb.AT_AddInherit: "inherit",
    pb.AT_DropInherit: "no inherit",
    pb.AT_AddOf: "of",
    pb.AT_DropOf: "not of",
    pb.AT_ReplicaIdentity: "replica identity",
    pb.AT_EnableRowSecurity: "enable row level security",
    pb.AT_DisableRowSecurity: "disable row level security",
    pb.AT_ForceRowSecurity: "force row level security",
    pb.AT_NoForceRowSecurity: "no force row level security",
    pb.AT_GenericOptions: "options",
    pb.AT_AlterColumnGenericOptions: "column options",
}

_REPLICA_IDENTITY = {"n": "nothing", "f": "full", "d": "default"}

# What ALTER names when it is not a table.
_ALTERED = {
    pb.OBJECT_INDEX: "ALTER INDEX",
    pb.OBJECT_VIEW: "ALTER VIEW",
    pb.OBJECT_MATVIEW: "ALTER MATERIALIZED VIEW",
    pb.OBJECT_SEQUENCE: "ALTER SEQUENCE",
    pb.OBJECT_TYPE: "ALTER TYPE",
    pb.OBJECT_FOREIGN_TABLE: "ALTER FOREIGN TABLE",
}


def _alter_table(statement: Node) -> Iterator[Operation]:
    table = relation_of(statement.relation)
    for node in statement.cmds:
        command = node.alter_table_cmd
        if statement.objtype == pb.OBJECT_INDEX and command.subtype == pb.AT_AttachPartition:
            yield AttachIndex(table, relation_of(_definition(command).partition_cmd.name))
        elif statement.objtype != pb.OBJECT_TABLE:
            kind = _ALTERED.get(statement.objtype, "ALTER")
            owned = command.subtype == pb.AT_ChangeOwner
            yield Other(f"{kind} OWNER", table, _role(command.newowner)) if owned else Other(kind, table)
        else:
            yield _alter_table_clause(table, command, only=not statement.relation.inh)


def _definition(command: Node) -> Node:
    return getattr(command, "def")


def _alter_table_clause(table: QualifiedName, command: Node, *, only: bool) -> Operation:
    definition = _definition(command)
    cascade = command.behavior == pb.DROP_CASCADE
    match command.subtype:
        case pb.AT_AddColumn:
            return AddColumn(
                table, _column(definition.column_def), if_not_exists=bool(command.missing_ok), only=only
            )
        case pb.AT_DropColumn:
            return DropColumn(
                table, command.name, if_exists=bool(command.missing_ok), cascade=cascade, only=only
            )
        case pb.AT_AlterColumnType:
            column = definition.column_def
            using = _optional(column, "raw_default")
            return AlterColumnType(
                table, command.name, _type(column.type_name)[0], using, _collation(column), only=only
            )
        case pb.AT_SetNotNull:
            return SetNotNull(table, command.name, only=only)
        case pb.AT_DropNotNull:
            return DropNotNull(table, command.name, only=only)
        case pb.AT_ColumnDefault:
            if not command.HasField("def") or _casts_null(definition):
                return DropDefault(table, command.name, only=only)
            return SetDefault(table, command.name, _expression(definition), only=only)
        case pb.AT_AddIdentity:
            identity = _IDENTITY[definition.constraint.generated_when]
            return AddIdentity(table, command.name, identity, only=only)
        case pb.AT_SetIdentity:
            clause, restart = _identity_clause(definition), _restart(definition.list.items)
            settings = (("restart", str(restart)),) if restart is not None else ()
            return AlterTableOther(table, clause, command.name, settings)
        case pb.AT_DropIdentity:
            return DropIdentity(table, command.name, if_exists=bool(command.missing_ok))
        case pb.AT_SetExpression:
            return SetExpression(table, command.name, _expression(definition))
        case pb.AT_DropExpression:
            return DropExpression(table, command.name, if_exists=bool(command.missing_ok))
        case pb.AT_AddConstraint:
            for constraint in _constraint(definition.constraint):
                return AddConstraint(table, constraint, only=only)
            return AlterTableOther(table, "add constraint")
        case pb.AT_DropConstraint:
            return DropConstraint(
                table, command.name, if_exists=bool(command.missing_ok), cascade=cascade, only=only
            )
        case pb.AT_ValidateConstraint:
            return ValidateConstraint(table, command.name, only=only)
        case pb.AT_AttachPartition:
            part = definition.partition_cmd
            return AttachPartition(table, relation_of(part.name), _bound(part.bound))
        case pb.AT_DetachPartition | pb.AT_DetachPartitionFinalize:
            return DetachPartition(
                table,
                relation_of(definition.partition_cmd.name),
                concurrently=bool(definition.partition_cmd.concurrent),
                finalize=command.subtype == pb.AT_DetachPartitionFinalize,
            )
        case pb.AT_SetRelOptions:
            return AlterTableOther(
                table,
                _clause_words(command),
                _clause_detail(command),
                _settings(definition.list.items),
            )
        case _:
            return AlterTableOther(table, _clause_words(command), _clause_detail(command), only=only)


def _identity_clause(definition: Node) -> str:
    for item in definition.list.items:
        if item.def_elem.defname == "generated":
            return f"set generated {_IDENTITY[chr(item.def_elem.arg.integer.ival)]}"
    return "set sequence options"


def _clause_words(command: Node) -> str:
    if command.subtype == pb.AT_AlterConstraint:
        change = _definition(command).atalter_constraint
        if change.alter_deferrability:
            return f"alter constraint {'' if change.deferrable else 'not '}deferrable"
        if change.alter_enforceability:
            return f"alter constraint {'' if change.is_enforced else 'not '}enforced"
    return _CLAUSES.get(command.subtype) or pb.AlterTableType.Name(command.subtype).removeprefix("AT_")


def _clause_detail(command: Node) -> str | None:
    definition = _definition(command)
    match command.subtype:
        case pb.AT_AlterConstraint:
            return definition.atalter_constraint.conname or None
        case pb.AT_ChangeOwner:
            return _role(command.newowner)
        case pb.AT_SetRelOptions | pb.AT_ResetRelOptions:
            return ", ".join(item.def_elem.defname for item in definition.list.items)
        case pb.AT_EnableTrigAll | pb.AT_DisableTrigAll:
            return "ALL"
        case pb.AT_EnableTrigUser | pb.AT_DisableTrigUser:
            return "USER"
        case pb.AT_AddInherit | pb.AT_DropInherit:
            return str(relation_of(definition.range_var))
        case pb.AT_ReplicaIdentity:
            identity = definition.replica_identity_stmt
            return _REPLICA_IDENTITY.get(identity.identity_type) or f"index {identity.name}"
        case _:
            return command.name or None


# -- rename, move, drop -------------------------------------------------------------------------------------
def _rename(statement: Node) -> Iterator[Operation]:
    new = statement.newname
    relation = relation_of(statement.relation) if statement.HasField("relation") else QualifiedName("")
    named = _object_name(statement.object) if statement.HasField("object") else ()
    match statement.rename_type:
        case pb.OBJECT_TABLE:
            yield RenameTable(relation, new, bool(statement.missing_ok))
        case pb.OBJECT_COLUMN if statement.relation_type == pb.OBJECT_TABLE:
            yield RenameColumn(relation, statement.subname, new, only=not statement.relation.inh)
        case pb.OBJECT_TABCONSTRAINT:
            yield RenameConstraint(relation, statement.subname, new, only=not statement.relation.inh)
        case pb.OBJECT_INDEX:
            yield RenameIndex(relation, new)
        case pb.OBJECT_VIEW:
            yield RenameView(relation, new)
        case pb.OBJECT_MATVIEW:
            yield RenameView(relation, new, materialized=True)
        case pb.OBJECT_SEQUENCE:
            yield RenameSequence(relation, new)
        case pb.OBJECT_TYPE | pb.OBJECT_DOMAIN:
            yield RenameType(name_of(named), new)
        case pb.OBJECT_DOMCONSTRAINT:
            yield AlterDomain(name_of(named), "rename constraint", constraint=statement.subname, to=new)
        case pb.OBJECT_SCHEMA:
            yield RenameSchema(statement.subname, new)
        case pb.OBJECT_COLUMN if statement.relation_type in (pb.OBJECT_VIEW, pb.OBJECT_MATVIEW):
            yield RenameViewColumn(relation, statement.subname, new)
        case pb.OBJECT_POLICY:
            yield AlterPolicy(relation, statement.subname, to=new)
        case pb.OBJECT_TRIGGER:
            yield RenameTrigger(relation, statement.subname, new)
        case _:
            target = relation if statement.HasField("relation") else name_of(named) if named else None
            yield Other(f"RENAME {_object_words(statement.rename_type)}", target, new)


def _object_words(object_type: int) -> str:
    words: str = pb.ObjectType.Name(object_type).removeprefix("OBJECT_")
    known = {"MATVIEW": "MATERIALIZED VIEW", "TABCONSTRAINT": "CONSTRAINT"}
    return known[words] if words in known else words.replace("_", " ")


def _move(statement: Node) -> Iterator[Operation]:
    relation = statement.HasField("relation")
    name = relation_of(statement.relation) if relation else name_of(_object_name(statement.object))
    yield MoveToSchema(_object_words(statement.object_type).lower(), name, statement.newschema)


def _drop(statement: Node) -> Iterator[Operation]:
    for node in statement.objects:
        yield _drop_one(
            statement.remove_type,
            _object_name(node),
            if_exists=bool(statement.missing_ok),
            cascade=statement.behavior == pb.DROP_CASCADE,
            concurrently=bool(statement.concurrent),
        )


def _drop_one(
    kind: int, parts: tuple[str, ...], *, if_exists: bool, cascade: bool, concurrently: bool
) -> Operation:
    name = name_of(parts)
    match kind:
        case pb.OBJECT_TABLE:
            return DropTable(name, if_exists, cascade)
        case pb.OBJECT_INDEX:
            return DropIndex(name, concurrently, if_exists, cascade)
        case pb.OBJECT_VIEW:
            return DropView(name, False, if_exists, cascade)
        case pb.OBJECT_MATVIEW:
            return DropView(name, True, if_exists, cascade)
        case pb.OBJECT_SEQUENCE:
            return DropSequence(name, if_exists, cascade)
        case pb.OBJECT_TYPE | pb.OBJECT_DOMAIN:
            return DropType(name, if_exists, cascade)
        case pb.OBJECT_FUNCTION | pb.OBJECT_PROCEDURE | pb.OBJECT_ROUTINE:
            return DropFunction(name, if_exists, cascade)
        case pb.OBJECT_TRIGGER:
            return DropTrigger(name_of(parts[:-1]), parts[-1], if_exists)
        case pb.OBJECT_SCHEMA:
            return DropSchema(parts[-1], if_exists, cascade)
        case pb.OBJECT_POLICY:
            return DropPolicy(name_of(parts[:-1]), parts[-1], if_exists)
        case pb.OBJECT_RULE:
            return Other("DROP RULE", name_of(parts[:-1]))
        case pb.OBJECT_PUBLICATION:
            return ChangePublication(parts[-1], "drop")
        case pb.OBJECT_EXTENSION:
            return Other("DROP EXTENSION", name, "cascade" if cascade else None)
        case _:
            return Other(f"DROP {_object_words(kind)}", name)


# -- types, sequences ---------------------------------------------------------------------------------------
def _create_enum(statement: Node) -> Iterator[Operation]:
    yield CreateEnum(name_of(strings_of(statement.type_name)), strings_of(statement.vals))


def _alter_enum(statement: Node) -> Iterator[Operation]:
    name = name_of(strings_of(statement.type_name))
    if statement.old_val:
        yield RenameEnumValue(name, statement.old_val, statement.new_val)
        return
    neighbour = statement.new_val_neighbor or None
    yield AddEnumValue(
        name,
        statement.new_val,
        before=None if statement.new_val_is_after else neighbour,
        after=neighbour if statement.new_val_is_after else None,
        if_not_exists=bool(statement.skip_if_new_val_exists),
    )


def _create_domain(statement: Node) -> Iterator[Operation]:
    not_null = False
    default = None
    checks: list[Check] = []
    for node in statement.constraints:
        if node.constraint.contype == pb.CONSTR_NOTNULL:
            not_null = True
        elif node.constraint.contype == pb.CONSTR_DEFAULT:
            default = _expression(node.constraint.raw_expr)
        else:
            checks.extend(c for c in _constraint(node.constraint) if isinstance(c, Check))
    yield CreateDomain(
        name_of(strings_of(statement.domainname)),
        _type(statement.type_name)[0],
        not_null,
        default,
        tuple(checks),
    )


def _alter_domain(statement: Node) -> Iterator[Operation]:
    domain = name_of(strings_of(statement.type_name))
    definition = _definition(statement)
    match statement.subtype:
        case "T" if statement.HasField("def"):
            yield AlterDomain(domain, "set default", default=_expression(definition))
        case "T":
            yield AlterDomain(domain, "drop default")
        case "O":
            yield AlterDomain(domain, "set not null")
        case "N":
            yield AlterDomain(domain, "drop not null")
        case "C":
            for constraint in _constraint(definition.constraint):
                if isinstance(constraint, Check):
                    yield AlterDomain(domain, "add check", check=constraint, constraint=constraint.name)
                else:
                    yield AlterDomain(domain, "set not null")
        case "X":
            yield AlterDomain(domain, "drop constraint", constraint=statement.name)
        case "V":
            yield AlterDomain(domain, "validate constraint", constraint=statement.name)
        case _:
            yield Other("ALTER DOMAIN", domain)


def _sequence_options(options: Iterable[Node]) -> tuple[str | None, tuple[QualifiedName, str] | None, bool]:
    """The type it is given, the column it is to belong to, and whether it is to belong to none."""
    type_ = owner = None
    nobody = False
    for node in options:
        option = node.def_elem
        if option.defname == "as":
            type_ = _type(option.arg.type_name)[0]
        elif option.defname == "owned_by":
            parts = strings_of(option.arg.list.items)
            nobody = parts == ("none",)
            owner = None if len(parts) < 2 else (name_of(parts[:-1]), parts[-1])
    return type_, owner, nobody


def _create_sequence(statement: Node) -> Iterator[Operation]:
    type_, owner, _ = _sequence_options(statement.options)
    yield CreateSequence(
        relation_of(statement.sequence), bool(statement.if_not_exists), type_ or "bigint", owner
    )


def _alter_sequence(statement: Node) -> Iterator[Operation]:
    type_, owner, nobody = _sequence_options(statement.options)
    restart = _restart(statement.options)
    yield AlterSequence(relation_of(statement.sequence), type_, owner, nobody, restart)


def _restart(options: Iterable[Node]) -> int | Literal["start"] | None:
    """What a sequence is to count on from; "start" where RESTART stands alone."""
    for node in options:
        if node.def_elem.defname == "restart":
            return _integer(node.def_elem.arg) if node.def_elem.HasField("arg") else "start"
    return None


def _integer(node: Node) -> int | None:
    """A number that is written out; those beyond 32 bits come as the grammar's floats."""
    match kind_of(node):
        case "integer":
            return int(node.integer.ival)
        case "float":
            return _whole(node.float.fval)
        case "a_const" if node.a_const.HasField("ival"):
            return int(node.a_const.ival.ival)
        case "a_const" if node.a_const.HasField("fval"):
            return _whole(node.a_const.fval.fval)
        case _:
            return None


def _whole(text: str) -> int | None:
    return int(text) if text.isdigit() else None


# -- views, functions, triggers, schemas --------------------------------------------------------------------
def _create_view(statement: Node) -> Iterator[Operation]:
    yield CreateView(
        view=relation_of(statement.view),
        query=_statement_sql(statement.query),
        reads=_reads(statement.query),
        columns=strings_of(statement.aliases) or _output_columns(statement.query),
        mentions=_mentions(statement.query),
        replace=bool(statement.replace),
    )


def _refresh(statement: Node) -> Iterator[Operation]:
    yield RefreshMaterializedView(
        relation_of(statement.relation), bool(statement.concurrent), not statement.skip_data
    )


def _ctes(node: Node) -> frozenset[str]:
    return frozenset(part.ctename for part in walk(node) if type(part).__name__ == "CommonTableExpr")


def _reads(node: Node) -> tuple[QualifiedName, ...]:
    """The relations beneath `node`, in the order they are written; names of its own WITH queries are none."""
    ctes = _ctes(node)
    found = (
        relation_of(part)
        for part in walk(node)
        if type(part).__name__ == "RangeVar" and (part.schemaname or part.relname not in ctes)
    )
    return tuple(dict.fromkeys(found))


def _mentions(node: Node) -> tuple[tuple[QualifiedName | None, str], ...]:
    ctes = _ctes(node)
    named: dict[str, QualifiedName | None] = {}
    mentions: list[tuple[QualifiedName | None, str]] = []
    for part in walk(node):
        match type(part).__name__:
            case "RangeVar":
                alias = part.alias.aliasname if part.HasField("alias") else part.relname
                own = part.schemaname or part.relname not in ctes
                named.setdefault(alias, relation_of(part) if own else None)
            case "JoinExpr":
                mentions.extend((None, column) for column in strings_of(part.using_clause))
                if part.is_natural:
                    mentions.append((None, "*"))
    for part in walk(node):
        if type(part).__name__ != "ColumnRef":
            continue
        column = column_of(part) or "*"
        if len(part.fields) == 1:
            mentions.append((None, column))
            continue
        qualifier = part.fields[-2].string.sval
        if len(part.fields) == 2 and qualifier in named:
            relation = named[qualifier]
            if relation is not None:
                mentions.append((relation, column))
        elif len(part.fields) > 2:
            mentions.append((QualifiedName(qualifier, part.fields[-3].string.sval), column))
    return tuple(dict.fromkeys(mentions))


def _output_columns(query: Node) -> tuple[str, ...] | None:
    """The names of a query's result columns; None where the text alone does not tell them."""
    if kind_of(query) != "select_stmt":
        return None
    select = query.select_stmt
    while select.HasField("larg"):
        select = select.larg
    if select.values_lists:
        return tuple(f"column{i + 1}" for i in range(len(select.values_lists[0].list.items)))
    names = []
    for node in select.target_list:
        target = node.res_target
        name = target.name or _figured_name(target.val)
        if name is None:
            return None
        names.append(name)
    return tuple(names)


def _figured_name(node: Node) -> str | None:
    match kind_of(node):
        case "column_ref":
            return column_of(node.column_ref)
        case "func_call":
            return cast("str", node.func_call.funcname[-1].string.sval)
        case "type_cast":
            return _figured_name(node.type_cast.arg)
        case "coalesce_expr":
            return "coalesce"
        case _:
            return None


def _create_function(statement: Node) -> Iterator[Operation]:
    language = "sql"
    body = None
    for node in statement.options:
        option = node.def_elem
        if option.defname == "language":
            language = option.arg.string.sval
        elif option.defname == "as" and kind_of(option.arg) == "list":
            body = option.arg.list.items[0].string.sval
    options = [node.def_elem for node in statement.options]
    yield CreateFunction(
        name_of(strings_of(statement.funcname)),
        language,
        bool(statement.replace),
        body,
        replace(_runs(statement, language, body), volatile=_volatile(options)),
        _is_definer(options),
        _pinned(options),
    )


def _volatile(options: Iterable[Node]) -> bool:
    told = [option.arg.string.sval for option in options if option.defname == "volatility"]
    return not told or told[-1] == "volatile"


def _is_definer(options: Iterable[Node]) -> bool:
    return any(option.defname == "security" and option.arg.boolean.boolval for option in options)


def _pinned(options: Iterable[Node]) -> tuple[str, ...]:
    """The parameters that SET clauses give a value."""
    return tuple(
        option.arg.variable_set_stmt.name
        for option in options
        if option.defname == "set" and option.arg.variable_set_stmt.kind != pb.VAR_RESET
    )


def _alter_function(statement: Node) -> Iterator[Operation]:
    options = [node.def_elem for node in statement.actions]
    yield AlterFunction(
        name_of(strings_of(statement.func.objname)),
        tuple(_function_option(option) for option in options),
        _is_definer(options),
        _pinned(options),
    )


def _function_option(option: Node) -> str:
    match option.defname:
        case "security":
            return f"security {'definer' if option.arg.boolean.boolval else 'invoker'}"
        case "strict":
            return "strict" if option.arg.boolean.boolval else "called on null input"
        case "leakproof":
            return "leakproof" if option.arg.boolean.boolval else "not leakproof"
        case "set":
            change = option.arg.variable_set_stmt
            if change.kind == pb.VAR_RESET_ALL:
                return "reset all"
            return f"{'reset' if change.kind == pb.VAR_RESET else 'set'} {change.name}"
        case "volatility":
            return cast("str", option.arg.string.sval)
        case name:
            return cast("str", name)


_ROLE_WORDS = {pb.ROLESPEC_PUBLIC: "public", pb.ROLESPEC_CURRENT_USER: "current_user"}


def _role(spec: Node) -> str:
    return spec.rolename or _ROLE_WORDS.get(spec.roletype, "session_user")


def _roles(specs: Iterable[Node]) -> tuple[str, ...]:
    return tuple(_role(node.role_spec) for node in specs)


def _create_policy(statement: Node) -> Iterator[Operation]:
    yield CreatePolicy(
        relation_of(statement.table),
        statement.policy_name,
        bool(statement.permissive),
        statement.cmd_name,
        _roles(statement.roles),
        _optional(statement, "qual"),
        _optional(statement, "with_check"),
    )


def _alter_policy(statement: Node) -> Iterator[Operation]:
    yield AlterPolicy(
        relation_of(statement.table),
        statement.policy_name,
        _roles(statement.roles),
        _optional(statement, "qual"),
        _optional(statement, "with_check"),
    )


def _runs(statement: Node, language: str, body: str | None) -> Body:
    """What a call of the function may do; nobody calls a trigger's function."""
    returns = strings_of(statement.return_type.names)
    if returns and returns[-1] in ("trigger", "event_trigger"):
        return Body()
    if language == "sql":
        if body is not None:
            return Body(parse(body))
        parts = (part.list.items for part in statement.sql_body.list.items)
        return Body(tuple(operation for items in parts for part in items for operation in _read(part)))
    holder = pb.ParseResult()
    holder.stmts.add().stmt.create_function_stmt.CopyFrom(statement)
    return _program(postgast.deparse(holder), language)


def _create_trigger(statement: Node) -> Iterator[Operation]:
    yield CreateTrigger(
        relation_of(statement.relation),
        statement.trigname,
        name_of(strings_of(statement.funcname)),
        bool(statement.replace),
        bool(statement.row),
    )


def _create_schema(statement: Node) -> Iterator[Operation]:
    name = statement.schemaname or statement.authrole.rolename
    yield CreateSchema(name, bool(statement.if_not_exists))
    for element in statement.schema_elts:
        inner = unwrapped(element)
        for field in ("relation", "view", "sequence"):
            if field in inner.DESCRIPTOR.fields_by_name and inner.HasField(field):
                part = getattr(inner, field)
                part.schemaname = part.schemaname or name
        yield from _read(element)


# -- data ---------------------------------------------------------------------------------------------------
def _literals(node: Node) -> frozenset[str]:
    return frozenset(
        part.sval.sval for part in walk(node) if type(part).__name__ == "A_Const" and part.HasField("sval")
    )


def _nested_changes(node: Node) -> Iterator[Operation]:
    """INSERT, UPDATE and DELETE inside WITH, and SELECT … INTO below a statement's top."""
    for part in walk(node):
        if type(part).__name__ == "CommonTableExpr":
            kind = kind_of(part.ctequery)
            if kind in ("insert_stmt", "update_stmt", "delete_stmt", "merge_stmt"):
                yield _change(kind, unwrapped(part.ctequery))


def _change(kind: str, statement: Node) -> Operation:
    table = relation_of(statement.relation)
    match kind:
        case "insert_stmt":
            query = statement.select_stmt.select_stmt
            from_query = statement.HasField("select_stmt") and not query.values_lists
            columns = tuple(node.res_target.name for node in statement.cols)
            sources = _sources(statement) if from_query else ()
            greatest = tuple(_greatest(columns, query))
            return Insert(table, from_query, _literals(statement), columns, sources, greatest)
        case "update_stmt":
            columns = tuple(dict.fromkeys(node.res_target.name for node in statement.target_list))
            filtered, pinned = (
                statement.HasField("where_clause"),
                frozenset(_equalled(statement.where_clause)),
            )
            return Update(table, columns, filtered, _literals(statement), _filters(statement), pinned)
        case "delete_stmt":
            filtered, pinned = (
                statement.HasField("where_clause"),
                frozenset(_equalled(statement.where_clause)),
            )
            return Delete(table, filtered, _literals(statement), _filters(statement), pinned)
        case _:
            return Other("MERGE", table)


def _greatest(columns: Sequence[str], query: Node) -> Iterator[tuple[str, int]]:
    """The columns that are numbers in every row of VALUES, or of a SELECT without FROM, with the greatest of each."""
    rows = [list(row.list.items) for row in query.values_lists]
    if not rows and not query.from_clause and query.op == pb.SETOP_NONE:
        rows = [[target.res_target.val for target in query.target_list]]
    for place, column in enumerate(columns):
        numbers = [_integer(row[place]) if place < len(row) else None for row in rows]
        found = [number for number in numbers if number is not None]
        if found and len(found) == len(numbers):
            yield column, max(found)


def _filters(statement: Node) -> tuple[str, ...]:
    """The columns that a WHERE names."""
    parts = walk(statement.where_clause) if statement.HasField("where_clause") else ()
    named = (column_of(part) for part in parts if type(part).__name__ == "ColumnRef")
    return tuple(dict.fromkeys(column for column in named if column is not None))


def _equalled(condition: Node) -> Iterator[str]:
    """The columns that are equal to a constant, or to one of a list, in every row that the condition lets through."""
    match kind_of(condition):
        case "bool_expr" if condition.bool_expr.boolop == pb.AND_EXPR:
            for part in condition.bool_expr.args:
                yield from _equalled(part)
        case "a_expr":
            comparison = condition.a_expr
            equal = comparison.kind in (pb.AEXPR_OP, pb.AEXPR_IN) and strings_of(comparison.name) == ("=",)
            column = comparison.lexpr.column_ref if kind_of(comparison.lexpr) == "column_ref" else None
            if equal and column is not None and _is_constant(comparison.rexpr):
                yield from filter(None, [column_of(column)])
        case _:
            return


def _is_constant(node: Node) -> bool:
    match kind_of(node):
        case "a_const":
            return True
        case "type_cast":
            return _is_constant(node.type_cast.arg)
        case "list":
            return all(_is_constant(item) for item in node.list.items)
        case _:
            return False


def _sources(insert: Node) -> tuple[QualifiedName, ...]:
    """The relations that the rows of INSERT … SELECT come from, those that only a WHERE asks left out."""
    copy = pb.InsertStmt()
    copy.CopyFrom(insert)
    copy.ClearField("relation")
    for part in walk(copy):
        if type(part).__name__ == "SelectStmt":
            part.ClearField("where_clause")
    return _reads(copy)


def _changes(kind: str) -> Callable[[Node], Iterator[Operation]]:
    def read(statement: Node) -> Iterator[Operation]:
        yield from _nested_changes(statement)
        yield _change(kind, statement)

    return read


def _select(statement: Node) -> Iterator[Operation]:
    yield from _nested_changes(statement)
    if statement.HasField("into_clause"):
        relation = statement.into_clause.rel
        reads = tuple(name for name in _reads(statement) if name != relation_of(relation))
        yield CreateTable(
            table=relation_of(relation),
            as_query=True,
            temporary=relation.relpersistence == "t",
            unlogged=relation.relpersistence == "u",
            reads=reads,
        )
        return
    called = [part for part in walk(statement) if type(part).__name__ == "FuncCall"]
    functions = tuple(dict.fromkeys(map(_function, called)))
    names = dict.fromkeys(name_of(strings_of(call.funcname)) for call in called)
    selected = dict.fromkeys(_selected(statement)) if called else {}
    bounded = ("where_clause", "limit_count", "with_clause", "larg")
    yield Query(
        reads=_reads(statement),
        functions=functions,
        literals=_literals(statement),
        row_locks=any(type(part).__name__ == "LockingClause" for part in walk(statement)),
        # An index tells the greatest and the least.
        whole=bool(statement.from_clause)
        and not any(statement.HasField(clause) for clause in bounded)
        and not {"max", "min"} & set(functions),
        calls=tuple(selected),
        conditions=tuple(name for name in names if name not in selected),
        set_to=tuple(found for call in called for found in _set_to(call)),
    )


def _set_to(call: Node) -> Iterator[tuple[QualifiedName | tuple[QualifiedName, str], int]]:
    """The sequence of a `setval` that is given a number, and what it counts on from."""
    if _function(call) != "setval" or len(call.args) < 2:
        return
    sequence, value = _sequence_of(call), _integer(call.args[1])
    if sequence is None or value is None:
        return
    # setval(…, false): the number itself is the next.
    given = (
        len(call.args) == 3
        and kind_of(call.args[2]) == "a_const"
        and not call.args[2].a_const.boolval.boolval
    )
    yield sequence, value if given else value + 1


def _sequence_of(call: Node) -> QualifiedName | tuple[QualifiedName, str] | None:
    """The sequence that a `setval` names, or the column whose sequence it asks for."""
    named = call.args[0].func_call if kind_of(call.args[0]) == "func_call" else None
    if named is None:
        constant = _sequence_constant(call)
        return _relation_text(constant.sval.sval) if constant is not None else None
    if _function(named) != "pg_get_serial_sequence" or len(named.args) != 2:
        return None
    table, column = _sequence_constant(named), named.args[1]
    owner = _relation_text(table.sval.sval) if table is not None else None
    if owner is None or kind_of(column) != "a_const" or not column.a_const.HasField("sval"):
        return None
    return owner, column.a_const.sval.sval


def _selected(statement: Node) -> Iterator[QualifiedName]:
    """The functions that are called in what a query selects or in its FROM, and in the queries within it."""
    for query in walk(statement):
        if type(query).__name__ == "SelectStmt":
            tables = (part for part in _within(query.from_clause) if type(part).__name__ == "RangeFunction")
            for part in _within([*query.target_list, *query.values_lists, *tables]):
                if type(part).__name__ == "FuncCall":
                    yield name_of(strings_of(part.funcname))


def _within(nodes: Iterable[Node]) -> Iterator[Node]:
    return (part for node in nodes for part in walk(node))


def _show(statement: Node) -> Iterator[Operation]:
    del statement
    yield Query()


def _truncate(statement: Node) -> Iterator[Operation]:
    tables = tuple(relation_of(node.range_var) for node in statement.relations)
    alone = frozenset(relation_of(node.range_var) for node in statement.relations if not node.range_var.inh)
    yield Truncate(tables, statement.behavior == pb.DROP_CASCADE, alone)


def _copy(statement: Node) -> Iterator[Operation]:
    table = relation_of(statement.relation) if statement.HasField("relation") else None
    server: Literal["file", "program"] | None = "program" if statement.is_program else None
    yield Copy(table, bool(statement.is_from), server or ("file" if statement.filename else None))


def _lock_table(statement: Node) -> Iterator[Operation]:
    tables = tuple(relation_of(node.range_var) for node in statement.relations)
    yield LockTable(tables, LockMode(statement.mode))


# -- session and the rest -----------------------------------------------------------------------------------
def _set_parameter(statement: Node) -> Iterator[Operation]:
    local = bool(statement.is_local)
    match statement.kind:
        case pb.VAR_SET_VALUE:
            yield SetParameter(statement.name, ", ".join(_parameter(node) for node in statement.args), local)
        case pb.VAR_RESET_ALL:
            yield SetParameter("all", None, local)
        case pb.VAR_SET_MULTI:
            yield Other(f"SET {statement.name}")
        case _:
            yield SetParameter(statement.name, None, local)


def _parameter(node: Node) -> str:
    if kind_of(node) != "a_const":
        return _sql(node)
    constant = node.a_const
    if constant.HasField("sval"):
        return cast("str", constant.sval.sval)
    return _sql(node)


_TransactionAction = Literal["begin", "commit", "rollback", "savepoint", "release", "rollback to"]
_TRANSACTION: dict[int, _TransactionAction] = {
    pb.TRANS_STMT_BEGIN: "begin",
    pb.TRANS_STMT_START: "begin",
    pb.TRANS_STMT_COMMIT: "commit",
    pb.TRANS_STMT_ROLLBACK: "rollback",
    pb.TRANS_STMT_SAVEPOINT: "savepoint",
    pb.TRANS_STMT_RELEASE: "release",
    pb.TRANS_STMT_ROLLBACK_TO: "rollback to",
}


def _transaction(statement: Node) -> Iterator[Operation]:
    action = _TRANSACTION.get(statement.kind)
    yield TransactionControl(action) if action else Other("PREPARED TRANSACTION")


def _do(statement: Node) -> Iterator[Operation]:
    language, body = "plpgsql", ""
    for node in statement.args:
        if node.def_elem.defname == "as":
            body = node.def_elem.arg.string.sval
        elif node.def_elem.defname == "language":
            language = node.def_elem.arg.string.sval
    if body.lstrip().startswith(GATE_COMMENT):
        yield Other(GATE_KIND)
        return
    quotes = "$evolve_body$"
    runs = _program(f"DO {quotes}{body}{quotes}", language)
    yield DoBlock(body, language, runs.gaps)
    yield from runs.operations


def _program(sql: str, language: str) -> Body:
    """What the block or function that `sql` is, whole, may run."""
    if language != "plpgsql":
        return Body(gaps=(f"it is written in {language}",))
    try:
        program = plpgsql.read_program(postgast.parse_plpgsql(sql))
    except (postgast.PgQueryError, ValueError) as error:
        return Body(gaps=(f"PL/pgSQL refuses it: {error}",))
    operations = tuple(operation for statement in program.statements for operation in parse(statement))
    return Body(operations, tuple(f"EXECUTE {expression}" for expression in program.dynamic))


_REINDEX: dict[int, Literal["index", "table", "schema", "database", "system"]] = {
    pb.REINDEX_OBJECT_INDEX: "index",
    pb.REINDEX_OBJECT_TABLE: "table",
    pb.REINDEX_OBJECT_SCHEMA: "schema",
    pb.REINDEX_OBJECT_SYSTEM: "system",
    pb.REINDEX_OBJECT_DATABASE: "database",
}


def _reindex(statement: Node) -> Iterator[Operation]:
    if statement.HasField("relation"):
        name: QualifiedName | None = relation_of(statement.relation)
    else:
        name = QualifiedName(statement.name) if statement.name else None
    yield Reindex(_REINDEX[statement.kind], name, _option(statement.params, "concurrently"))


def _option(options: Iterable[Node], name: str) -> bool:
    """Whether a yes-or-no option is on; bare it is."""
    for node in options:
        if node.def_elem.defname == name:
            argument = node.def_elem.arg
            if not node.def_elem.HasField("arg"):
                return True
            word = argument.string.sval if kind_of(argument) == "string" else _sql(argument)
            return word.lower() not in ("false", "off", "0")
    return False


def _vacuum(statement: Node) -> Iterator[Operation]:
    kind = "ANALYZE"
    if statement.is_vacuumcmd:
        kind = "VACUUM FULL" if _option(statement.options, "full") else "VACUUM"
    if not statement.rels:
        yield Other(kind)
    for node in statement.rels:
        yield Other(kind, relation_of(node.vacuum_relation.relation))


_COMMENTED = (
    pb.OBJECT_TABLE,
    pb.OBJECT_INDEX,
    pb.OBJECT_VIEW,
    pb.OBJECT_MATVIEW,
    pb.OBJECT_SEQUENCE,
)


def _comment(statement: Node) -> Iterator[Operation]:
    parts = _object_name(statement.object)
    if statement.objtype in _COMMENTED:
        yield Other("COMMENT", name_of(parts))
    elif statement.objtype == pb.OBJECT_COLUMN and len(parts) > 1:  # the server refuses one without its table
        yield Other("COMMENT", name_of(parts[:-1]))
    else:
        yield Other("COMMENT")


def _grant(statement: Node) -> Iterator[Operation]:
    kind = "GRANT" if statement.is_grant else "REVOKE"
    target = None
    if len(statement.objects) == 1:
        [node] = statement.objects
        if kind_of(node) == "range_var":
            target = relation_of(node.range_var)
        elif kind_of(node) == "object_with_args":
            target = name_of(_object_name(node))
    yield Other(kind, target, ", ".join(_roles(statement.grantees)))


def _named(kind: str, field: str) -> Callable[[Node], Iterator[Operation]]:
    """A reader for statements whose relation stands in `field` and which have no operation of their own."""

    def read(statement: Node) -> Iterator[Operation]:
        yield Other(kind, relation_of(getattr(statement, field)) if statement.HasField(field) else None)

    return read


def _create_statistics(statement: Node) -> Iterator[Operation]:
    tables = [node.range_var for node in statement.relations if kind_of(node) == "range_var"]
    yield Other("CREATE STATISTICS", relation_of(tables[0]) if tables else None)


def _define(statement: Node) -> Iterator[Operation]:
    yield Other(f"CREATE {_object_words(statement.kind)}", name_of(strings_of(statement.defnames)))


def _alter_owner(statement: Node) -> Iterator[Operation]:
    target = name_of(_object_name(statement.object)) if statement.HasField("object") else None
    yield Other(f"ALTER {_object_words(statement.object_type)} OWNER", target, _role(statement.newowner))


def _change_role(kind: str) -> Callable[[Node], Iterator[Operation]]:
    def read(statement: Node) -> Iterator[Operation]:
        options = (node.def_elem for node in statement.options)
        name = statement.role if isinstance(statement.role, str) else _role(statement.role)
        turned_on = frozenset(
            o.defname for o in options if kind_of(o.arg) == "boolean" and o.arg.boolean.boolval
        )
        yield Other(kind, QualifiedName(name), options=turned_on)

    return read


def _drop_database(statement: Node) -> Iterator[Operation]:
    yield Other("DROP DATABASE", QualifiedName(statement.dbname))


def _drop_tablespace(statement: Node) -> Iterator[Operation]:
    yield Other("DROP TABLESPACE", QualifiedName(statement.tablespacename))


def _drop_owned(statement: Node) -> Iterator[Operation]:
    yield Other("DROP OWNED", None, ", ".join(_roles(statement.roles)))


def _create_type(field: str) -> Callable[[Node], Iterator[Operation]]:
    def read(statement: Node) -> Iterator[Operation]:
        part = getattr(statement, field)
        yield Other(
            "CREATE TYPE", relation_of(part) if hasattr(part, "relname") else name_of(strings_of(part))
        )

    return read


def _foreign_table(statement: Node) -> Iterator[Operation]:
    yield Other("CREATE FOREIGN TABLE", relation_of(statement.base_stmt.relation))


def _extension(kind: str) -> Callable[[Node], Iterator[Operation]]:
    def read(statement: Node) -> Iterator[Operation]:
        told = {
            node.def_elem.defname: node.def_elem.arg.string.sval
            for node in statement.options
            if node.def_elem.defname in ("new_version", "schema")
        }
        # Only CREATE has the field at all.
        met = getattr(statement, "if_not_exists", False)
        options = frozenset({"if not exists"} if met else ())
        name = QualifiedName(statement.extname, told.get("schema", "public"))
        yield Other(kind, name, told.get("new_version"), options)

    return read


def _parameter_of(kind: str) -> Callable[[Node], Iterator[Operation]]:
    def read(statement: Node) -> Iterator[Operation]:
        yield Other(kind, detail=statement.setstmt.name or None)

    return read


# -- logical replication ------------------------------------------------------------------------------------
def _create_publication(statement: Node) -> Iterator[Operation]:
    tables, schemas = _published(statement)
    yield ChangePublication(statement.pubname, "create", tables, schemas, bool(statement.for_all_tables))


_PUBLICATION: dict[int, Literal["add", "set", "remove"]] = {
    pb.AP_AddObjects: "add",
    pb.AP_SetObjects: "set",
    pb.AP_DropObjects: "remove",
}


def _alter_publication(statement: Node) -> Iterator[Operation]:
    if not statement.pubobjects:
        yield Other("ALTER PUBLICATION")
        return
    tables, schemas = _published(statement)
    yield ChangePublication(statement.pubname, _PUBLICATION[statement.action], tables, schemas)


def _published(statement: Node) -> tuple[tuple[PublishedTable, ...], tuple[str, ...]]:
    tables: list[PublishedTable] = []
    schemas: list[str] = []
    for node in statement.pubobjects:
        spec = node.publication_obj_spec
        # A name alone, behind a comma, is one more of what stands before it.
        if spec.HasField("pubtable"):
            part = spec.pubtable
            filtered = _optional(part, "where_clause")
            tables.append(
                PublishedTable(relation_of(part.relation), strings_of(part.columns) or None, filtered)
            )
        elif spec.pubobjtype == pb.PUBLICATIONOBJ_TABLES_IN_CUR_SCHEMA:
            schemas.append("public")
        elif tables and not schemas:
            tables.append(PublishedTable(name_of((spec.name,))))
        else:
            schemas.append(spec.name)
    return tuple(tables), tuple(schemas)


def _explain(statement: Node) -> Iterator[Operation]:
    yield Other("EXPLAIN")
    if _option(statement.options, "analyze"):
        yield from _read(statement.query)


def _call(statement: Node) -> Iterator[Operation]:
    yield Other("CALL", name_of(strings_of(statement.funccall.funcname)))


_READERS: dict[str, Callable[[Node], Iterator[Operation]]] = {
    "call_stmt": _call,
    "create_stmt": _create_table,
    "create_table_as_stmt": _create_table_as,
    "create_foreign_table_stmt": _foreign_table,
    "index_stmt": _create_index,
    "alter_table_stmt": _alter_table,
    "rename_stmt": _rename,
    "alter_object_schema_stmt": _move,
    "drop_stmt": _drop,
    "create_enum_stmt": _create_enum,
    "alter_enum_stmt": _alter_enum,
    "composite_type_stmt": _create_type("typevar"),
    "create_range_stmt": _create_type("type_name"),
    "create_domain_stmt": _create_domain,
    "alter_domain_stmt": _alter_domain,
    "create_seq_stmt": _create_sequence,
    "alter_seq_stmt": _alter_sequence,
    "view_stmt": _create_view,
    "refresh_mat_view_stmt": _refresh,
    "create_function_stmt": _create_function,
    "create_trig_stmt": _create_trigger,
    "create_schema_stmt": _create_schema,
    "insert_stmt": _changes("insert_stmt"),
    "update_stmt": _changes("update_stmt"),
    "delete_stmt": _changes("delete_stmt"),
    "merge_stmt": _changes("merge_stmt"),
    "select_stmt": _select,
    "variable_show_stmt": _show,
    "truncate_stmt": _truncate,
    "copy_stmt": _copy,
    "lock_stmt": _lock_table,
    "variable_set_stmt": _set_parameter,
    "transaction_stmt": _transaction,
    "do_stmt": _do,
    "reindex_stmt": _reindex,
    "vacuum_stmt": _vacuum,
    "cluster_stmt": _named("CLUSTER", "relation"),
    "comment_stmt": _comment,
    "grant_stmt": _grant,
    "rule_stmt": _named("CREATE RULE", "relation"),
    "create_policy_stmt": _create_policy,
    "alter_policy_stmt": _alter_policy,
    "alter_function_stmt": _alter_function,
    "create_role_stmt": _change_role("CREATE ROLE"),
    "alter_role_stmt": _change_role("ALTER ROLE"),
    "dropdb_stmt": _drop_database,
    "drop_table_space_stmt": _drop_tablespace,
    "drop_owned_stmt": _drop_owned,
    "create_stats_stmt": _create_statistics,
    "define_stmt": _define,
    "alter_owner_stmt": _alter_owner,
    "explain_stmt": _explain,
    "create_extension_stmt": _extension("CREATE EXTENSION"),
    "alter_extension_stmt": _extension("ALTER EXTENSION UPDATE"),
    "alter_role_set_stmt": _parameter_of("ALTER ROLE SET"),
    "alter_database_set_stmt": _parameter_of("ALTER DATABASE SET"),
    "create_publication_stmt": _create_publication,
    "alter_publication_stmt": _alter_publication,
}

# Kinds whose node name does not read as the statement does.
_KINDS = {
    "alter_type_stmt": "ALTER TYPE",
    "createdb_stmt": "CREATE DATABASE",
    "create_fdw_stmt": "CREATE FOREIGN DATA WRAPPER",
    "alter_fdw_stmt": "ALTER FOREIGN DATA WRAPPER",
    "create_plang_stmt": "CREATE LANGUAGE",
    "create_am_stmt": "CREATE ACCESS METHOD",
    "create_event_trig_stmt": "CREATE EVENT TRIGGER",
    "alter_event_trig_stmt": "ALTER EVENT TRIGGER",
    "check_point_stmt": "CHECKPOINT",
    "constraints_set_stmt": "SET CONSTRAINTS",
    "grant_role_stmt": "GRANT ROLE",
    "create_table_space_stmt": "CREATE TABLESPACE",
    "alter_stats_stmt": "ALTER STATISTICS",
}


# -- definitions ------------------------------------------------------------------------------------------
def rename_in_definition(sql: str, column: str, to: str, *, name: str | None = None) -> str:
    """A CREATE INDEX or an ALTER TABLE … ADD CONSTRAINT as it reads for column `to` in the place of `column`.

    Schema `public` is left out of an index's table.

    Args:
        sql: one statement about one table; a foreign key's target columns are left alone.
        column: as it is named now.
        to: as it is to be named.
        name: of the new index or constraint; None keeps the name.
    """
    tree = read_tree(sql)
    for part in walk(tree.stmts[0].stmt):
        match type(part).__name__:
            case "ColumnRef" if column_of(part) == column:
                part.fields[-1].string.sval = to
            case "IndexElem" if part.name == column:
                part.name = to
            case "Constraint":
                for field in (part.keys, part.including, part.fk_attrs, part.fk_del_set_cols):
                    for node in field:
                        if node.string.sval == column:
                            node.string.sval = to
                part.conname = name or part.conname
            case "IndexStmt":
                part.idxname = name or part.idxname
                if part.relation.schemaname == "public":
                    part.relation.schemaname = ""
            case _:
                pass
    text: str = postgast.deparse(tree)
    return text


def retarget_foreign_key(sql: str, columns: Mapping[str, str]) -> str:
    """An ALTER TABLE … ADD CONSTRAINT … FOREIGN KEY as it reads when the columns that it points to have other names.

    Args:
        columns: their names now → then; what is not among them stays.
    """
    tree = read_tree(sql)
    for part in walk(tree.stmts[0].stmt):
        if type(part).__name__ == "Constraint":
            for node in part.pk_attrs:
                node.string.sval = columns.get(node.string.sval, node.string.sval)
    text: str = postgast.deparse(tree)
    return text
