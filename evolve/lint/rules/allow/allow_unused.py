"""EV922: what allows nothing: a comment, a setting, or a line of the baseline."""

from __future__ import annotations

from collections.abc import Sequence

from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.sql.steps import Place


class AllowUnused(Rule):
    id = "EV922"
    name = "allow-unused"
    severity = Severity.WARNING
    why = "it is of no use any more; left behind it would hide the next finding of its kind"

    def about(self, place: Place, revision: str, name: str, line: int | None = None) -> Finding:
        """
        Args:
            line: where in the file there is such a finding.
        """
        return self.finding_at(
            place,
            revision,
            f"the comment allows {name}, and there is no such finding here",
            fix=f"move the comment to line {line}, or remove it" if line else "remove the comment",
        )

    def about_files(self, place: Place, pattern: str) -> Finding:
        return self.finding_at(
            place,
            "",
            f'the setting allows findings in "{pattern}", and there is no such revision or file',
            fix="correct it: it is a revision id, or a glob from the script directory or the folder of the settings",
        )

    def about_setting(self, place: Place, words: Sequence[str]) -> Finding:
        return self.finding_at(
            place,
            "",
            f"the setting allows {', '.join(words)}, and there is no such finding in what it speaks for",
            fix="remove it from the settings",
        )

    def about_baseline(self, place: Place, gone: Sequence[str], count: int) -> Finding:
        """
        Args:
            gone: in words, some of what is no longer there.
            count: how many findings that are.
        """
        more = f", and {count - len(gone)} more" if count > len(gone) else ""
        verb = "knows a finding that is" if count == 1 else f"knows {count} findings that are"
        return self.finding_at(
            place,
            "",
            f"the baseline {verb} no longer there: {', '.join(gone)}{more}",
            fix="evolve lint --write-baseline",
        )
