"""What `evolve lint --fix` can mend by itself: one safe form, within one revision, that makes the same schema.

A fix reads the text of the file and the finding, and is sure or there is none. It says nothing of what the schema is
then: whoever writes files lints the new text and compares the schemas first (`evolve.app.fix_revisions`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from evolve.lint.fixes import (
    concurrent_drop,
    concurrent_index,
    enum_value_first,
    not_valid_constraint,
    own_transaction,
    refresh_concurrently,
    script,
    separate_statements,
    server_default,
    unique_using_index,
    validate_last,
)
from evolve.lint.fixes.edits import Edit, apply, touch
from evolve.lint.fixes.fix import CannotFix, Fix, Unfixed
from evolve.lint.fixes.source import Source
from evolve.lint.model import Finding

__all__ = ["FIXES", "Edit", "Fix", "Unfixed", "apply", "available", "look", "touch"]

FIXES: Mapping[str, Callable[[Finding, Source], Fix]] = MappingProxyType(
    {
        "EV102": concurrent_index.fix,
        "EV103": concurrent_drop.fix,
        "EV104": not_valid_constraint.fix,
        "EV105": not_valid_constraint.fix,
        "EV106": unique_using_index.fix,
        "EV107": validate_last.fix,
        "EV115": separate_statements.fix,
        "EV134": own_transaction.reindex,
        "EV155": refresh_concurrently.fix,
        "EV170": validate_last.fix,
        "EV205": server_default.fix,
        "EV601": own_transaction.refused_inside,
        "EV602": enum_value_first.fix,
        "EV623": own_transaction.refused_inside,
        "EV628": own_transaction.leftover,
        "EV629": own_transaction.leftover,
    }
)
# One safe form within a revision, and no fix all the same.
_DIFFERENT = MappingProxyType(
    {"EV505": "DETACH PARTITION … CONCURRENTLY leaves a CHECK on the partition, which is to be wanted first"}
)


def available(finding: Finding, text: str) -> Fix | None:
    """The fix for `finding` in a file of this text, as `Source` wants it; None where there is none that is sure."""
    found = look(finding, text)
    return found if isinstance(found, Fix) else None


def look(finding: Finding, text: str) -> Fix | Unfixed:
    """The fix, or why there is none."""
    fixer = FIXES.get(finding.rule)
    if fixer is None:
        if finding.rule in _DIFFERENT and finding.safe:
            return Unfixed(_DIFFERENT[finding.rule])
        if finding.fix is not None and finding.fix.startswith("evolve "):
            return Unfixed(f"it needs phases: {finding.fix}")
        if len(finding.safe) > 1:
            return Unfixed(f"its safe form needs {len(finding.safe)} revisions")
        return Unfixed(finding.fix or f"what is meant has to be decided: evolve explain {finding.name}")
    try:
        if finding.place.file.suffix != ".py":
            return script.fix(finding, text)
        fix = fixer(finding, Source(text))
        Source(apply(text, fix.edits))  # which parses, or there is no fix
        return fix
    except (CannotFix, ValueError) as error:
        return Unfixed(str(error))
