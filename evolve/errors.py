"""Every error that `evolve` raises on purpose, and the exit status each one ends in.

    EvolveError            what happened, why it matters, how to fix it
    ├── Refused   exit 1   the question was understood and the answer is no
    └── Misuse    exit 2   the question was wrong: usage, config, project, plugin, connection

A package declares its own causes beside the code that raises them, as subclasses of `Refused` or `Misuse`; each takes
the parts (names, numbers) and writes the sentence. Anything else that escapes is a bug and keeps its traceback.
"""

from __future__ import annotations


class EvolveError(Exception):
    """Something a user can act on.

    Args:
        what: what happened, with the user's names quoted; no full stop.
        why: why that matters.
        fix: the exact command or code that mends it.
    """

    exit_code = 2

    def __init__(self, what: str, *, why: str | None = None, fix: str | None = None) -> None:
        super().__init__(what)
        self.what = what
        self.why = why
        self.fix = fix

    def __str__(self) -> str:
        lines = [self.what]
        if self.why:
            lines.append(f"  why: {self.why}")
        if self.fix:
            lines.append(f"  fix: {self.fix}")
        return "\n".join(lines)


class Refused(EvolveError):
    """The question was understood and the answer is no: findings block, a gate is shut, a run failed."""

    exit_code = 1


class Misuse(EvolveError):
    """The question was wrong: usage, configuration, project, plugin or connection."""

    exit_code = 2
