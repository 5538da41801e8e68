"""What the recording dialect answers to questions about the schema, the Inspector's and `checkfirst`'s alike."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from types import FrameType

from sqlalchemy import types
from sqlalchemy.dialects.postgresql import ENUM
from sqlalchemy.dialects.postgresql.base import PGDialect

from evolve.revisions.patches import method
from evolve.revisions.recording_dbapi import Recorder
from evolve.revisions.reflection import ReflectedColumn, Reflection
from evolve.sql.steps import Mark

_ARGUMENTS = re.compile(r"\(([^)]*)\)")

TableKey = tuple[str | None, str]


class CatalogAnswers:
    """The dialect's questions, answered by a `Reflection`, or as an empty database would; each leaves a remark.

    `recorder` and `reflection` are set before the first connection.
    """

    recorder: Recorder
    reflection: Reflection | None = None

    def _asked(self, what: str) -> None:
        """A question of the revision's own; `checkfirst` is one only where nobody knows the answer."""
        if self.reflection is None or not _checkfirst():
            self.recorder.remark(Mark.READ_CATALOG, what)

    def _exists(self, what: str, find: Callable[[Reflection], bool]) -> bool:
        self._asked(what)
        if self.reflection is None:
            # `checkfirst` must not keep a DROP from being seen.
            return _checkfirst() == "drop"
        return find(self.reflection)

    def has_table(self, connection: object, table_name: str, schema: str | None = None, **kw: object) -> bool:
        del connection, kw
        return self._exists(
            f"has_table({table_name!r})",
            lambda known: table_name in known.tables(schema) or table_name in known.views(schema),
        )

    def has_multi_table(
        self, connection: object, table_names: Iterable[str], schema: str | None = None, **kw: object
    ) -> list[tuple[TableKey, bool]]:
        return [((schema, name), self.has_table(connection, name, schema, **kw)) for name in table_names]

    def has_index(
        self, connection: object, table_name: str, index_name: str, schema: str | None = None, **kw: object
    ) -> bool:
        del connection, kw
        return self._exists(
            f"has_index({table_name!r}, {index_name!r})",
            lambda known: any(index.name == index_name for index in known.indexes(schema, table_name) or ()),
        )

    def has_sequence(
        self, connection: object, sequence_name: str, schema: str | None = None, **kw: object
    ) -> bool:
        del connection, kw
        return self._exists(
            f"has_sequence({sequence_name!r})", lambda known: sequence_name in known.sequences(schema)
        )

    def has_type(self, connection: object, type_name: str, schema: str | None = None, **kw: object) -> bool:
        del connection, kw
        return self._exists(
            f"has_type({type_name!r})",
            lambda known: any(enum.name == type_name for enum in known.enums(schema)),
        )

    def has_schema(self, connection: object, schema: str, **kw: object) -> bool:
        del connection, kw
        return self._exists(f"has_schema({schema!r})", lambda known: schema in known.schemas())

    def _listed(self, what: str, find: Callable[[Reflection], Sequence[str]]) -> list[str]:
        self._asked(what)
        return [] if self.reflection is None else list(find(self.reflection))

    def get_schema_names(self, connection: object, **kw: object) -> list[str]:
        del connection, kw
        return self._listed("get_schema_names()", lambda known: known.schemas()) or ["public"]

    def get_table_names(self, connection: object, schema: str | None = None, **kw: object) -> list[str]:
        del connection, kw
        return self._listed("get_table_names()", lambda known: known.tables(schema))

    def get_view_names(self, connection: object, schema: str | None = None, **kw: object) -> list[str]:
        del connection, kw
        return self._listed("get_view_names()", lambda known: known.views(schema))

    def get_sequence_names(self, connection: object, schema: str | None = None, **kw: object) -> list[str]:
        del connection, kw
        return self._listed("get_sequence_names()", lambda known: known.sequences(schema))

    def _none_of_that_kind(self, connection: object, schema: str | None = None, **kw: object) -> list[str]:
        del connection, schema, kw
        self._asked("names of temporary or materialized relations")
        return []

    get_temp_table_names = get_temp_view_names = get_materialized_view_names = get_foreign_table_names = (
        _none_of_that_kind
    )

    def get_view_definition(
        self, connection: object, view_name: str, schema: str | None = None, **kw: object
    ) -> str:
        del connection, schema, kw
        self._asked(f"get_view_definition({view_name!r})")
        return ""

    def get_table_oid(
        self, connection: object, table_name: str, schema: str | None = None, **kw: object
    ) -> int:
        del connection, schema, kw
        self._asked(f"get_table_oid({table_name!r})")
        return 0

    def _load_enums(
        self, connection: object, schema: str | None = None, **kw: object
    ) -> list[dict[str, object]]:
        del connection, kw
        self._asked("get_enums()")
        known = () if self.reflection is None else self.reflection.enums(None if schema == "*" else schema)
        return [
            {"name": enum.name, "schema": schema or "public", "visible": True, "labels": list(enum.values)}
            for enum in known
        ]

    def _load_domains(
        self, connection: object, schema: str | None = None, **kw: object
    ) -> list[dict[str, object]]:
        del connection, schema, kw
        self._asked("get_domains()")
        return []

    def _each(
        self,
        what: str,
        schema: str | None,
        names: Collection[str] | None,
        find: Callable[[Reflection, str], object],
        empty: Callable[[], object],
    ) -> list[tuple[TableKey, object]]:
        """One answer per table; without a reflection each table is there and empty, as far as anyone can say."""
        self._asked(f"{what}({', '.join(repr(name) for name in names or ())})")
        if self.reflection is None:
            return [((schema, name), empty()) for name in names or ()]
        found: list[tuple[TableKey, object]] = []
        for name in self.reflection.tables(schema) if names is None else names:
            value = find(self.reflection, name)
            if value is None and self.recorder.made_up is not None:
                value = empty()  # a table that the history does not make: tried when all else failed
            if value is not None:
                found.append(((schema, name), value))
        return found

    def get_multi_columns(
        self,
        connection: object,
        schema: str | None = None,
        filter_names: Collection[str] | None = None,
        **kw: object,
    ) -> list[tuple[TableKey, object]]:
        del connection, kw

        def columns(known: Reflection, table: str) -> object:
            found = known.columns(schema, table)
            if found is None:
                return None
            enums: dict[str, object] = {
                enum.name: ENUM(*enum.values, name=enum.name, create_type=False)
                for enum in known.enums(schema)
            }
            return [self._column(column, enums) for column in found]

        return self._each("get_columns", schema, filter_names, columns, list)

    def _column(self, column: ReflectedColumn, enums: Mapping[str, object]) -> dict[str, object]:
        described: dict[str, object] = {
            "name": column.name,
            "type": self._type(column.type, enums),
            "nullable": column.nullable,
            "default": column.default,
            "autoincrement": column.identity is not None or (column.default or "").startswith("nextval("),
            "comment": None,
        }
        if column.identity is not None:
            described["identity"] = {"always": column.identity == "always", "start": 1, "increment": 1}
        if column.generated is not None:
            described["computed"] = {"sqltext": column.generated, "persisted": True}
        return described

    def _type(self, written: str, enums: Mapping[str, object]) -> object:
        base = _ARGUMENTS.sub("", written).strip()
        dimensions = 0
        while base.endswith("[]"):
            base, dimensions = base.removesuffix("[]").strip(), dimensions + 1
        found = enums[base] if base in enums else _plain_type(base, _numbers(written))
        return method(types, "ARRAY")(found, dimensions=dimensions) if dimensions else found

    def get_multi_pk_constraint(
        self,
        connection: object,
        schema: str | None = None,
        filter_names: Collection[str] | None = None,
        **kw: object,
    ) -> list[tuple[TableKey, object]]:
        del connection, kw

        def empty() -> object:
            return {"constrained_columns": [], "name": None}

        def key(known: Reflection, table: str) -> object:
            if known.columns(schema, table) is None:
                return None
            found = known.primary_key(schema, table)
            return {"constrained_columns": list(found.columns), "name": found.name} if found else empty()

        return self._each("get_pk_constraint", schema, filter_names, key, empty)

    def get_multi_unique_constraints(
        self,
        connection: object,
        schema: str | None = None,
        filter_names: Collection[str] | None = None,
        **kw: object,
    ) -> list[tuple[TableKey, object]]:
        del connection, kw

        def unique(known: Reflection, table: str) -> object:
            found = known.unique_constraints(schema, table)
            return (
                None
                if found is None
                else [{"name": key.name, "column_names": list(key.columns)} for key in found]
            )

        return self._each("get_unique_constraints", schema, filter_names, unique, list)

    def get_multi_check_constraints(
        self,
        connection: object,
        schema: str | None = None,
        filter_names: Collection[str] | None = None,
        **kw: object,
    ) -> list[tuple[TableKey, object]]:
        del connection, kw

        def checks(known: Reflection, table: str) -> object:
            found = known.checks(schema, table)
            return None if found is None else [{"name": check.name, "sqltext": check.sql} for check in found]

        return self._each("get_check_constraints", schema, filter_names, checks, list)

    def get_multi_indexes(
        self,
        connection: object,
        schema: str | None = None,
        filter_names: Collection[str] | None = None,
        **kw: object,
    ) -> list[tuple[TableKey, object]]:
        del connection, kw

        def indexes(known: Reflection, table: str) -> object:
            found = known.indexes(schema, table)
            if found is None:
                return None
            described: list[dict[str, object]] = []
            for index in found:
                entry: dict[str, object] = {
                    "name": index.name,
                    "column_names": list(index.columns),
                    "unique": index.unique,
                    "include_columns": [],
                    "dialect_options": {},
                }
                if index.constraint is not None:
                    entry["duplicates_constraint"] = index.constraint
                described.append(entry)
            return described

        return self._each("get_indexes", schema, filter_names, indexes, list)

    def get_multi_foreign_keys(
        self,
        connection: object,
        schema: str | None = None,
        filter_names: Collection[str] | None = None,
        **kw: object,
    ) -> list[tuple[TableKey, object]]:
        del connection, kw

        def keys(known: Reflection, table: str) -> object:
            found = known.foreign_keys(schema, table)
            if found is None:
                return None
            return [
                {
                    "name": key.name,
                    "constrained_columns": list(key.columns),
                    "referred_schema": key.target_schema,
                    "referred_table": key.target,
                    "referred_columns": list(key.target_columns),
                    "options": {},
                }
                for key in found
            ]

        return self._each("get_foreign_keys", schema, filter_names, keys, list)

    def get_multi_table_comment(
        self,
        connection: object,
        schema: str | None = None,
        filter_names: Collection[str] | None = None,
        **kw: object,
    ) -> list[tuple[TableKey, object]]:
        del connection, kw
        return [((schema, name), {"text": None}) for name in filter_names or ()]

    def get_multi_table_options(
        self,
        connection: object,
        schema: str | None = None,
        filter_names: Collection[str] | None = None,
        **kw: object,
    ) -> list[tuple[TableKey, object]]:
        del connection, kw
        return [((schema, name), {}) for name in filter_names or ()]


def _plain_type(base: str, numbers: list[int]) -> object:
    if base.startswith("time"):
        kind = types.TIMESTAMP if base.startswith("timestamp") else types.TIME
        return kind(timezone=base.endswith("with time zone"))
    make: Callable[..., object] = PGDialect.ischema_names.get(base, types.NullType)
    takes_numbers = base in ("numeric", "character varying", "character", "bit", "bit varying")
    return make(*numbers) if takes_numbers else make()


def _numbers(written: str) -> list[int]:
    found = _ARGUMENTS.search(written)
    return [int(part) for part in found[1].split(",") if part.strip().lstrip("-").isdigit()] if found else []


def _checkfirst() -> str | None:
    """Answer "create" or "drop" where SQLAlchemy's own `checkfirst` asks, not the revision."""
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001  # the documented way to one's own stack
    for _ in range(8):
        if frame is None:
            return None
        name = frame.f_code.co_name
        if name.startswith("_can_create"):
            return "create"
        if name.startswith("_can_drop"):
            return "drop"
        frame = frame.f_back
    return None
