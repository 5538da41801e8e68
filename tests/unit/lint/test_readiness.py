"""What a preflight says of a server that a test cannot easily bring about."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.facts import facts, relation

from evolve.lint.forecast import Forecast
from evolve.lint.readiness import Limits, Server, Session, Slot, check
from evolve.sql.locks import LockMode
from evolve.sql.names import QualifiedName
from evolve.sql.steps import Place

USERS = QualifiedName("users")
PLACE = Place(Path("one.py"), 3)
ALTER = Forecast("one", PLACE, "ALTER TABLE users …", 1, {USERS: LockMode.ACCESS_EXCLUSIVE})
READY = Server(17, "deployer")
VACUUM = Session(7, "", "", "active", 900, "autovacuum: VACUUM users", "autovacuum worker")


@pytest.mark.parametrize(
    ("server", "verdict", "words"),
    [
        (Server(13, "deployer"), "fails", "PostgreSQL 13"),
        (Server(30, "deployer"), "warns", "newer than what evolve knows"),
        (Server(17, "deployer", read_only_because="this server is a standby"), "fails", "standby"),
        (Server(17, "deployer", freezing=frozenset({USERS})), "fails", "gives way to nobody"),
        (Server(17, "deployer", transactions_left=40_000_000), "fails", "40,000,000 transactions are left"),
        (Server(17, "deployer", transactions_left=1_500_000_000), "warns", "autovacuum falls behind"),
        (Server(17, "deployer", lag=2_000_000_000), "warns", "2,000 MB of WAL to replay"),
        (
            Server(17, "deployer", slots=(Slot("a", False, 11_000_000_000, "extended"),)),
            "fails",
            "nobody reads",
        ),
        (Server(17, "deployer", slots=(Slot("a", True, 11_000_000_000, "extended"),)), "warns", "11,000 MB"),
        (Server(17, "deployer", slots=(Slot("a", False, None, "lost"),)), "warns", "has lost WAL"),
        (Server(17, "deployer", hidden=3), "warns", "what 3 sessions of others do"),
        (Server(17, "deployer", may_end=False), "warns", "may not end sessions"),
        (Server(17, "deployer", sent=(QualifiedName("batch", "evolve"),)), "warns", "sends evolve.batch"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_wrong_with_a_server_is_told_with_its_fix(server: Server, verdict: str, words: str) -> None:
    (told,) = [
        each
        for each in check(server, [ALTER], facts(relation("users")), Limits())
        if each.verdict != "passes"
    ]
    assert (told.verdict, words in told.says, bool(told.fix)) == (verdict, True, True)


def test_all_that_is_looked_at_is_told_where_nothing_is_wrong() -> None:
    found = check(READY, [ALTER], facts(relation("users")), Limits())
    assert {each.verdict for each in found} == {"passes"}
    assert len(found) == 12


@pytest.mark.parametrize(
    ("asked", "held", "stops"),
    [
        (LockMode.ACCESS_EXCLUSIVE, LockMode.ACCESS_SHARE, True),
        (LockMode.SHARE_UPDATE_EXCLUSIVE, LockMode.ROW_EXCLUSIVE, False),
        (LockMode.SHARE_UPDATE_EXCLUSIVE, LockMode.SHARE_UPDATE_EXCLUSIVE, True),
    ],
)
def test_an_old_transaction_stops_what_its_locks_exclude(
    asked: LockMode, held: LockMode, *, stops: bool
) -> None:
    old = Session(4, "app", "shop", "idle in transaction", 61, "", holds={USERS: frozenset({held})})
    step = Forecast("one", PLACE, "…", 1, {USERS: asked})
    found = check(Server(17, "deployer", sessions=(old,)), [step], facts(relation("users")), Limits())
    assert any(each.verdict == "fails" for each in found) is stops


def test_autovacuum_that_gives_way_is_no_old_transaction() -> None:
    found = check(Server(17, "deployer", sessions=(VACUUM,)), [ALTER], facts(relation("users")), Limits())
    assert {each.verdict for each in found} == {"passes"}


def test_files_of_one_transaction_go_before_those_of_the_next_come() -> None:
    def rewrite(revision: str, transaction: int, *, bytes_: int, lasting: int) -> Forecast:
        return Forecast(
            revision,
            PLACE,
            "…",
            transaction,
            {USERS: LockMode.ACCESS_EXCLUSIVE},
            rewrites=(USERS,),
            bytes=bytes_,
            lasting=lasting,
        )

    steps = [
        rewrite("one", 1, bytes_=100_000_000, lasting=0),
        rewrite("two", 2, bytes_=30_000_000, lasting=30_000_000),
        rewrite("three", 3, bytes_=90_000_000, lasting=0),
    ]
    limits = Limits(disk_free={"": 239_000_000})
    (told,) = [each for each in check(READY, steps, facts(relation("users")), limits) if each.name == "disk"]
    assert told.says.startswith("the revisions need up to 240 MB in pg_default")
