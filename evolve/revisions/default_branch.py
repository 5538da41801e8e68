"""Which branch revisions are usually merged into, as git knows it here."""

from __future__ import annotations

import subprocess

from evolve.revisions.project import Project

# In the order in which they are believed: what the remote says itself comes first.
_CANDIDATES = ("origin/HEAD", "origin/main", "origin/master", "main", "master")
_GIT_SECONDS = 60.0


def default_branch(project: Project) -> str | None:
    """The first of origin/HEAD, origin/main, origin/master, main and master that there is.

    None where there is none, where the project lies in no repository, and where there is no git.
    """
    references = [f"refs/{'remotes' if '/' in name else 'heads'}/{name}" for name in _CANDIDATES]
    try:
        done = subprocess.run(  # noqa: S603  # fixed arguments, no shell
            ["git", "-C", str(project.root), "for-each-ref", "--format=%(refname:lstrip=2)", *references],  # noqa: S607
            capture_output=True,
            check=False,
            stdin=subprocess.DEVNULL,
            timeout=_GIT_SECONDS,
        )
    except (FileNotFoundError, subprocess.TimeoutExpired):
        return None
    known = done.stdout.decode(errors="replace").split()
    return next((name for name in _CANDIDATES if name in known), None)
