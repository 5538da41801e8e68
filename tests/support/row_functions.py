"""Functions that backfills of tests call, named as `support.row_functions:name`."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Iterator

import psycopg
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from evolve.backfill.calling import Row

# What a test wants done before a batch is answered, in the thread of the worker.
before: list[Callable[[list[Row]], None]] = []


class Base(DeclarativeBase):
    pass


class Document(Base):
    __tablename__ = "documents"

    id: Mapped[int] = mapped_column(primary_key=True)
    source: Mapped[str]
    title: Mapped[str | None] = mapped_column("label")
    hits: Mapped[int]


def labelled(rows: list[Row]) -> Iterator[Row]:
    for act in before:
        act(rows)
    return ({"label": f"<{row['source']}>"} for row in rows)


async def labelled_together(row: Row) -> Row:
    await asyncio.sleep(0)
    return {"label": f"<{row['source']}>"}


def titled(documents: list[Document], session: Session) -> None:
    others = session.get(Document, 10)  # whatever else it needs, in the transaction of the batch
    assert others is not None
    for document in documents:
        document.title = f"<{document.source}>"


def counting(documents: list[Document], session: Session) -> None:
    for document in documents:
        document.hits += 1


def one_more(rows: list[Row]) -> list[Row]:
    """Not idempotent: a row that is met twice shows it."""
    return [{"n": int(str(row["n"])) + 1} for row in rows]


def one_more_and_a_third(rows: list[Row]) -> list[Row]:
    return [{"n": float(str(row["n"])) + 4 / 3} for row in rows]


def never(row: Row) -> Row:
    raise ValueError(f"not even {row['id']}")


def no_sevens(row: Row) -> Row:
    if int(str(row["id"])) % 700 == 0:
        raise ValueError(f"no sevens: {row['id']}")
    return {"label": f"<{row['source']}>"}


def slow(rows: list[Row]) -> list[Row]:
    time.sleep(0.01 * len(rows))
    return one_more(rows)


def dropping(rows: list[Row]) -> list[Row]:
    return one_more(rows[1:])


def told(rows: list[Row]) -> None:
    """An effect outside of the transaction: it stays whatever becomes of the batch."""
    with psycopg.connect(os.environ["TOLD_URL"], autocommit=True) as connection:
        for row in rows:
            connection.execute("INSERT INTO told VALUES (%s, %s)", (row["id"], row["idempotency_key"]))


def told_sometimes(rows: list[Row]) -> None:
    """Fails at every third row, each time it meets it first."""
    for row in rows:
        key = str(row["idempotency_key"])
        if int(str(row["id"])) % 30 == 0 and key not in _failed:
            _failed.add(key)
            raise ConnectionError("the other side is away")
    told(rows)


def never_told(rows: list[Row]) -> None:
    raise ConnectionError("the other side is away")


_failed: set[str] = set()


def normalised(rows: list[Row]) -> list[Row]:
    return [{"email_norm": str(row["email"]).lower()} for row in rows]
