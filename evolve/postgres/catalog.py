"""Read a live catalog into the schema model and into facts, with one query per kind of object."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Literal, LiteralString, cast

from evolve.postgres.connect import Connection
from evolve.sql import operations as op
from evolve.sql.names import QualifiedName, quote
from evolve.sql.parse import expression, parse
from evolve.sql.schema import Column, Domain, Enum, Index, Schema, Table, Trigger, View
from evolve.sql.schema import Sequence as SequenceModel

Row = tuple[object, ...]


def read_schema(connection: Connection) -> Schema:
    """The tables, indexes, types, views and sequences of the connected database.

    System schemas, the schema `evolve`, temporary tables and what extensions own are left out. Reads the catalog in
    one transaction with `public` as search path, so that names of `public` come without a schema.
    """
    with connection.transaction():
        before = connection.execute("SELECT current_setting('search_path')").fetchone()
        # Takes no lock on user tables; the setting ends with the transaction, or below where that is the caller's.
        connection.execute("SET LOCAL search_path = public")
        schema = _Reader(connection).read()
        connection.execute("SELECT set_config('search_path', %s, true)", before)
        return schema


class _Reader:
    """The queries share two maps from oid to name."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.schema = Schema(schemas=set())
        self.names: dict[int, QualifiedName] = {}

    def read(self) -> Schema:
        self._schemas()
        self._relations()
        self._constraints()
        self._indexes()
        self._triggers()
        self._types()
        self._views()
        self._sequences()
        return self.schema

    def _rows(self, query: LiteralString) -> list[Row]:
        # Every query here reads the catalog only and takes no lock on user tables.
        return self.connection.execute(query).fetchall()

    def _schemas(self) -> None:
        rows = self._rows(
            """
            SELECT n.nspname FROM pg_namespace n
             WHERE n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'evolve')
               AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_namespace'::regclass
                                  AND d.objid = n.oid AND d.deptype = 'e')
            """
        )
        self.schema.schemas = {str(name) for (name,) in rows}

    def _relations(self) -> None:
        columns = self._columns()
        rows = self._rows(
            """
            SELECT c.oid::bigint, c.relname, n.nspname, c.relkind::text, c.relispartition,
                   c.relpersistence::text, pg_get_expr(c.relpartbound, 0), pg_get_partkeydef(c.oid),
                   ARRAY(SELECT i.inhparent::bigint FROM pg_inherits i WHERE i.inhrelid = c.oid ORDER BY i.inhseqno)
              FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
             WHERE c.relkind IN ('r', 'p', 'v', 'm', 'S', 'i', 'I')
               AND n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'evolve')
               AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass
                                  AND d.objid = c.oid AND d.deptype = 'e')
             ORDER BY n.nspname, c.relname
            """
        )
        self.names = {_int(row[0]): QualifiedName(str(row[1]), str(row[2])) for row in rows}
        for oid, _, _, kind, is_partition, persistence, bound, key, parents in rows:
            if kind not in ("r", "p"):
                continue
            above = [self.names[_int(p)] for p in _list(parents) if _int(p) in self.names]
            name = self.names[_int(oid)]
            self.schema.tables[name] = Table(
                name,
                columns=tuple(columns.get(_int(oid), ())),
                partition_by=_partition_by(key),
                partition_of=above[0] if is_partition and above else None,
                bound=str(bound) if is_partition and bound is not None else None,
                inherits=() if is_partition else tuple(above),
                unlogged=persistence == "u",
            )

    def _columns(self) -> dict[int, list[Column]]:
        rows = self._rows(
            """
            SELECT a.attrelid::bigint, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull,
                   pg_get_expr(d.adbin, d.adrelid), a.attgenerated::text, a.attidentity::text,
                   CASE WHEN a.attcollation <> t.typcollation THEN
                        (SELECT CASE WHEN cn.nspname IN ('pg_catalog', 'public') THEN o.collname
                                     ELSE quote_ident(cn.nspname) || '.' || quote_ident(o.collname) END
                           FROM pg_collation o JOIN pg_namespace cn ON cn.oid = o.collnamespace
                          WHERE o.oid = a.attcollation) END,
                   a.attislocal
              FROM pg_attribute a
              JOIN pg_class c ON c.oid = a.attrelid
              JOIN pg_namespace n ON n.oid = c.relnamespace
              JOIN pg_type t ON t.oid = a.atttypid
              LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
             WHERE a.attnum > 0 AND NOT a.attisdropped AND c.relkind IN ('r', 'p')
               AND n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'evolve')
             ORDER BY a.attrelid, a.attnum
            """
        )
        found: dict[int, list[Column]] = defaultdict(list)
        for oid, name, type_, not_null, text, generated, identity, collation, local in rows:
            read = expression(str(text)) if text is not None else None
            found[_int(oid)].append(
                Column(
                    name=str(name),
                    type=str(type_),
                    not_null=bool(not_null),
                    default=None if generated else read,
                    generated=_GENERATED.get(str(generated)),
                    identity=_IDENTITY.get(str(identity)),
                    collation=str(collation) if collation is not None else None,
                    generation=read if generated else None,
                    local=bool(local),
                )
            )
        return found

    def _constraints(self) -> None:
        rows = self._rows(
            """
            SELECT c.conrelid::bigint, c.conname, pg_get_constraintdef(c.oid)
              FROM pg_constraint c
              JOIN pg_class r ON r.oid = c.conrelid
              JOIN pg_namespace n ON n.oid = r.relnamespace
              LEFT JOIN pg_constraint above ON above.oid = c.conparentid
             WHERE c.contype IN ('c', 'f', 'p', 'u', 'x', 'n')
               -- A foreign key to a partitioned table has a row per partition: those are one constraint.
               AND (above.oid IS NULL OR above.conrelid <> c.conrelid)
               AND n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'evolve')
             ORDER BY c.conrelid, c.oid
            """
        )
        found: dict[QualifiedName, list[op.Constraint]] = defaultdict(list)
        for oid, name, definition in rows:
            table = self.names.get(_int(oid))
            if table is None or table not in self.schema.tables:
                continue
            # A NOT NULL that is valid stands in the column itself.
            constraint = _constraint(str(name), str(definition))
            if constraint is not None and not (
                isinstance(constraint, op.NotNull) and not constraint.not_valid
            ):
                found[table].append(constraint)
        for table, constraints in found.items():
            # The server marks a column NOT NULL from the moment the constraint is there, proven or not.
            unproven = {c.column for c in constraints if isinstance(c, op.NotNull)}
            known = self.schema.tables[table]
            columns = tuple(replace(c, not_null=False) if c.name in unproven else c for c in known.columns)
            self.schema.tables[table] = replace(known, columns=columns, constraints=tuple(constraints))

    def _indexes(self) -> None:
        rows = self._rows(
            """
            SELECT i.indexrelid::bigint, i.indrelid::bigint, pg_get_indexdef(i.indexrelid), i.indisvalid,
                   k.conname, h.inhparent::bigint
              FROM pg_index i
              JOIN pg_class c ON c.oid = i.indexrelid
              JOIN pg_namespace n ON n.oid = c.relnamespace
              LEFT JOIN pg_constraint k ON k.conindid = i.indexrelid AND k.contype IN ('p', 'u', 'x')
                                       AND k.conrelid = i.indrelid
              LEFT JOIN pg_inherits h ON h.inhrelid = i.indexrelid
             WHERE n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'evolve')
             ORDER BY i.indexrelid
            """
        )
        for oid, table_oid, definition, valid, constraint, parent in rows:
            name, table = self.names.get(_int(oid)), self.names.get(_int(table_oid))
            (operation,) = parse(str(definition))
            if name is None or table is None or not isinstance(operation, op.CreateIndex):
                continue
            self.schema.indexes[name] = Index(
                replace(operation.index, name=name.name, table=table),
                valid=bool(valid),
                constraint=str(constraint) if constraint is not None else None,
                partition_of=self.names.get(_int(parent)) if parent is not None else None,
            )

    def _triggers(self) -> None:
        rows = self._rows(
            """
            SELECT t.tgrelid::bigint, t.tgname, p.proname, f.nspname, (t.tgtype & 1) = 1
              FROM pg_trigger t
              JOIN pg_class c ON c.oid = t.tgrelid
              JOIN pg_namespace n ON n.oid = c.relnamespace
              JOIN pg_proc p ON p.oid = t.tgfoid
              JOIN pg_namespace f ON f.oid = p.pronamespace
             -- The twins of a partitioned table's row triggers count as internal up to PostgreSQL 14.
             WHERE (NOT t.tgisinternal OR (t.tgparentid <> 0 AND t.tgconstraint = 0))
               AND n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'evolve')
             ORDER BY t.tgrelid, t.tgname
            """
        )
        for oid, name, function, namespace, row in rows:
            table = self.names.get(_int(oid))
            if table is None or table not in self.schema.tables:
                continue
            trigger = Trigger(str(name), QualifiedName(str(function), str(namespace)), bool(row))
            found = self.schema.tables[table]
            self.schema.tables[table] = replace(found, trigger_list=(*found.trigger_list, trigger))

    def _types(self) -> None:
        enums = self._rows(
            """
            SELECT t.typname, n.nspname, ARRAY(SELECT e.enumlabel FROM pg_enum e
                                                WHERE e.enumtypid = t.oid ORDER BY e.enumsortorder)
              FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace
             WHERE t.typtype = 'e'
               AND n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'evolve')
               AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_type'::regclass
                                  AND d.objid = t.oid AND d.deptype = 'e')
            """
        )
        for type_name, namespace, values in enums:
            name = QualifiedName(str(type_name), str(namespace))
            self.schema.enums[name] = Enum(name, tuple(str(value) for value in _list(values)))
        domains = self._rows(
            """
            SELECT t.typname, n.nspname, format_type(t.typbasetype, t.typtypmod), t.typnotnull, t.typdefault,
                   ARRAY(SELECT c.conname FROM pg_constraint c
                          WHERE c.contypid = t.oid AND c.contype = 'c' ORDER BY c.oid),
                   ARRAY(SELECT pg_get_constraintdef(c.oid) FROM pg_constraint c
                          WHERE c.contypid = t.oid AND c.contype = 'c' ORDER BY c.oid)
              FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace
             WHERE t.typtype = 'd'
               AND n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'evolve')
               AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_type'::regclass
                                  AND d.objid = t.oid AND d.deptype = 'e')
            """
        )
        for type_name, namespace, base, not_null, default, names, definitions in domains:
            name = QualifiedName(str(type_name), str(namespace))
            pairs = zip(_list(names), _list(definitions), strict=True)
            checks = (_constraint(str(n), str(d)) for n, d in pairs)
            self.schema.domains[name] = Domain(
                name,
                str(base),
                bool(not_null),
                tuple(check for check in checks if isinstance(check, op.Check)),
                expression(str(default)) if default is not None else None,
            )

    def _views(self) -> None:
        rows = self._rows(
            """
            SELECT c.oid::bigint, c.relkind = 'm',
                   ARRAY(SELECT a.attname FROM pg_attribute a
                          WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum)
              FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
             WHERE c.relkind IN ('v', 'm')
               AND n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'evolve')
            """
        )
        reads, uses = self._dependencies()
        for oid, materialized, columns in rows:
            name = self.names.get(_int(oid))
            if name is not None:
                self.schema.views[name] = View(
                    name,
                    bool(materialized),
                    tuple(sorted(reads[_int(oid)])),
                    frozenset(uses[_int(oid)]),
                    tuple(str(column) for column in _list(columns)),
                )

    def _dependencies(
        self,
    ) -> tuple[dict[int, set[QualifiedName]], dict[int, set[tuple[QualifiedName, str]]]]:
        """Per view: the relations and the columns that its query depends on."""
        rows = self._rows(
            """
            SELECT DISTINCT w.ev_class::bigint, d.refobjid::bigint, a.attname
              FROM pg_rewrite w
              JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = w.oid
                              AND d.refclassid = 'pg_class'::regclass AND d.refobjid <> w.ev_class
              JOIN pg_class c ON c.oid = w.ev_class AND c.relkind IN ('v', 'm')
              LEFT JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid AND a.attnum > 0
             WHERE w.rulename = '_RETURN'
            """
        )
        reads: dict[int, set[QualifiedName]] = defaultdict(set)
        uses: dict[int, set[tuple[QualifiedName, str]]] = defaultdict(set)
        for view, relation, column in rows:
            name = self.names.get(_int(relation))
            if name is not None:
                reads[_int(view)].add(name)
                if column is not None:
                    uses[_int(view)].add((name, str(column)))
        return reads, uses

    def _sequences(self) -> None:
        rows = self._rows(
            """
            SELECT s.seqrelid::bigint, format_type(s.seqtypid, NULL), d.refobjid::bigint, a.attname
              FROM pg_sequence s
              JOIN pg_class c ON c.oid = s.seqrelid
              JOIN pg_namespace n ON n.oid = c.relnamespace
              LEFT JOIN pg_depend d ON d.classid = 'pg_class'::regclass AND d.objid = s.seqrelid
                                   AND d.refclassid = 'pg_class'::regclass AND d.deptype IN ('a', 'i')
              LEFT JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
             WHERE n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'evolve')
            """
        )
        for oid, type_, table, column in rows:
            name = self.names.get(_int(oid))
            if name is None:
                continue
            owner = self.names.get(_int(table)) if table is not None else None
            owned_by = (owner, str(column)) if owner is not None and column is not None else None
            self.schema.sequences[name] = SequenceModel(name, str(type_), owned_by)


_GENERATED: dict[str, Literal["stored", "virtual"]] = {"s": "stored", "v": "virtual"}
_IDENTITY: dict[str, Literal["always", "by default"]] = {"a": "always", "d": "by default"}


def _int(value: object) -> int:
    return cast("int", value)


def _list(value: object) -> Sequence[object]:
    return cast("Sequence[object]", value)


def _constraint(name: str, definition: str) -> op.Constraint | None:
    """Read what `pg_get_constraintdef` prints with the same eyes that read revisions."""
    for operation in _added(name, definition):
        return operation.constraint
    return None


def _added(name: str, definition: str) -> Iterator[op.AddConstraint]:
    for operation in parse(f"ALTER TABLE t ADD CONSTRAINT {quote(name)} {definition}"):
        if isinstance(operation, op.AddConstraint):
            yield operation


def _partition_by(key: object) -> op.PartitionBy | None:
    if key is None:
        return None
    for operation in parse(f"CREATE TABLE t () PARTITION BY {key}"):
        if isinstance(operation, op.CreateTable):
            return operation.partition_by
    return None
