"""Where a live schema is not what the revisions applied to it made, nor what the models say."""

from __future__ import annotations

from dataclasses import dataclass, replace

from evolve.errors import EvolveError
from evolve.plan.differences import told
from evolve.postgres.catalog import read_schema
from evolve.postgres.evidence import looking
from evolve.postgres.stamps import applied_heads
from evolve.revisions.history import History, read_history
from evolve.revisions.project import Project
from evolve.revisions.read import read
from evolve.revisions.select import Range
from evolve.sql.differences import differences
from evolve.sql.names import QualifiedName
from evolve.sql.parse import parse
from evolve.sql.replay import apply
from evolve.sql.schema import Schema

_OWN_SCHEMAS = frozenset({"evolve", "evolve_client"})
_PROBES = "zz_evolve_trip"  # triggers that come and go without a revision


@dataclass(frozen=True, slots=True)
class Drift:
    """
    Args:
        history: what the database lacks, has more or has otherwise than its revisions say.
        models: what models and database disagree on; None where that could not be asked.
        unasked: why not.
        pending: revisions that this database does not have yet.
    """

    history: tuple[str, ...]
    models: tuple[str, ...] | None
    unasked: str
    pending: tuple[str, ...]

    @property
    def clean(self) -> bool:
        return not self.history and not self.models


def schema_drift(project: Project, url: str) -> Drift:
    """Compare; reads catalogs and files, writes nothing.

    The revisions are replayed as the linter does it, without a server. Their SQL is read, not run: what a statement
    computes only when it runs, as a DO block does, is not known.

    Raises:
        CannotConnect, Denied; BrokenRevision and its kin.
    """
    history = read_history(project)
    with looking(url, "evolve drift") as connection:
        heads = applied_heads(connection, project.version_table, project.version_table_schema)
        applied = history.ancestors(head for head in heads if head in history.revisions)
        live = read_schema(connection)
    expected = _replayed(project, history, applied)
    found = differences(_seen(expected, project), _seen(live, project))
    pending = tuple(revision for revision in history.revisions if revision not in applied)
    models, unasked = (
        (None, "the database lacks revisions: evolve upgrade") if pending else _models(project, url)
    )
    return Drift(found, models, unasked, pending)


def _replayed(project: Project, history: History, applied: frozenset[str]) -> Schema:
    schema = Schema()
    for recording in read(project, Range("base:heads"), history=history):
        if recording.revision in applied:
            for statement in recording.statements:
                for operation in parse(statement.sql):
                    apply(schema, operation)
    return schema


def _models(project: Project, url: str) -> tuple[tuple[str, ...] | None, str]:
    from evolve.revisions.model_differences import model_differences  # Alembic takes a while to import

    try:
        return tuple(told(difference) for difference in model_differences(project, url)), ""
    except EvolveError as error:  # no models, or env.py does not say which
        return None, str(error).splitlines()[0]


def _seen(schema: Schema, project: Project) -> Schema:
    """Without what is nobody's revision: evolve's own schemas, Alembic's table, tripwires."""
    seen = schema.copy()
    seen.schemas = set(seen.schemas) - _OWN_SCHEMAS
    own = QualifiedName(project.version_table, project.version_table_schema or "public")
    for kind in (seen.tables, seen.indexes, seen.enums, seen.domains, seen.views, seen.sequences):
        for name in [name for name in kind if name.schema in _OWN_SCHEMAS or name == own]:
            del kind[name]
    for name in [name for name, index in seen.indexes.items() if index.definition.table == own]:
        del seen.indexes[name]
    for name, table in list(seen.tables.items()):
        kept = tuple(each for each in table.trigger_list if not each.name.startswith(_PROBES))
        if kept != table.trigger_list:
            seen.tables[name] = replace(table, trigger_list=kept)
    return seen
