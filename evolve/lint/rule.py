"""What a rule is: a named check of one step, with what it claims about locks and about running code."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Sequence
from inspect import getfile
from pathlib import Path
from typing import ClassVar

from evolve.lint.history import History
from evolve.lint.model import Finding, LockHeld, Severity
from evolve.sql.locks import LockMode
from evolve.sql.names import QualifiedName
from evolve.sql.steps import Place, Recording, Remark, Step


class Rule:
    """One rule; instances hold no state. Its page is the `.md` file beside the module that defines the class.

    What the class claims (`lock`, `rewrite`, `scan`, `fails`) is measured: the examples of the page run on a
    server.

    Attributes:
        id: "EV" and three digits; the first digit is the family. Stable, never reused.
        name: kebab-case; names the bad pattern and reads well after "allow".
        why: one or two sentences, printed with every finding.
        lock: the strongest lock on a table in use, taken or kept by the statement.
        scan: every row is read while the lock is held; a rewrite is a scan as well.
        fails: the statement raises an error where the table holds rows.
        answered_by_gate: silent in a contract revision that evolve wrote and that opens with its gate.
        looks_at: the operations that `check` wants to see; all of them where it is empty.
        versions: the major versions of PostgreSQL that it concerns, such as "18+", where that is not all.
        needs_models: it finds nothing where the models of the two releases are not known.
        opt_in: asked only where the configuration or the command line enables it.
        peers: names of the same check in other tools, such as "squawk:adding-not-nullable-field".
    """

    id: ClassVar[str]
    name: ClassVar[str]
    severity: ClassVar[Severity]
    why: ClassVar[str]
    lock: ClassVar[LockMode | None] = None
    rewrite: ClassVar[bool] = False
    scan: ClassVar[bool] = False
    fails: ClassVar[bool] = False
    breaks_old_code: ClassVar[bool] = False
    breaks_new_code: ClassVar[bool] = False
    answered_by_gate: ClassVar[bool] = False
    looks_at: ClassVar[tuple[type, ...]] = ()
    versions: ClassVar[str] = ""
    needs_models: ClassVar[bool] = False
    opt_in: ClassVar[bool] = False
    peers: ClassVar[tuple[str, ...]] = ()

    def check(self, step: Step, history: History) -> Iterator[Finding]:  # the hook's signature
        """Look at one step; `history` stands just before it."""
        yield from ()

    def speaks_for(self, step: Step, history: History) -> tuple[str, ...]:
        """Names of rules that know less than this one does of `step`, and are not asked there."""
        return ()

    def check_remark(self, remark: Remark, recording: Recording) -> Iterator[Finding]:
        """Look at something that could not be seen while the revision was read."""
        yield from ()

    def check_way_back(self, downgrade: Recording, left: Sequence[str]) -> Iterator[Finding]:
        """Look at a `downgrade()` that was read whole, and at what differs after it from before the upgrade."""
        yield from ()

    def finish(self, history: History) -> Iterator[Finding]:
        """Look back over `history.steps`, the revisions that are applied together, after the last of them."""
        yield from ()

    def finding(
        self,
        step: Step,
        message: str,
        *,
        table: QualifiedName | None = None,
        lock: LockMode | None = None,
        rewrite: bool | None = None,
        scan: bool | None = None,
        fails: bool | None = None,
        breaks_old_code: bool | None = None,
        breaks_new_code: bool | None = None,
        severity: Severity | None = None,
        why: str | None = None,
        safe: tuple[str, ...] = (),
        fix: str | None = None,
    ) -> Finding:
        """A finding at `step`; `lock` is on `table`. What is not given is as the rule claims it."""
        mode = lock or self.lock
        return Finding(
            rule=self.id,
            name=self.name,
            severity=severity or self.severity,
            place=step.place,
            revision=step.revision,
            message=message,
            why=why or self.why,
            sql=step.sql,
            lock=LockHeld(mode, table) if mode is not None and table is not None else None,
            rewrite=self.rewrite if rewrite is None else rewrite,
            scan=self.scan if scan is None else scan,
            fails=self.fails if fails is None else fails,
            breaks_old_code=self.breaks_old_code if breaks_old_code is None else breaks_old_code,
            breaks_new_code=self.breaks_new_code if breaks_new_code is None else breaks_new_code,
            safe=safe,
            fix=fix,
            sql_line=step.sql_line,
        )

    def finding_at(self, place: Place, revision: str, message: str, *, fix: str | None = None) -> Finding:
        """A finding about the file rather than about a statement."""
        return Finding(
            rule=self.id,
            name=self.name,
            severity=self.severity,
            place=place,
            revision=revision,
            message=message,
            why=self.why,
            fix=fix,
        )

    @property
    def title(self) -> str:
        """The first sentence of its module, or of its page, without a full stop."""
        text = sys.modules[type(self).__module__].__doc__ or self.page.partition("\n")[2]
        paragraph = re.sub(r"\s+", " ", text.strip().split("\n\n")[0])
        return paragraph.removeprefix(f"{self.id}: ").rstrip(".")

    @property
    def comes_with_evolve(self) -> bool:
        """Else a plugin brings it, and its page stands elsewhere."""
        return type(self).__module__.startswith("evolve.lint.rules.")

    @property
    def page(self) -> str:
        """Its documentation, in Markdown."""
        return Path(getfile(type(self))).with_suffix(".md").read_text(encoding="utf-8")
