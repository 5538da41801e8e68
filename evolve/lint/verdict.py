"""Which release survives which schema, and the order in which code and schema must be brought out.

Release N is the code that goes with schema N, the one after the revisions; release N-1 and schema N-1 are what
runs today.

- *breaks old code*: release N-1 fails on schema N.
- *breaks new code*: release N fails on schema N-1. What the revisions add counts, since release N may use it.
- **BACKWARD**: does not break old code. **FORWARD**: does not break new code. **FULL**: neither. **NONE**: both.
- BACKWARD_TRANSITIVE and so on: the same of every single revision of a window, so that a release from before the
  window runs on the schema at its end, or one from its end on the schema before it.

Schema registries mean readers and data by the same words; here they are always about code and schema.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from enum import Enum

from evolve.compat.models import Gap, Models
from evolve.lint.engine import Result
from evolve.lint.model import Finding
from evolve.lint.needs import Need

_PLAN = "evolve plan "


class Level(Enum):
    FULL = "FULL"
    BACKWARD = "BACKWARD"
    FORWARD = "FORWARD"
    NONE = "NONE"

    @property
    def transitive(self) -> str:
        return self.value if self is Level.NONE else f"{self.value}_TRANSITIVE"


class Order(Enum):
    ANY = "any order"
    MIGRATE_FIRST = "migrate, then deploy"
    DEPLOY_FIRST = "deploy, then migrate"
    PHASES = "needs phases"


@dataclass(frozen=True, slots=True)
class Verdict:
    """
    Args:
        revisions: what it is about, in their order.
        old: why release N-1 fails on schema N, one sentence each without a full stop; empty where it does not.
        new: why release N fails on schema N-1.
        plans: commands that carry the change out in phases.
    """

    revisions: tuple[str, ...]
    old: tuple[str, ...] = ()
    new: tuple[str, ...] = ()
    plans: tuple[str, ...] = ()

    @property
    def breaks_old_code(self) -> bool:
        return bool(self.old)

    @property
    def breaks_new_code(self) -> bool:
        return bool(self.new)

    @property
    def level(self) -> Level:
        if self.old:
            return Level.NONE if self.new else Level.FORWARD
        return Level.BACKWARD if self.new else Level.FULL

    @property
    def order(self) -> Order:
        if self.old:
            return Order.PHASES if self.new else Order.DEPLOY_FIRST
        return Order.MIGRATE_FIRST if self.new else Order.ANY

    @property
    def why(self) -> str:
        """What demands the order, in one line; empty where nothing does."""
        return "; ".join(_shorten(reasons) for reasons in (self.old, self.new) if reasons)

    def meets(self, required: Level) -> bool:
        """True where nothing is broken that `required` promises."""
        old_may_break = required in (Level.FORWARD, Level.NONE)
        new_may_break = required in (Level.BACKWARD, Level.NONE)
        return (old_may_break or not self.old) and (new_may_break or not self.new)


@dataclass(frozen=True, slots=True)
class Compatibility:
    """
    Args:
        whole: of all revisions as one rollout; None where they are no rollout, but a history.
        revisions: of each alone, in their order.
        window: of the last revisions of the history, each judged alone; None where no window was asked for.
        complete: everything was read, whatever rows and catalog hold; else the verdicts hold as far as it was.
        old_models: where the previous release's models were read, such as "9f3c2ab"; None where there were none.
        new_models: the same of the next release.
        models_sought: False where nothing depends on them, and nobody looked.
        models_unread: files of theirs that are no Python, so that what they map is not known.
    """

    whole: Verdict | None
    revisions: tuple[Verdict, ...]
    window: Verdict | None = None
    complete: bool = True
    old_models: str | None = None
    new_models: str | None = None
    models_sought: bool = False
    models_unread: tuple[Gap, ...] = ()

    def unmet(self, required: Level) -> tuple[Verdict, ...]:
        """The verdicts that fall short: the rollout's, or each revision's where there is none, and the window's."""
        asked = self.revisions if self.whole is None else (self.whole,)
        asked += () if self.window is None else (self.window,)
        return tuple(verdict for verdict in asked if not verdict.meets(required))


def judge(revisions: Sequence[str], findings: Collection[Finding], needs: Collection[Need]) -> Verdict:
    """The verdict on `revisions`; what findings and needs say of others is passed over.

    Args:
        findings: allowed ones among them, since to allow a break does not mend it.
        needs: those that hold at the end of the last of `revisions`.
    """
    among = frozenset(revisions)
    found = [finding for finding in findings if finding.revision in among]
    # One line has room for the first: the worst, but rather one that speaks of code than of work under a lock.
    found.sort(key=lambda finding: (finding.scan or finding.rewrite, -finding.severity))
    breaking = [finding for finding in found if finding.breaks_old_code or finding.breaks_new_code]
    return Verdict(
        tuple(revisions),
        old=_once(finding.message for finding in found if finding.breaks_old_code),
        new=_once(
            [
                *(finding.message for finding in found if finding.breaks_new_code),
                *(need.why for need in needs if need.revision in among),
            ]
        ),
        plans=_once(f.fix for f in breaking if f.fix is not None and f.fix.startswith(_PLAN)),
    )


def assess(
    revisions: Sequence[str],
    result: Result,
    *,
    together: bool,
    window: Verdict | None = None,
    models: tuple[Models | None, Models | None] = (None, None),
    models_sought: bool = False,
    models_unread: tuple[Gap, ...] = (),
) -> Compatibility:
    """The verdicts on the judged `revisions`, in their order.

    Args:
        result: what was found in them, nothing that is allowed taken away.
        together: they are one rollout, of which only what is there at its end needs to be there first.
        window: the verdict on the window's revisions, each judged alone.
        models: of the previous and of the next release, as far as they are known.
        models_sought: whether anybody looked for them.
        models_unread: files of theirs that are no Python.
    """
    findings: defaultdict[str, list[Finding]] = defaultdict(list)
    for finding in result.findings:
        findings[finding.revision].append(finding)
    needs: defaultdict[str, list[Need]] = defaultdict(list)
    for need in result.needs:
        needs[need.revision].append(need)
    each = tuple(judge([revision], findings[revision], needs[revision]) for revision in revisions)
    coverage = result.coverage
    return Compatibility(
        whole=judge(revisions, result.findings, result.lasting) if together else None,
        revisions=each,
        window=window,
        complete=coverage.read == coverage.statements
        and not (coverage.incomplete or coverage.data_dependent or coverage.unseen),
        old_models=models[0].where if models[0] is not None else None,
        new_models=models[1].where if models[1] is not None else None,
        models_sought=models_sought,
        models_unread=models_unread,
    )


def _once(texts: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(texts))


def _shorten(reasons: tuple[str, ...]) -> str:
    return reasons[0] + (f" (and {len(reasons) - 1} more)" if len(reasons) > 1 else "")
