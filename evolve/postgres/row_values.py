"""Values of Python as PostgreSQL reads them: text, which a cast to the column's type turns into what is stored.

Arrays of text are all that is sent, whatever the columns: an array of arrays would be flattened by `unnest`, elements
of a domain or an enumeration have no type the driver knows, and the server reads text at hardly any price.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from uuid import UUID

import psycopg
from psycopg.adapt import PyFormat, Transformer
from psycopg.types.json import Json, Jsonb

from evolve.backfill.calling import BROKEN, FunctionFailed
from evolve.postgres.connect import Connection

JSON = frozenset({"json", "jsonb"})
_AS_STR = (int, float, Decimal, UUID)  # bool is an int: "True" reads back as well


class Spelling:
    """Spells values for the columns of one connection's database."""

    def __init__(self, connection: Connection) -> None:
        self._transformer = Transformer.from_context(connection)

    def column(self, name: str, type_: str, values: list[object]) -> list[str | None]:
        """
        Args:
            type_: of the column, as PostgreSQL writes it. Any value but None is written as JSON where that is `json` or
                `jsonb`, also a string; None is null everywhere.

        Raises:
            FunctionFailed: a value that has no text PostgreSQL could read.
        """
        spell: Callable[[object], str | None] = self._json if type_ in JSON else self._plain
        spelled: list[str | None] = []
        for value in values:
            try:
                text = spell(value)
            except (psycopg.Error, TypeError, ValueError) as error:
                raise FunctionFailed(
                    f'column "{name}" cannot hold a value of type {type(value).__name__}: {error}', BROKEN
                ) from error
            if text is not None and "\0" in text:
                raise FunctionFailed(f'column "{name}" cannot hold text with a zero byte', "22021")
            spelled.append(text)
        return spelled

    def _plain(self, value: object) -> str | None:
        if value is None or type(value) is str:
            return value
        if isinstance(value, Enum):
            # As SQLAlchemy and psycopg do: a plain enumeration is known by its names.
            return value.value if isinstance(value, str) else value.name
        if isinstance(value, _AS_STR):
            return str(value)
        if isinstance(value, datetime | date):
            return value.isoformat()
        if isinstance(value, bytes | bytearray | memoryview):
            return "\\x" + bytes(value).hex()
        if isinstance(value, dict):
            return json.dumps(value)
        dumped = self._transformer.get_dumper(value, PyFormat.TEXT).dump(value)
        return None if dumped is None else bytes(dumped).decode()

    @staticmethod
    def _json(value: object) -> str | None:
        if value is None:
            return None
        return json.dumps(value.obj if isinstance(value, Json | Jsonb) else value, default=str)
