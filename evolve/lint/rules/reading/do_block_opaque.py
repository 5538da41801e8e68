"""EV910: a DO block or a called function, part of which could not be read."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.sql import operations as op
from evolve.sql.steps import Step


class DoBlockOpaque(Rule):
    id = "EV910"
    name = "do-block-opaque"
    severity = Severity.WARNING
    looks_at = (op.DoBlock,)
    why = (
        "what it runs there depends on text put together at run time, or is in a language that is not read, so "
        "its locks were not checked"
    )

    def check(self, step: Step, history: History) -> Iterator[Finding]:  # the hook's signature
        match step.operation:
            case op.DoBlock(gaps=gaps, function=function, known=True) if gaps:
                what = "this DO block" if function is None else f'function "{function.plain}"'
                yield self.finding(
                    step,
                    f"{what} was not checked whole: {_short(gaps[0])}"
                    + (f", and {len(gaps) - 1} more" if len(gaps) > 1 else ""),
                    fix="write its statements with op.execute, or review it and allow it with a reason",
                )
            case _:
                return


def _short(text: str) -> str:
    words = " ".join(text.split())
    return words if len(words) <= 100 else words[:99] + "…"
