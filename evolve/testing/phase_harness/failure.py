"""What goes wrong in a proof, and how it is told."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Failure:
    """One thing that must not happen.

    Args:
        moment: what was being done to the schema, such as "validate: evolve upgrade".
        client: whose transaction it was; "" where it is of the database as a whole.
        doing: what the client did, such as "change"; or which check failed.
        error: what it met.
        statement: the SQL at fault; "" where no statement failed.
    """

    moment: str
    client: str
    doing: str
    error: str
    statement: str = ""

    @property
    def kind(self) -> str:
        """The same for failures of which one tells all: values and clients apart."""
        first = re.sub(r"[\"'{(].*", "", self.error.strip().partition("\n")[0])
        return f"{self.moment} {self.client.rstrip('0123456789')} {self.doing} {re.sub('[0-9]+', '', first)}"

    def __str__(self) -> str:
        who = f"{self.client}, " if self.client else ""
        lines = [f"at {self.moment}: {who}{self.doing}: {self.error.strip()}"]
        if self.statement:
            lines.append(f"    {' '.join(self.statement.split())}")
        return "\n".join(lines)


class Broken(AssertionError):
    """A proof failed. `failures` holds everything seen until then."""

    def __init__(self, failures: Sequence[Failure], story: Sequence[str]) -> None:
        self.failures = tuple(failures)
        alike: dict[str, list[Failure]] = {}
        for failure in self.failures:
            alike.setdefault(failure.kind, []).append(failure)
        shown = []
        for found in list(alike.values())[:_SHOWN]:
            more = f"    … and {len(found) - 1} more like it" if len(found) > 1 else ""
            shown += [str(found[0]), *filter(None, [more])]
        super().__init__(
            "\n".join([*shown, "what had been done until then:", *(f"  {line}" for line in story)])
        )


_SHOWN = 12  # kinds of failures
