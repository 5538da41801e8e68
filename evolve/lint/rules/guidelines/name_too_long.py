"""EV737: a name of more than 63 bytes, which PostgreSQL cuts."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.lint.rules.guidelines.new_names import LOOKS_AT
from evolve.sql.parse import tokens
from evolve.sql.steps import Step

MAX_BYTES = 63


class NameTooLong(Rule):
    id = "EV737"
    name = "name-too-long"
    severity = Severity.INFO
    looks_at = LOOKS_AT
    opt_in = True
    peers = ("squawk:identifier-too-long",)
    why = "PostgreSQL cuts it with a notice that nobody reads; two long names may become the same one"

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        if history.clauses and history.clauses[0] is not step.operation:
            return
        raw = step.sql.encode()
        for kind, start, end in tokens(step.sql):
            name = raw[start:end].decode().strip('"')
            if kind == "IDENT" and len(name.encode()) > MAX_BYTES:
                yield self.finding(
                    step,
                    f'"{name}" has {len(name.encode())} bytes and is cut to {MAX_BYTES}',
                    fix="a shorter name",
                )
