"""Which columns of a table a statement uses, told from its text alone; in doubt it uses them.

What is in doubt: an unqualified column, where the table is one of several; an unqualified table, whose schema the
session's search_path tells. `*`, a whole row, RETURNING, an INSERT without a list of columns, NATURAL JOIN and COPY
without a list use every column: the text will fail, or answer something else, once one of them is gone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from evolve.sql.names import QualifiedName
from evolve.sql.tree import Node, NotRead, column_of, kind_of, pb, read_tree, strings_of, walk

# Statements that read or write rows, by themselves or in the query they hold; others only name the table.
_OF_ROWS = frozenset(
    {
        *("select_stmt", "insert_stmt", "update_stmt", "delete_stmt", "merge_stmt", "copy_stmt", "call_stmt"),
        *(
            "truncate_stmt",
            "lock_stmt",
            "explain_stmt",
            "prepare_stmt",
            "execute_stmt",
            "declare_cursor_stmt",
        ),
        *("create_table_as_stmt", "view_stmt"),
    }
)
_WRITES = frozenset({"InsertStmt", "UpdateStmt", "DeleteStmt", "MergeStmt"})


@dataclass(frozen=True, slots=True)
class TableUse:
    """How a statement uses a table that it names.

    Args:
        columns: those it names, or may name.
        whole: why it uses all of them; None where it does not.
    """

    columns: frozenset[str] = frozenset()
    whole: str | None = None

    def of(self, column: str | None) -> str | None:
        """Why it uses that column, or the table where that is None; None where it does not."""
        if column is None:
            return "names the table"
        return "names it" if column in self.columns else self.whole


def table_use(sql: str, table: QualifiedName) -> TableUse | None:
    """How `sql`, one or several statements, uses `table`; None where it does not name it."""
    try:
        statements = [statement.stmt for statement in read_tree(sql).stmts]
    except NotRead:
        return TableUse(whole="names the table, and cannot be read") if worded(sql, table.name) else None
    found = [use for node in statements if (use := _statement_use(node, table)) is not None]
    if not found:
        return None
    columns = frozenset[str]().union(*(use.columns for use in found))
    return TableUse(columns, next((use.whole for use in found if use.whole), None))


def worded(sql: str, name: str) -> bool:
    """Whether `name` stands anywhere in `sql` as a word."""
    return re.search(rf"(?<![\w$]){re.escape(name)}(?![\w$])", sql, re.IGNORECASE) is not None


def _statement_use(node: Node, table: QualifiedName) -> TableUse | None:
    if kind_of(node) == "do_stmt":
        text = next(
            (arg.def_elem.arg.string.sval for arg in node.do_stmt.args if arg.def_elem.defname == "as"), ""
        )
        return TableUse(whole="names the table in a DO block") if worded(text, table.name) else None
    if kind_of(node) not in _OF_ROWS:
        return None
    reading = _Reading(table)
    reading.read(node)
    return reading.use


@dataclass
class _Reading:
    table: QualifiedName
    aliases: set[str] = field(default_factory=set)
    columns: set[str] = field(default_factory=set)
    wholes: list[str] = field(default_factory=list)

    @property
    def use(self) -> TableUse | None:
        if not self.aliases:
            return None
        return TableUse(frozenset(self.columns), self.wholes[0] if self.wholes else None)

    def read(self, node: Node) -> None:
        parts = list(walk(node))
        for part in parts:
            if type(part).__name__ == "RangeVar" and self._is_it(part):
                self.aliases.add(part.alias.aliasname if part.HasField("alias") else part.relname)
                if part.HasField("alias") and part.alias.colnames:
                    self.wholes.append("gives its columns names by their places")
        if not self.aliases:
            return
        for part in parts:
            match type(part).__name__:
                case "ColumnRef":
                    self._column(part)
                case "SelectStmt":
                    if any(_is_star(target) for target in part.target_list) and self._in_from(
                        part.from_clause
                    ):
                        self.wholes.append("selects *")
                case "JoinExpr":
                    self.columns.update(strings_of(part.using_clause))
                    if part.is_natural:
                        self.wholes.append("joins it by NATURAL")
                case "CopyStmt" if part.HasField("relation") and self._is_it(part.relation):
                    self.columns.update(strings_of(part.attlist))
                    if not part.attlist:
                        self.wholes.append("copies whole rows")
                case kind if kind in _WRITES:
                    self._write(part, kind)

    def _is_it(self, range_var: Node) -> bool:
        return range_var.relname == self.table.name and range_var.schemaname in ("", self.table.schema)

    def _column(self, ref: Node) -> None:
        names = [part.string.sval for part in ref.fields if kind_of(part) == "string"]
        column = column_of(ref)
        if len(ref.fields) == 1:
            if column in self.aliases:
                self.wholes.append("uses whole rows")
            elif column is not None:
                self.columns.add(column)
        elif self._qualifies(names if column is None else names[:-1]):
            if column is None:
                self.wholes.append("selects *")
            else:
                self.columns.add(column)

    def _qualifies(self, names: list[str]) -> bool:
        if len(names) > 1 and names[-2] != self.table.schema:
            return False
        # What an INSERT proposed; another table's in another part of the statement does no harm.
        return names[-1] in self.aliases or names[-1] in ("excluded", "old", "new")

    def _in_from(self, nodes: Node) -> bool:
        return any(
            type(item).__name__ == "RangeVar" and self._is_it(item) for node in nodes for item in _items(node)
        )

    def _write(self, statement: Node, kind: str) -> None:
        own = statement.HasField("relation") and self._is_it(statement.relation)
        others = {"UpdateStmt": "from_clause", "DeleteStmt": "using_clause"}.get(kind)
        joined = others is not None and self._in_from(getattr(statement, others))
        if kind == "MergeStmt":
            joined = self._in_from([statement.source_relation])
        if (own or joined) and any(_is_star(target) for target in statement.returning_clause.exprs):
            self.wholes.append("returns *")
        if not own:
            return
        match kind:
            case "InsertStmt":
                self._insert(statement.cols, given=statement.HasField("select_stmt"))
                if statement.HasField("on_conflict_clause"):
                    conflict = statement.on_conflict_clause
                    self.columns.update(node.res_target.name for node in conflict.target_list)
                    self.columns.update(node.index_elem.name for node in conflict.infer.index_elems)
            case "UpdateStmt":
                self.columns.update(node.res_target.name for node in statement.target_list)
            case "MergeStmt":
                for node in statement.merge_when_clauses:
                    clause = node.merge_when_clause
                    self.columns.update(target.res_target.name for target in clause.target_list)
                    if clause.command_type == pb.CMD_INSERT and not clause.target_list:
                        self._insert([], given=bool(clause.values))

    def _insert(self, columns: Node, *, given: bool) -> None:
        self.columns.update(node.res_target.name for node in columns)
        if given and not columns:
            self.wholes.append("inserts without naming columns")


def _items(node: Node) -> Iterator[Node]:
    """What stands in FROM by itself, however it is joined; not what a subquery reads."""
    for part in walk(node):
        if type(part).__name__ in ("RangeSubselect", "RangeFunction"):
            return
        if type(part).__name__ == "JoinExpr":
            yield from _items(part.larg)
            yield from _items(part.rarg)
            return
        yield part


def _is_star(node: Node) -> bool:
    value = node.res_target.val
    return (
        kind_of(value) == "column_ref"
        and len(value.column_ref.fields) == 1
        and column_of(value.column_ref) is None
    )
