"""`pytest --evolve`: the revisions of a project as tests, beside those that the project has.

pytest loads this module in every run where evolve is installed, so it imports nothing of evolve before it is asked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from psycopg import Connection

CHECKS = ("lint", "heads", "round-trip", "models", "backfills")


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("evolve", "the revisions of this project as tests")
    group.addoption(
        "--evolve",
        nargs="?",
        const="too",
        choices=["too", "only"],
        help="test new revisions: lint, round trip, one head, models, backfills. `--evolve=only` runs nothing else",
    )
    group.addoption("--evolve-since", metavar="GITREF", help="what is new; as of evolve lint")
    group.addoption("--evolve-revisions", metavar="RANGE", help="what to test instead, such as base:heads")
    parser.addini("evolve_checks", f"which of {', '.join(CHECKS)}; all", type="args", default=list(CHECKS))
    parser.addini(
        "evolve_directory", "where the Alembic project is; where pytest's settings are", default="."
    )
    parser.addini("evolve_url_variable", "the variable that env.py takes the database's URL from", default="")
    parser.addini("evolve_rows", "rows that a backfill is tried on", default="500")


def pytest_addhooks(pluginmanager: pytest.PytestPluginManager) -> None:
    pluginmanager.add_hookspecs(Hooks)


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("evolve"):
        wrong = [check for check in config.getini("evolve_checks") if check not in CHECKS]
        if wrong:
            raise pytest.UsageError(
                f"evolve_checks: there is no check {wrong[0]!r}; there are {', '.join(CHECKS)}"
            )
        if not str(config.getini("evolve_rows")).isdecimal():
            raise pytest.UsageError(f"evolve_rows: {config.getini('evolve_rows')!r} is no number of rows")


def pytest_collection(session: pytest.Session) -> None:
    if session.config.getoption("evolve") == "only":
        # What the project has is not even imported.
        session.config.args = []


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(
    session: pytest.Session, config: pytest.Config, items: list[pytest.Item]
) -> None:
    # -k, -m, --lf and the like come after, and choose among these as well.
    if config.getoption("evolve"):
        from evolve.testing.project_checks import ProjectChecks

        if config.getoption("evolve") == "only":
            items.clear()
        items += ProjectChecks.from_parent(session, name="evolve", nodeid="evolve").collect()


class Hooks:
    """What a project's conftest.py may say."""

    @pytest.hookspec(firstresult=True)
    def pytest_evolve_rows(self, connection: Connection, table: str, count: int) -> bool | None:
        """Fill `table` with `count` rows, as old code would have left them, for its backfill to be tried on.

        Args:
            connection: to a scratch database at the revision before the change; psycopg's, committed afterwards.
            table: as SQL writes it, with its schema.

        Returns:
            True where it did; None leaves it to evolve, which makes rows up.
        """
