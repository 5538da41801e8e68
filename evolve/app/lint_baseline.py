"""Finds, reads and writes the baseline of a project: the findings that were there when linting began."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from evolve.errors import Misuse
from evolve.files import write_whole
from evolve.lint.baseline import NAME, Baseline, read, render, updated
from evolve.lint.model import BaselineUsed, Finding, Report, Suppressed
from evolve.sql.steps import Place
from evolve.values import dataclass


class TwoBaselines(Misuse):
    def __init__(self) -> None:
        super().__init__(
            "--no-baseline leaves the baseline out, and --baseline names one", fix="give one of the two"
        )


class NothingToWrite(Misuse):
    def __init__(self, option: str) -> None:
        super().__init__(f"{option} without --write-baseline says nothing", fix=f"leave out {option}")


class NotToBeWritten(Misuse):
    def __init__(self, option: str) -> None:
        super().__init__(
            f"--write-baseline does not go with {option}",
            why="a baseline is of files as they are, and of what the next run finds there again",
            fix="evolve lint --write-baseline",
        )


@dataclass(frozen=True, slots=True)
class Change:
    """What writing does to a baseline; `before` is empty where there is none."""

    file: Path
    added: int
    gone: int
    kept: int
    before: str
    after: str


def find_baseline(
    given: Path | None, configured: Path | None, folder: Path, *, writing: bool = False
) -> Baseline | None:
    """The baseline that holds; without one that is named, evolve-baseline.jsonl of `folder` where that is there.

    Args:
        writing: it is going to be written, so it need not be there.

    Raises:
        NoBaseline, BrokenBaseline, ConflictInBaseline, BaselineOfAnotherVersion: see `evolve.lint.baseline.read`.
    """
    file = given or configured or folder / NAME
    if file.is_absolute() and file.is_relative_to(Path.cwd()):
        file = file.relative_to(Path.cwd())
    named = given is not None or configured is not None
    if not file.exists() and (writing or not named):
        return Baseline(file) if writing else None
    return read(file)


def record(report: Report, *, write: bool) -> tuple[Change, Report]:
    """Make all findings of `report` known to its baseline, and forget those that are gone.

    What other revisions have stays. The report that comes back is the one that the new baseline gives.

    Args:
        write: False only says what would change.

    Raises:
        CannotWrite: the file cannot be written; the old one is left.
    """
    used = report.baseline
    if used is None:
        raise ValueError("the report was made without a baseline")
    old = used.baseline
    never = _never_recorded()
    new_findings = [finding for finding in report.findings if finding.rule not in never]
    known = [each.finding for each in report.suppressed if each.by == "baseline"]
    new = updated(old, (*known, *new_findings), used.gone)
    gone = sum(entry.times for entry in used.gone)
    before = old.file.read_text(encoding="utf-8") if old.file.exists() else ""
    after = render(new.entries)
    if write and after != before:
        write_whole(old.file, after.encode())
    change = Change(old.file, len(new_findings), gone, old.count - gone, before, after)
    return change, _known_to(report, new, new_findings)


def _never_recorded() -> frozenset[str]:
    """Rules of comments and settings: what they find is mended, not recorded."""
    # All rules come with it, which the process that reads revisions should not wait for.
    from evolve.lint.rules.allow import RULES

    return frozenset(rule.id for rule in RULES)


def _known_to(report: Report, baseline: Baseline, recorded: Sequence[Finding]) -> Report:
    place, never = Place(baseline.file, 0), _never_recorded()
    return replace(
        report,
        findings=tuple(
            finding
            for finding in report.findings
            if finding.rule in never and finding.place.file != baseline.file
        ),
        suppressed=(
            *report.suppressed,
            *(Suppressed(finding, "it is in the baseline now", place, "baseline") for finding in recorded),
        ),
        baseline=BaselineUsed(baseline),
    )
