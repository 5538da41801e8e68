"""A downgrade of a change that is killed: whoever goes down again or up again finds all that there should be."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import psycopg
import pytest
from support.alembic_project import AlembicProject
from support.change_project import ChangeProject
from support.dying_upgrade import Dying, dying

from evolve.postgres.catalog import read_schema
from evolve.sql.differences import differences

pytestmark = pytest.mark.server

CHANGE = "rename_users_name_to_full_name"
SCHEMA = """
    CREATE TABLE users (id bigint PRIMARY KEY, name text NOT NULL CONSTRAINT users_name_key UNIQUE);
    CREATE INDEX ix_users_name ON users (lower(name));
    INSERT INTO users SELECT n, 'user ' || n FROM generate_series(1, 10) n;
"""


@dataclass(frozen=True)
class Validated:
    """A change whose indexes are built.

    Args:
        below: the revision before those that build them.
    """

    project: ChangeProject
    runs: Dying
    below: str

    def indexes(self, url: str) -> set[object]:
        query = "SELECT indexrelid::regclass::text FROM pg_index WHERE indisvalid AND indrelid = 'users'::regclass"
        with psycopg.connect(url) as connection:
            return {name for (name,) in connection.execute(query)}

    def like_new(self, url: str) -> bool:
        with psycopg.connect(self.project.url) as one, psycopg.connect(url) as other:
            return differences(read_schema(one), read_schema(other), ordered=False) == ()


@pytest.fixture
def validated(make_project: Callable[..., AlembicProject], database_url: str) -> Iterator[Validated]:
    users = ChangeProject(make_project(database_url), database_url, SCHEMA)
    users.ok("plan", "rename-column", "users.name", "full_name", "--write")
    users.ok("upgrade")
    ((below,),) = users.sql("SELECT version_num FROM alembic_version")
    users.ok("advance", CHANGE)
    users.ok("backfill", "run", CHANGE)
    users.ok("advance", CHANGE)
    users.ok("upgrade")
    with dying(users.root) as runs:
        yield Validated(users, runs, str(below))


def killed_at_each(validated: Validated, copy: Callable[[], str], first: int, step: int) -> int:
    """How many downgrades were killed, each at another boundary; what was half reverted is whole afterwards."""
    half = 0
    for side in ("before", "after"):
        at = first
        while True:
            url = copy()
            whole = validated.indexes(url)
            if (end := validated.runs.downgrade(url, validated.below, at, side)) != "killed":
                assert end == "done"
                break
            half += validated.indexes(url) != whole
            if at % 2:
                again = validated.runs.downgrade(url, validated.below)
                assert again == "done", f"killed {side} {at}: {again}"
                assert validated.indexes(url) == {"users_pkey", "users_name_key", "ix_users_name"}
            again = validated.runs.upgrade(url)
            assert again == "done", f"killed {side} {at}: {again}"
            assert validated.indexes(url) == whole, f"killed {side} {at}"
            assert validated.like_new(url), f"killed {side} {at}"
            at += step
    return half


@pytest.fixture
def copy(validated: Validated, make_database: Callable[..., str]) -> Callable[[], str]:
    template = validated.project.url.rpartition("/")[2]
    return lambda: make_database(template)


def test_a_downgrade_killed_here_and_there(validated: Validated, copy: Callable[[], str]) -> None:
    assert killed_at_each(validated, copy, 30, 17) > 2


@pytest.mark.long
def test_a_downgrade_killed_anywhere(validated: Validated, copy: Callable[[], str]) -> None:
    assert killed_at_each(validated, copy, 1, 1) > 40
