"""EV254: `ALTER FUNCTION` changes how a function in use runs."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint.history import History
from evolve.lint.made import new_function
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.sql import operations as op
from evolve.sql.steps import Step

# What the planner makes of it changes; what it returns does not.
_ONLY_COST = frozenset({"cost", "rows", "support"})


class AlterFunctionOptions(Rule):
    id = "EV254"
    name = "alter-function-options"
    severity = Severity.INFO
    opt_in = True
    looks_at = (op.AlterFunction,)
    breaks_old_code = True
    peers = ("squawk:ban-alter-function-options",)
    why = (
        "a function that is called IMMUTABLE and is not gives wrong results from indexes, STRICT returns null where "
        "it did not, and SECURITY changes whose rights it has: code that runs meets that at once"
    )

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        match step.operation:
            case op.AlterFunction(function=function, options=options):
                changed = [option for option in options if option not in _ONLY_COST]
                if changed and not new_function(history, function):
                    yield self.finding(step, f'"{function.plain}" becomes {", ".join(changed)}')
            case _:
                return
