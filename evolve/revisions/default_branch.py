"""Which branch revisions are usually merged into, as git knows it here."""

from __future__ import annotations

import shutil
from collections.abc import Sequence

from evolve.errors import Misuse
from evolve.revisions.git import Repository, find_repository
from evolve.revisions.project import Project

# In the order in which they are believed: what the remote says itself comes first.
_CANDIDATES = ("origin/HEAD", "origin/main", "origin/master", "main", "master")


class NoDefaultBranch(Misuse):
    """
    Args:
        branches: those that there are.
    """

    def __init__(self, branches: Sequence[str] = (), *, shallow: bool = False) -> None:
        there = f"; there are {', '.join(branches[:5])}" if branches else ""
        super().__init__(
            f"git knows no default branch here: none of {', '.join(_CANDIDATES)}{there}",
            why="without one it is not known which revisions are new; "
            + ("this clone is shallow" if shallow else "a clone in CI often holds only one commit"),
            fix="name it (--since origin/develop), fetch it (fetch-depth: 0), or check all revisions: base:heads",
        )


def default_branch(project: Project, repository: Repository | None = None) -> str | None:
    """The first of origin/HEAD, origin/main, origin/master, main and master that there is.

    None where the project lies in no repository, or in one without commits.

    Args:
        repository: the project's, where the caller knows it already.

    Raises:
        NoDefaultBranch: there are commits, and none of those branches.
        GitMissing and the other causes of `find_repository`: git cannot be asked.
    """
    repository = repository or find_repository(project.root)
    if repository is None:
        return None
    found = repository.default_branch(_CANDIDATES)
    if found is None and repository.has_commits:
        raise NoDefaultBranch(repository.branches(), shallow=repository.shallow)
    return found


def why_unknown(repository: Repository | None) -> str:
    """Why `default_branch` has answered None, for a person."""
    if repository is not None:
        return "nothing is committed yet"
    if shutil.which("git") is None:
        return "there is no git on the PATH that would know which are new"
    return "git knows no repository here"
