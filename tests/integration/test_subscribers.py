"""What plans say of subscribers, on a publisher and a subscriber: who does not follow it stops, who does goes on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import psycopg
import pytest
from support.alembic_project import AlembicProject
from support.change_project import ChangeProject
from support.changes import Carried
from support.replication import SETTINGS, Replicated, replicated

from evolve.plan.change import Change
from evolve.plan.model import PhaseName
from evolve.plan.recipes.columns.change_type import ChangeType
from evolve.plan.recipes.columns.drop_column import DropColumn
from evolve.plan.recipes.columns.rename_column import RenameColumn
from evolve.plan.recipes.constraints.widen_key import WidenKey
from evolve.postgres import scratch
from evolve.sql.names import QualifiedName

pytestmark = [pytest.mark.server, pytest.mark.long]

USERS = QualifiedName("users")
SCHEMA = """
    CREATE TABLE users (id int PRIMARY KEY, name varchar(10) NOT NULL, visits int NOT NULL DEFAULT 0);
    INSERT INTO users SELECT n, 'user ' || n FROM generate_series(1, 20) n;
"""


@dataclass(frozen=True)
class Case:
    """
    Args:
        inserts: what code writes; the first that the table takes in a phase, in the order of its versions.
        told: phase → what the note says that subscribers need before it, as SQL.
        note: how it says so.
        stops: what a subscriber says after expand that heeds nothing.
    """

    change: Change
    inserts: tuple[str, ...]
    told: dict[PhaseName, str]
    note: tuple[str, ...]
    stops: str


CASES = {
    "rename-column": Case(
        RenameColumn(USERS, "name", "full_name"),
        (
            "INSERT INTO users (id, full_name) VALUES ({}, 'new')",
            "INSERT INTO users (id, name) VALUES ({}, 'x')",
        ),
        {
            "expand": "ALTER TABLE users ADD full_name varchar(10)",
            "contract": "ALTER TABLE users ADD _evolve_q_rename_users_name_to_full_name varchar(10),"
            " ALTER name DROP NOT NULL",
        },
        (
            "full_name character varying(10) before expand",
            "_evolve_q_rename_users_name_to_full_name character varying(10) before contract",
            "with name no longer NOT NULL",
        ),
        'is missing replicated column: "full_name"',
    ),
    "drop-column": Case(
        DropColumn(USERS, "name"),
        ("INSERT INTO users (id) VALUES ({})",),
        {
            "expand": "ALTER TABLE users ALTER name DROP NOT NULL",
            "contract": "ALTER TABLE users ADD _evolve_q_drop_users_name varchar(10)",
        },
        (
            "before expand name without NOT NULL",
            "before contract a column _evolve_q_drop_users_name character varying(10)",
        ),
        'null value in column "name"',
    ),
    "change-type in place": Case(
        ChangeType(USERS, "name", "text"),
        ("INSERT INTO users (id, name) VALUES ({}, 'longer than ten letters')",),
        {"expand": "ALTER TABLE users ALTER name TYPE text"},
        ("change the type on its subscribers before expand",),
        "value too long for type character varying(10)",
    ),
    "change-type": Case(
        ChangeType(USERS, "visits", "bigint"),
        (
            "INSERT INTO users (id, name, visits) VALUES ({}, 'x', 3000000000)",
            "INSERT INTO users VALUES ({}, 'x')",
        ),
        {
            "expand": "ALTER TABLE users ADD _evolve_n_change_users_visits_to_bigint bigint",
            "contract": "ALTER TABLE users ADD _evolve_q_change_users_visits_to_bigint int, ALTER visits TYPE bigint",
        },
        (
            "_evolve_n_change_users_visits_to_bigint bigint before expand",
            "_evolve_q_change_users_visits_to_bigint integer before contract",
            "values of bigint for visits, which its type there must take",
        ),
        'is missing replicated column: "_evolve_n_change_users_visits_to_bigint"',
    ),
    "widen-key": Case(
        WidenKey(USERS, "id"),
        ("INSERT INTO users (id, name) VALUES (3000000000 + {}, 'x')", "INSERT INTO users VALUES ({}, 'x')"),
        {
            "expand": "ALTER TABLE users ADD _evolve_id bigint",
            "contract": "ALTER TABLE users ADD _evolve_q_widen_users_id_to_bigint int, ALTER id TYPE bigint",
        },
        (
            "_evolve_id bigint before expand",
            "_evolve_q_widen_users_id_to_bigint integer before contract",
            "id as bigint before a value passes 2147483647",
        ),
        'is missing replicated column: "_evolve_id"',
    ),
}
# What is left out of the last thing that was told: the old names still hold NOT NULL, or the narrow type.
HALF_HEEDED = {
    "rename-column": 'null value in column "name"',
    "widen-key": "out of range for type integer",
}


@pytest.fixture(scope="module")
def server() -> Iterator[scratch.Server]:
    with scratch.server(settings=SETTINGS) as server:
        yield server


@pytest.mark.parametrize("name", list(CASES))
def test_who_heeds_nothing_stops(server: scratch.Server, name: str) -> None:
    case = CASES[name]
    with replicated(server, SCHEMA, "FOR TABLE users") as both:
        carried = Carried(both.publisher, case.change)
        assert both.arrives()
        carried.up("expand")
        write(both, case, 100)
        assert not both.arrives()
        assert case.stops in both.errors()[0]


@pytest.mark.parametrize("name", list(CASES))
def test_who_heeds_the_note_goes_on_to_the_end(server: scratch.Server, name: str) -> None:
    case = CASES[name]
    with replicated(server, SCHEMA, "FOR TABLE users") as both:
        carried = Carried(both.publisher, case.change)
        told = " ".join(note for note in carried.plan.notes if "published by p" in note)
        assert [words for words in case.note if words not in told] == []
        for number, phase in enumerate(carried.plan.phases):
            if phase.name in case.told:
                both.subscriber.execute(case.told[phase.name].encode())
            carried.up(phase.name)
            write(both, case, 100 + number)
            assert both.arrives(), (phase.name, both.errors())
        columns = ", ".join(
            f'"{column.name}"' for column in both.publisher.execute("SELECT * FROM users").description or ()
        )
        rows = f"SELECT {columns} FROM users ORDER BY id"
        assert (
            both.subscriber.execute(rows.encode()).fetchall()
            == both.publisher.execute(rows.encode()).fetchall()
        )


@pytest.mark.parametrize("name", list(HALF_HEEDED))
def test_who_forgets_a_part_of_it_stops_at_contract_and_goes_on_when_it_is_done(
    server: scratch.Server, name: str
) -> None:
    case = CASES[name]
    with replicated(server, SCHEMA, "FOR TABLE users") as both:
        carried = Carried(both.publisher, case.change)
        both.subscriber.execute(case.told["expand"].encode())
        carried.up("expand", "backfill", "validate")
        heeded, _, forgotten = case.told["contract"].rpartition(", ")
        both.subscriber.execute(heeded.encode())
        assert both.arrives()
        carried.up("contract")
        write(both, case, 100)
        assert not both.arrives()
        assert HALF_HEEDED[name] in both.errors()[0]
        both.subscriber.execute(f"ALTER TABLE users {forgotten}".encode())
        both.errors()
        assert both.arrives()


def test_what_evolve_keeps_goes_out_with_all_tables(
    server: scratch.Server, make_project: Callable[..., AlembicProject]
) -> None:
    with replicated(server, SCHEMA, "FOR ALL TABLES") as both:
        url = server.url.rpartition("/")[0] + f"/{both.publisher.info.dbname}"
        both.subscriber.execute("CREATE TABLE alembic_version (version_num varchar(32) PRIMARY KEY)")
        project = ChangeProject(make_project(url), url, "SELECT 1")
        assert both.arrives()  # an upgrade keeps no record there
        assert "Publication p sends all tables" in project.ok("plan", "drop-column", "users.name")
        project.ok("plan", "drop-column", "users.name", "--write")
        project.ok("upgrade")
        project.ok("advance", "drop_users_name")
        assert not both.arrives()
        assert 'relation "evolve.' in both.errors()[0]


def write(both: Replicated, case: Case, key: int) -> None:
    """A row of the newest code that can work, and a change of one that was there."""
    for statement in case.inserts:
        try:
            both.publisher.execute(statement.format(key).encode())
            break
        except psycopg.errors.DatabaseError:
            continue
    else:
        raise AssertionError("no code can write")
    both.publisher.execute("UPDATE users SET visits = visits + 1 WHERE id = 1")
