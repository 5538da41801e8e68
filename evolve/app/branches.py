"""Where the next revision of a change goes: onto the one line, or onto one of two branches.

expand branch     what only adds: expand, validate. It runs before new code is deployed
contract branch   what takes away: contract, purge. It runs when no old code is left
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from evolve.errors import Misuse
from evolve.plan.model import Phase, PhaseName, Plan
from evolve.revisions.history import History, MultipleHeads
from evolve.revisions.project import Project
from evolve.sql.effects import effect
from evolve.sql.parse import parse
from evolve.sql.schema import Schema
from evolve.sql.steps import Recording
from evolve.values import dataclass

NAMES = ("expand", "contract")
_TAKES_AWAY: frozenset[PhaseName] = frozenset({"contract", "purge"})


class NoSuchBranch(Misuse):
    def __init__(self, label: str, known: Iterable[str]) -> None:
        names = ", ".join(sorted(known)) or "none"
        super().__init__(
            f'no revision carries the branch label "{label}"',
            why="[tool.evolve] expand_branch and contract_branch name branches of the project",
            fix=f"labels that there are: {names}; alembic revision --branch-label {label} --head base makes one",
        )


class SeveralHeads(Misuse):
    def __init__(self, heads: tuple[str, ...]) -> None:
        super().__init__(
            f'"head" asks for one head and there are {len(heads)}: {", ".join(heads)}',
            why="Alembic cannot tell which of them the next revision goes on",
            fix="join them with `alembic merge heads`; or, where one branch adds and the other takes away, name their "
            "labels: expand_branch and contract_branch in [tool.evolve]",
        )


@dataclass(frozen=True, slots=True)
class Branches:
    """The heads that revisions of changes go on; one of both kinds where there is one line.

    Args:
        expand, contract: ids; None where there is no revision yet.
        two: they are two branches.
    """

    expand: str | None
    contract: str | None
    two: bool = False

    def head(self, phase: PhaseName) -> str | None:
        return self.contract if phase in _TAKES_AWAY else self.expand

    def upgrade(self, revisions: Sequence[str]) -> str:
        """The command that applies `revisions`, the last of which needs all others; of two branches no more."""
        return f"evolve upgrade {revisions[-1]}" if self.two and revisions else "evolve upgrade"


def find_branches(project: Project, history: History) -> Branches:
    """The branches that the settings name, or those labelled "expand" and "contract" where there are several heads.

    Raises:
        NoSuchBranch: the settings name one that is not there.
        SeveralHeads, MultipleHeads: there are more heads than branches.
    """
    named = project.branches
    if named is None:
        if len(history.heads) < 2:
            return Branches(history.head(), history.head())
        if not set(NAMES) <= set(history.labels):
            raise SeveralHeads(history.heads)
    expand, contract = named or NAMES
    for label in (expand, contract):
        if label not in history.labels:
            raise NoSuchBranch(label, history.labels)
    found = Branches(history.head(expand), history.head(contract), two=True)
    if not {found.expand, found.contract}.issuperset(history.heads):
        raise MultipleHeads("head", history.heads)
    return found


def needed_first(
    branches: Branches, history: History, phase: Phase, plan: Plan, recordings: Iterable[Recording]
) -> tuple[str, ...]:
    """What the first revision of `phase` depends on, on the other branch, so that a new database replays both in an
    order that works.

    What takes away comes after all that was added by then. What adds comes after those that have taken something from
    the same tables, and waits for no others.

    Args:
        recordings: of all revisions.
    """
    if not branches.two:
        return ()
    if phase.name in _TAKES_AWAY:
        wanted = branches.expand
    else:
        tables = {table for table, _ in (*plan.uses.writes, *plan.uses.reads)}
        below = history.ancestors([branches.contract] if branches.contract else [])
        own = below - history.ancestors([branches.expand] if branches.expand else [])
        wanted = next(
            (
                recording.revision
                for recording in reversed(list(recordings))
                if recording.revision in own and not tables.isdisjoint(_locked(recording))
            ),
            None,
        )
    head = branches.head(phase.name)
    known = history.ancestors([head] if head else [])
    return (wanted,) if wanted is not None and wanted not in known else ()


def _locked(recording: Recording) -> set[object]:
    return {
        table
        for statement in recording.statements
        for operation in parse(statement.sql)
        for table in effect(operation, Schema()).locks
    }
