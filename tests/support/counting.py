"""Servers that count the calls of each statement, and what the gate `unused` says of a column there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import TypeVar

import psycopg
import pytest

from evolve.plan.gates import Observation, Rules
from evolve.plan.model import NotUsed
from evolve.postgres import evidence, scratch
from evolve.postgres.connect import connect
from evolve.postgres.scratch.cluster import DidNotStart
from evolve.sql.names import QualifiedName
from support.changes import Connection

CHANGE = "rename_users_name_to_full_name"
GATE = NotUsed(((QualifiedName("users"), "name"),))
AT_ONCE = Rules(statement_window=0.0)
COUNTS = {"shared_preload_libraries": "pg_stat_statements"}

Started = TypeVar("Started")


@contextmanager
def counting(start: Callable[[str | None], AbstractContextManager[Started]]) -> Iterator[Started]:
    """What `start` starts, of the provider that EVOLVE_SCRATCH names or else this machine's: the wheel's programs
    come without the extension."""
    for provider in (None, "local"):
        server = start(provider)
        try:
            started = server.__enter__()
        except (scratch.NoScratchServer, DidNotStart):
            continue
        try:
            yield started
        finally:
            server.__exit__(None, None, None)
        return
    pytest.skip("no server here comes with pg_stat_statements")


@dataclass
class Counted:
    """Ours is evolve's connection, as `evolve advance` has it; theirs is the application's."""

    url: str
    ours: Connection
    theirs: Connection
    rules: Rules = field(default=AT_ONCE)

    def look(self) -> Observation:
        return evidence.observe(self.ours, CHANGE, GATE, self.rules)

    def advance(self) -> Observation:
        """What `evolve advance` does with what it saw."""
        return evidence.watch(self.ours, CHANGE, [self.look()], self.rules)[0]

    def run(self, sql: str, *values: object) -> None:
        self.theirs.execute(sql.encode(), values or None)


@contextmanager
def counted(url: str) -> Iterator[Counted]:
    """A table whose column may go once nobody calls for it; nothing is counted yet."""
    with connect(url, autocommit=True) as ours, psycopg.connect(url, autocommit=True) as theirs:
        theirs.execute("CREATE EXTENSION pg_stat_statements")
        theirs.execute("CREATE TABLE users (id int PRIMARY KEY, name text, full_name text)")
        theirs.execute("SELECT pg_stat_statements_reset()")
        yield Counted(url, ours, theirs)
