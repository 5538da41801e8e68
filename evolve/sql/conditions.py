"""What the conditions of a query ask of columns: which of them follow from the value of a column alone, and how."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Literal

from evolve.sql.tree import Node, kind_of, pb, strings_of, text_of, walk

# equal: to a value, or to one of several; range: on one side of a value; join: compared with a column of another
# relation, or with the rows of a subquery; own: with another column of its own relation; function, cast, expression:
# of the column stands where the column would have to stand; or: one of several alternatives asks nothing of it.
Form = Literal["equal", "range", "join", "own", "function", "cast", "expression", "or", "null", "operator"]
Column = tuple[str, str]  # (alias of its relation, name)
Resolve = Callable[[Node], Column | None]

_FLIPPED = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "=": "="}


@dataclass(frozen=True, slots=True)
class Condition:
    """What one of the conditions that are joined by AND asks of one column.

    Args:
        detail: the operator as seen from the column; the function, or the type of the cast.
        text: the whole condition as SQL.
        other: the column that a "join" equates it with, where it is a plain one.
        values: how many values "equal" names; None where an array holds as many as it likes.
        parameters: numbers of the parameters that stand for the values by themselves, cast or not.
        functions: those that are called for the values.
        late: the values are known only while the query runs: those of a subquery.
    """

    column: Column
    form: Form
    detail: str
    text: str
    other: Column | None = None
    values: int | None = 1
    parameters: tuple[int, ...] = ()
    functions: tuple[str, ...] = ()
    late: bool = False


def conditions(node: Node, resolve: Resolve) -> Iterator[Condition]:
    """The conditions of a WHERE or ON, each with what it asks of the columns that it names.

    Args:
        resolve: whose column a reference is; None where it is nobody's.
    """
    inner = getattr(node, node.WhichOneof("node") or "", None)
    if inner is None:
        return
    match kind_of(node):
        case "bool_expr" if inner.boolop == pb.AND_EXPR:
            for part in inner.args:
                yield from conditions(part, resolve)
        case "bool_expr" if inner.boolop == pb.OR_EXPR:
            yield from _alternatives(node, resolve)
        case "bool_expr":
            column = _column(inner.args[0], resolve)
            if column is not None:
                yield Condition(column, "equal", "NOT", text_of(node))
            else:
                yield from _named(node, resolve, "operator", "NOT")
        case "column_ref":
            column = _column(node, resolve)
            if column is not None:
                yield Condition(column, "equal", "true", text_of(node))
        case "boolean_test":
            column = _column(inner.arg, resolve)
            if column is not None:
                yield Condition(column, "equal", pb.BoolTestType.Name(inner.booltesttype), text_of(node))
        case "null_test":
            words = "IS NULL" if inner.nulltesttype == pb.IS_NULL else "IS NOT NULL"
            column = _column(inner.arg, resolve)
            if column is not None:
                yield Condition(column, "null", words, text_of(node))
            else:
                yield from _named(inner.arg, resolve, "operator", words)
        case "sub_link" if inner.sub_link_type == pb.ANY_SUBLINK and inner.HasField("testexpr"):
            yield from _subquery(node, inner, resolve)
        case "a_expr":
            yield from _comparison(node, inner, resolve)
        case "sub_link":
            return
        case _:
            yield from _named(node, resolve, "operator", "")


def _comparison(node: Node, inner: Node, resolve: Resolve) -> Iterator[Condition]:
    operator = strings_of(inner.name)[-1] if inner.name else ""
    text = text_of(node)
    left = inner.lexpr
    match inner.kind:
        case pb.AEXPR_OP if kind_of(left) == "row_expr":
            yield from _rows(node, inner, operator, resolve)
        case pb.AEXPR_OP:
            yield from _sides(left, inner.rexpr, operator, text, resolve)
        case pb.AEXPR_OP_ANY if operator == "=":
            yield from _among(left, inner.rexpr, text, resolve)
        case pb.AEXPR_IN if operator == "=":
            items = list(inner.rexpr.list.items)
            for found in _sides(left, inner.rexpr, "=", text, resolve):
                yield replace(found, values=len(items)) if found.form == "equal" else found
        case pb.AEXPR_BETWEEN | pb.AEXPR_BETWEEN_SYM:
            for sign, bound in zip((">=", "<="), inner.rexpr.list.items, strict=True):
                yield from _sides(left, bound, sign, text, resolve)
        case _:
            words = {pb.AEXPR_IN: "NOT IN", pb.AEXPR_LIKE: "LIKE", pb.AEXPR_ILIKE: "ILIKE"}
            yield from _named(node, resolve, "operator", words.get(inner.kind, operator))


def _sides(left: Node, right: Node, operator: str, text: str, resolve: Resolve) -> Iterator[Condition]:
    """Both ways round: `a = b` asks something of each where both are columns."""
    yield from _side(left, right, operator, text, resolve)
    yield from _side(right, left, _FLIPPED.get(operator, operator), text, resolve)


def _side(side: Node, value: Node, operator: str, text: str, resolve: Resolve) -> Iterator[Condition]:
    columns = _columns(side, resolve)
    if not columns:
        return
    column = _column(side, resolve)
    if column is None:
        form, detail = _wrapping(side)
        yield from (Condition(named, form, detail, text) for named in columns)
        return
    others = _columns(value, resolve)
    if any(named[0] == column[0] for named in others):
        yield Condition(column, "own", operator, text)
    elif others:
        yield Condition(column, "join", operator, text, other=_column(value, resolve))
    elif operator not in _FLIPPED:
        yield Condition(column, "operator", operator, text)
    else:
        yield Condition(
            column,
            "equal" if operator == "=" else "range",
            operator,
            text,
            parameters=_parameters(value),
            functions=_functions(value),
            late=any(type(part).__name__ == "SubLink" for part in walk(value)),
        )


def _among(left: Node, array: Node, text: str, resolve: Resolve) -> Iterator[Condition]:
    while kind_of(array) == "type_cast":
        array = array.type_cast.arg
    count: int | None = None
    holder = _column(array, resolve)
    if holder is not None:
        yield Condition(holder, "operator", "= ANY", text)
    if kind_of(array) == "a_array_expr":
        count = len(array.a_array_expr.elements)
    elif kind_of(array) == "a_const" and array.a_const.HasField("sval"):
        count = _array_length(array.a_const.sval.sval)
    for found in _side(left, array, "=", text, resolve):
        if found.form != "equal":
            yield found
        elif kind_of(array) == "a_array_expr":
            yield replace(found, values=count)
        else:
            yield replace(found, values=count, parameters=())


def _array_length(written: str) -> int | None:
    """Of an array literal without nested ones."""
    inside = re.fullmatch(r"\{([^{}\"]*)\}", written)
    if inside is None:
        return None
    return len(inside[1].split(",")) if inside[1].strip() else 0


def _rows(node: Node, inner: Node, operator: str, resolve: Resolve) -> Iterator[Condition]:
    right = inner.rexpr
    if operator == "=" and kind_of(right) == "row_expr":
        for one, other in zip(inner.lexpr.row_expr.args, right.row_expr.args, strict=False):
            yield from _sides(one, other, "=", text_of(node), resolve)
    else:
        yield from _named(node, resolve, "operator", f"a row {operator}")


def _alternatives(node: Node, resolve: Resolve) -> Iterator[Condition]:
    arms = [list(conditions(part, resolve)) for part in node.bool_expr.args]
    for column in _columns(node, resolve):
        own = [
            next((one for one in arm if one.column == column and one.form in ("equal", "range")), None)
            for arm in arms
        ]
        narrowing = [one for one in own if one is not None]
        if len(narrowing) < len(arms):
            yield Condition(column, "or", "OR", text_of(node))
            continue
        counts = [one.values for one in narrowing]
        yield Condition(
            column,
            "equal" if all(one.form == "equal" for one in narrowing) else "range",
            "OR",
            text_of(node),
            values=None if None in counts else sum(count or 0 for count in counts),
            parameters=tuple(number for one in narrowing for number in one.parameters),
            functions=tuple(name for one in narrowing for name in one.functions),
            late=any(one.late for one in narrowing),
        )


def _subquery(node: Node, inner: Node, resolve: Resolve) -> Iterator[Condition]:
    operator = strings_of(inner.oper_name)[-1] if inner.oper_name else "="
    column = _column(inner.testexpr, resolve)
    if column is not None and operator == "=":
        yield Condition(column, "join", "IN", text_of(node), late=True)
    else:
        yield from _named(inner.testexpr, resolve, "operator", "IN")


def _named(node: Node, resolve: Resolve, form: Form, detail: str) -> Iterator[Condition]:
    text = text_of(node)
    yield from (Condition(column, form, detail, text) for column in _columns(node, resolve))


def _column(node: Node, resolve: Resolve) -> Column | None:
    return resolve(node.column_ref) if kind_of(node) == "column_ref" else None


def _columns(node: Node, resolve: Resolve) -> tuple[Column, ...]:
    """Those beneath `node`, but for those of its subqueries, in the order they are written."""
    found: dict[Column, None] = {}
    pending = [node]
    while pending:
        current = pending.pop()
        if kind_of(current) == "sub_link":
            continue
        column = _column(current, resolve)
        if column is not None:
            found[column] = None
        pending.extend(reversed(_children(current)))
    return tuple(found)


def _children(node: Node) -> list[Node]:
    inner = getattr(node, node.WhichOneof("node") or "", None)
    found: list[Node] = []
    for field, value in inner.ListFields() if inner is not None else ():
        if field.message_type is pb.Node.DESCRIPTOR:
            found.extend([value] if isinstance(value, pb.Node) else value)
    return found


def _wrapping(side: Node) -> tuple[Form, str]:
    """What stands round the column."""
    match kind_of(side):
        case "func_call":
            return "function", strings_of(side.func_call.funcname)[-1]
        case "type_cast":
            return "cast", strings_of(side.type_cast.type_name.names)[-1]
        case "coalesce_expr":
            return "function", "coalesce"
        case _:
            return "expression", text_of(side)


def _parameters(value: Node) -> tuple[int, ...]:
    match kind_of(value):
        case "param_ref":
            return (value.param_ref.number,)
        case "type_cast":
            return _parameters(value.type_cast.arg)
        case "list":
            return tuple(number for item in value.list.items for number in _parameters(item))
        case "a_array_expr":
            return tuple(number for item in value.a_array_expr.elements for number in _parameters(item))
        case _:
            return ()


def _functions(value: Node) -> tuple[str, ...]:
    found = []
    for part in walk(value):
        match type(part).__name__:
            case "FuncCall":
                found.append(strings_of(part.funcname)[-1])
            case "SQLValueFunction":
                name = pb.SQLValueFunctionOp.Name(part.op).removeprefix("SVFOP_").lower()
                found.append(name.removesuffix("_n"))
            case _:
                pass
    return tuple(found)
