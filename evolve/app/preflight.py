"""Looks, before an upgrade, whether the database is ready for it; writes nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from evolve.app.upgrade import preview
from evolve.lint.forecast import Forecast, forecast
from evolve.lint.readiness import Check, Limits, Server, check, needed
from evolve.lint.thresholds import Thresholds
from evolve.postgres.catalog import read_schema
from evolve.postgres.connect import connect
from evolve.postgres.database_facts import read_facts
from evolve.postgres.pooler import refuse_pooled
from evolve.postgres.server_state import read_only_because, read_server
from evolve.revisions.history import read_history
from evolve.revisions.project import Project
from evolve.revisions.read import record_from
from evolve.revisions.run import Pending
from evolve.sql.names import QualifiedName
from evolve.sql.privileges import Privilege, Right
from evolve.sql.schema import Schema
from evolve.sql.steps import Recording

if TYPE_CHECKING:
    from evolve.revisions.cache.store import Store


@dataclass(frozen=True, slots=True)
class Preflight:
    """
    Args:
        pending: in the order in which they will run.
        disk: tablespace → bytes that the revisions take there at the most at one moment, without WAL.
    """

    pending: tuple[Pending, ...]
    forecasts: tuple[Forecast, ...]
    checks: tuple[Check, ...]
    server: Server
    disk: Mapping[str, int]

    @property
    def ready(self) -> bool:
        return not any(check.verdict == "fails" for check in self.checks)


def preflight(
    project: Project,
    url: str,
    target: str,
    *,
    limits: Limits,
    sizes: Thresholds,
    role: str | None = None,
    time_limit: float = 10.0,
    store: Store | None = None,
) -> Preflight:
    """Hold the database against the revisions that `evolve upgrade TARGET` would run now.

    Args:
        sizes: how fast the server works through a table.
        role: that env.py switches to before it runs them; None is whoever connects.
        time_limit: seconds that reading one revision may take.
        store: readings of earlier runs.

    Raises:
        PooledByTransaction: `url` leads to a pooler, behind which `evolve upgrade` would be refused.
        StrangeRevisions: the database is at a revision that the project does not have.
        Misuse: the causes of `preview` and `read_history`: a name leads nowhere, or a file is broken.
    """
    pending = preview(project, url, target, "upgrade")
    replayed, recordings = _recorded(project, pending, time_limit, store)
    with connect(url, application_name="evolve preflight", autocommit=True) as connection:
        refuse_pooled(connection, url)
        read_only = read_only_because(connection)
        facts = read_facts(connection)
        schema = read_schema(connection)
        # What functions do is read from the revisions alone.
        schema.functions.update(replayed.functions)
        versions = QualifiedName(project.version_table, project.version_table_schema or "public")
        own = _own_privileges(versions, schema, role) if pending else []
        forecasts = forecast(recordings, schema, facts, sizes, role)
        asked = [*own, *(need for each in forecasts for need in each.needs)]
        server = read_server(connection, asked, read_only=read_only if pending else None)
    unread = [recording.revision for recording in recordings if not recording.whole]
    return Preflight(
        tuple(pending),
        forecasts,
        check(server, forecasts, facts, limits, unread=unread),
        server,
        needed(server, forecasts),
    )


def _recorded(
    project: Project, pending: list[Pending], time_limit: float, store: Store | None
) -> tuple[Schema, list[Recording]]:
    """The schema before the first that is pending, as the revisions tell it, and what the pending ones send."""
    history = read_history(project)
    wanted = [step.revision for step in pending]
    needed_before = history.order(history.ancestors(wanted))
    order = [file.revision for file in needed_before]
    first = min((order.index(revision) for revision in wanted), default=len(order))
    if not wanted:
        return Schema(), []
    reading = record_from(project, needed_before, first, time_limit=time_limit, store=store)
    found = {recording.revision: recording for recording in reading.recordings}
    return reading.schema, [found[revision] for revision in wanted if revision in found]


def _own_privileges(versions: QualifiedName, schema: Schema, role: str | None) -> list[Privilege]:
    """What Alembic needs to keep account."""
    if versions not in schema.tables:
        return [Privilege("CREATE", "schema", QualifiedName(versions.schema, ""), role)]
    rights: tuple[Right, ...] = ("SELECT", "INSERT", "UPDATE", "DELETE")
    found = [Privilege(right, "table", versions, role) for right in rights]
    return found if role is None else [Privilege("MEMBER", "role", QualifiedName(role, "")), *found]
