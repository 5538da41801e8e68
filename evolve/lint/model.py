"""What a lint run says: findings with their place, lock and safe form, and how much of the revisions was
read.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from enum import IntEnum
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from evolve.sql.locks import LockMode
from evolve.sql.names import QualifiedName
from evolve.sql.steps import Place
from evolve.values import dataclass

if TYPE_CHECKING:
    from evolve.lint.baseline import Baseline, Entry
    from evolve.lint.verdict import Compatibility
    from evolve.lint.verification import Verification


class Severity(IntEnum):
    """How bad a finding is; `str()` is the word used on the command line, in configuration and in reports."""

    INFO = 1
    WARNING = 2
    ERROR = 3

    def __str__(self) -> str:
        return self.name.lower()


@dataclass(frozen=True, slots=True)
class LockHeld:
    """The strongest lock that a statement takes or keeps on something that live traffic uses."""

    mode: LockMode
    relation: QualifiedName

    def __str__(self) -> str:
        return f'{self.mode} on "{self.relation.plain}"'


@dataclass(frozen=True, slots=True)
class Weight:
    """What the facts of a live database say of the table that a finding locks.

    Args:
        rows: with its partitions, as the planner estimates them; None where nobody has counted.
        bytes: with indexes, TOAST and partitions.
        seconds: that the statement reads or rewrites while it holds the lock, estimated; None where it does neither.
        writes_per_second: rows, on average; None where it is not known.
        before: the finding's severity where `sizes.weigh` has looked at it again.
    """

    rows: int | None
    bytes: int
    seconds: float | None
    writes_per_second: float | None
    before: Severity | None = None


@dataclass(frozen=True, slots=True)
class Finding:
    """What one rule found at one place.

    Args:
        rule: the rule's id, such as "EV101".
        name: the rule's name, such as "set-not-null-scan".
        message: one sentence with the user's names, no full stop.
        sql: the statement as the server would get it; None where the finding is about the file.
        rewrite: the table is written anew while the lock is held.
        scan: every row is read while the lock is held.
        fails: the statement raises an error on a table that holds rows.
        breaks_old_code: the previous release fails on the new schema.
        breaks_new_code: the next release fails on the old schema.
        why: why that matters, in a sentence or two.
        safe: what to write instead of the statement, as Alembic code in the user's names; each item is the body
            of one `upgrade()`; they are applied in this order, in transactions of their own.
        fix: the command that does it.
        weight: of the table, where facts of a live database are given and know it.
        sql_line: of `sql`, where the statement begins that is meant; counts from 1.
        versions: major versions of PostgreSQL that it is for, where several are asked about and it is not all of them.
    """

    rule: str
    name: str
    severity: Severity
    place: Place
    revision: str
    message: str
    why: str
    sql: str | None = None
    lock: LockHeld | None = None
    rewrite: bool = False
    scan: bool = False
    fails: bool = False
    breaks_old_code: bool = False
    breaks_new_code: bool = False
    safe: tuple[str, ...] = ()
    fix: str | None = None
    direction: Literal["upgrade", "downgrade"] = "upgrade"
    weight: Weight | None = None
    sql_line: int = 1
    versions: tuple[int, ...] = ()

    @property
    def quieted(self) -> bool:
        """The table is small: it would be more severe on a larger one."""
        return self.weight is not None and (self.weight.before or self.severity) > self.severity

    @property
    def is_gap(self) -> bool:
        """Something was not read."""
        # EV92x are about the comments that allow findings.
        return self.rule.startswith(("EV90", "EV91"))


@dataclass(frozen=True, slots=True)
class Suppressed:
    """A finding that was allowed.

    Args:
        place: of the comment, the setting or the line of the baseline that allows it; None where that is not known.
        by: what allows it; "imported" is what another tool was told.
    """

    finding: Finding
    reason: str
    place: Place | None
    by: Literal["comment", "configuration", "imported", "baseline"] = "comment"


@dataclass(frozen=True, slots=True)
class Coverage:
    """How much was seen.

    Args:
        revisions: how many were linted.
        statements: how many statements they sent.
        read: how many of those the linter understands; DO blocks and text that is no PostgreSQL are not.
        data_dependent: revisions whose statements depend on rows or on the catalog they read.
        incomplete: revisions that were not read to their end.
        unseen: revisions read to their end with operations that were not reached, or that nobody knows.
    """

    revisions: int = 0
    statements: int = 0
    read: int = 0
    data_dependent: int = 0
    incomplete: int = 0
    unseen: int = 0


@dataclass(frozen=True, slots=True)
class FactsUsed:
    """The facts of a live database that findings were weighed by.

    Args:
        age: in days.
        stale: older than the settings allow.
        server_version: major.
        unknown: tables in use that the facts do not know, so that they were judged without them.
    """

    taken: date
    age: int
    stale: bool
    server_version: int
    unknown: tuple[QualifiedName, ...] = ()


@dataclass(frozen=True, slots=True)
class BaselineUsed:
    """The findings that were there when linting began.

    Args:
        gone: what it knows, and is no longer there, as far as this run can tell.
    """

    baseline: Baseline
    gone: tuple[Entry, ...] = ()


@dataclass(frozen=True, slots=True)
class Report:
    """`findings` and `suppressed` are in the order of the revisions, then of the lines; `notes` tell what a person
    should know of the choice of revisions, such as one that stands for several that are gone; `files`
    are the ids of the revisions that were checked, in their order, with their files.
    """

    findings: tuple[Finding, ...]
    suppressed: tuple[Suppressed, ...]
    coverage: Coverage
    compatibility: Compatibility | None = None
    facts: FactsUsed | None = None
    verification: Verification | None = None
    notes: tuple[str, ...] = ()
    files: tuple[tuple[str, Path], ...] = ()
    baseline: BaselineUsed | None = None

    def blocks(self, fail_on: Severity) -> bool:
        """True also where the server does not do what the linter believes: then no verdict can be trusted."""
        if self.verification is not None and self.verification.differences:
            return True
        return any(finding.severity >= fail_on for finding in self.findings)

    @property
    def has_gaps(self) -> bool:
        """Something was not read and nobody has allowed that."""
        return any(finding.is_gap for finding in self.findings)

    @property
    def quieted(self) -> int:
        """How many findings are only information since their tables are small."""
        return sum(finding.quieted for finding in self._all)

    @property
    def raised(self) -> int:
        """How many findings are more severe since their tables are hot or large."""
        return sum(
            finding.weight is not None and (finding.weight.before or finding.severity) < finding.severity
            for finding in self._all
        )

    def count(self, severity: Severity) -> int:
        return sum(finding.severity is severity for finding in self.findings)

    @property
    def breaks_old_code(self) -> bool:
        return any(f.breaks_old_code for f in self._all)

    @property
    def breaks_new_code(self) -> bool:
        return any(f.breaks_new_code for f in self._all)

    @property
    def _all(self) -> Iterable[Finding]:
        # An allowed finding is known and accepted; it breaks code all the same.
        return (*self.findings, *(suppressed.finding for suppressed in self.suppressed))
