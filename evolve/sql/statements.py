"""A statement that evolve itself will run, with what it locks and why that is safe."""

from __future__ import annotations

from dataclasses import dataclass

from evolve.sql.locks import LockMode


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement, ready to run.

    Args:
        sql: complete, without parameters and without a closing semicolon.
        lock: the strongest lock on a table that existed before; None where it takes none.
        why: one sentence: why running it on a live table is safe. Printed above it in the revision.
        allow: rules of the linter that it breaks knowingly: what surrounds it makes it safe, and `why` says how.
        transactional: False for CREATE INDEX CONCURRENTLY and its kin, which must run outside a transaction.
    """

    sql: str
    lock: LockMode | None
    why: str
    transactional: bool = True
    allow: tuple[str, ...] = ()
