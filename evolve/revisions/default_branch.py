"""Which branch revisions are usually merged into, as git knows it here."""

from __future__ import annotations

import re
import shutil
import subprocess

from evolve.errors import Misuse
from evolve.revisions.project import Project

# In the order in which they are believed: what the remote says itself comes first.
_CANDIDATES = ("origin/HEAD", "origin/main", "origin/master", "main", "master")
_GIT_SECONDS = 60.0


class NoDefaultBranch(Misuse):
    def __init__(self) -> None:
        super().__init__(
            f"git knows no default branch here: none of {', '.join(_CANDIDATES)}",
            why="without one it is not known which revisions are new; a clone in CI often holds only one commit",
            fix="name it (--since origin/develop), fetch it (fetch-depth: 0), or check all revisions: base:heads",
        )


def default_branch(project: Project) -> str | None:
    """The first of origin/HEAD, origin/main, origin/master, main and master that there is.

    None where the project lies in no repository, in one without commits, and where there is no git.

    Raises:
        NoDefaultBranch: there are commits, and none of those branches.
    """
    references = [f"refs/{'remotes' if '/' in name else 'heads'}/{name}" for name in _CANDIDATES]
    known = _git(project, "for-each-ref", "--format=%(refname:lstrip=2)", *references)
    if known is None:
        return None
    found = next((name for name in _CANDIDATES if name in known.split()), None)
    if found is None and _git(project, "rev-parse", "--quiet", "--verify", "HEAD") is not None:
        raise NoDefaultBranch
    return found


def why_unknown(project: Project) -> str:
    """Why `default_branch` has answered None, for a person."""
    if shutil.which("git") is None:
        return "there is no git on the PATH that would know which are new"
    done = _run(project, "rev-parse", "--show-toplevel")
    said = done.stderr.decode(errors="replace") if done is not None else ""
    remedy = re.search(r"^\s*(git config .*safe\.directory .+)$", said, re.MULTILINE)
    if remedy is not None:
        return f"git does not trust the owner of this repository; where you do: {remedy[1]}"
    if done is not None and done.returncode == 0:
        return "nothing is committed yet"
    return "git knows no repository here"


def _git(project: Project, *arguments: str) -> str | None:
    """What git answers; None where it says no, or is not there."""
    done = _run(project, *arguments)
    return done.stdout.decode(errors="replace") if done is not None and done.returncode == 0 else None


def _run(project: Project, *arguments: str) -> subprocess.CompletedProcess[bytes] | None:
    try:
        return subprocess.run(
            ["git", "-C", str(project.root), *arguments],  # noqa: S607  # the user's own git; no shell
            capture_output=True,
            check=False,
            stdin=subprocess.DEVNULL,
            timeout=_GIT_SECONDS,
        )
    except (FileNotFoundError, subprocess.TimeoutExpired):
        return None
