"""A standby is read where that is enough, and refused where something would be written or a gate be looked at."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import chdir

import psycopg
import pytest
from click.testing import CliRunner, Result
from support.bad_input import CHANGE, COMMANDS, Ground
from support.dashboard import browsing
from support.standby import hot_standby

from evolve.cli import evolve
from evolve.postgres.writable import StandbyServer
from evolve.revisions.project import find_project

pytestmark = pytest.mark.server

READING = (
    *("lint", "lint --unapplied", "facts export", "plan set-not-null", "plan add-index", "status"),
    *("upgrade --dry-run", "upgrade --sql", "backfill status", "partition status", "history", "drift"),
    *("partition plan", "partition advise"),
)
ELSEWHERE = {
    "registry list",  # it reads, and on a server without a registry says so
    "init",
    "plan auto",
    "preflight",
    "backfill log",  # it reads, and no backfill has run there
    "backfill rejects",
    "backfill explain",
    *(
        "partition explain",
        "partition check",
        "partition schedule",
    ),  # they read, and orders is not partitioned
}  # it asks no server, has no models here, or tells it in its own way


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    root = tmp_path_factory.mktemp("standby") / "project"

    def prepare(url: str) -> None:
        Ground.prepare(root, url).connection.close()

    with hot_standby(prepare) as url, psycopg.connect(url, autocommit=True) as connection:
        yield Ground(root, url, connection)


def run(ground: Ground, *arguments: str) -> Result:
    with chdir(ground.root):
        return CliRunner().invoke(evolve, arguments, standalone_mode=False)


@pytest.mark.parametrize("name", sorted(COMMANDS.keys() - {*READING} - ELSEWHERE))
def test_what_writes_is_refused_before_anything_is_touched(ground: Ground, name: str) -> None:
    before = ground.snapshot()
    done = run(ground, *COMMANDS[name])
    assert isinstance(done.exception, StandbyServer), done.output
    assert ground.snapshot() == before


@pytest.mark.parametrize("name", READING)
def test_what_reads_works(ground: Ground, name: str) -> None:
    done = run(ground, *COMMANDS[name])
    assert done.exception is None, done.output


def test_the_dashboard_shows_one_and_changes_nothing_there(ground: Ground) -> None:
    with browsing(ground.url, project=lambda: find_project(ground.root)) as browser:
        browser.until(lambda: browser.ask("/"), lambda answer: CHANGE in answer.text)
        header = {"Authorization": f"Bearer {browser.address.token}"}
        answer = browser.ask("/act?name=any", {"action": "cancel"}, header)
    assert answer.status == 400
    assert "this server is a standby" in answer.plain


def test_it_says_where_to_go(ground: Ground) -> None:
    said = str(run(ground, "advance", CHANGE).exception)
    assert "this server is a standby, which can only be read" in said
    assert "connect to the primary" in said


def test_a_plan_tells_whose_facts_it_shows(ground: Ground) -> None:
    assert "These facts come from a standby" in run(ground, *COMMANDS["plan add-index"]).stdout.replace(
        "\n", " "
    )


def test_who_works_on_the_primary_is_not_known(ground: Ground) -> None:
    shown = run(ground, "status", CHANGE).stdout
    assert "a standby does not know who works on its primary" in shown
