"""A plan, for people, for pull requests and for programs."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator, Mapping

from evolve.plan.effects import Cost
from evolve.plan.model import Part, Phase, Plan
from evolve.plan.wording import describe_gate, exact_gate
from evolve.sql.statements import Statement

_WIDTH = 100


Costs = Mapping[Statement, Cost]


def to_text(plan: Plan, costs: Costs, *, explain: bool = False) -> str:
    """Phases with their gates; `explain` adds each statement: lock, rows read, why it is safe, and the way back."""
    return "\n".join(_lines(plan, costs, explain=explain))


def to_json(plan: Plan, costs: Costs) -> str:
    return json.dumps(as_data(plan, costs), indent=2)


def as_data(plan: Plan, costs: Costs) -> dict[str, object]:
    """What `--format json` prints."""
    return {
        "schema": plan.schema,
        "change": plan.id,
        "kind": plan.change.kind,
        "hash": plan.hash,
        "facts": plan.facts,
        "phases": [_phase_data(phase, costs) for phase in plan.phases],
        "notes": list(plan.notes),
    }


def to_markdown(plan: Plan, costs: Costs, *, explain: bool = False) -> str:
    """The plan as the comment of a pull request."""
    lines = [f"### {plan.id}", "", f"Plan `{plan.hash}`, facts from the {plan.facts}.", ""]
    lines += ["| phase | what is true after it | strongest lock | going back loses |", "|---|---|---|---|"]
    for phase in plan.phases:
        lines.append(
            f"| {phase.name} | {_cell(phase.summary)} | {_strongest(phase)} | {_cell(phase.undo_loses or 'nothing')} |"
        )
    for phase in plan.phases:
        lines += ["", f"#### {phase.name}", ""]
        told = exact_gate if explain else describe_gate
        lines += [f"- gate: {told(gate)}" for gate in phase.gates]
        lines += [f"- {instruction}" for instruction in phase.instructions]
        if phase.go_back:
            lines.append(f"- back: {phase.go_back}")
        if explain:
            for statement in phase.statements:
                lines += [
                    "",
                    f"{_lock(statement)}{_work(statement, costs)}: {statement.why}.",
                    "",
                    "```sql",
                    f"{statement.sql};",
                    "```",
                ]
    if plan.notes:
        lines += ["", "#### notes", "", *(f"- {note}" for note in plan.notes)]
    return "\n".join(lines)


# -- text ---------------------------------------------------------------------------------------------------
def _lines(plan: Plan, costs: Costs, *, explain: bool) -> Iterator[str]:
    yield f"change {plan.id}"
    yield f"plan {plan.hash}, facts from the {plan.facts}"
    for number, phase in enumerate(plan.phases, 1):
        yield ""
        yield f"{number} {phase.name}: {phase.summary}"
        told = exact_gate if explain else describe_gate
        for gate in phase.gates:
            yield from _wrapped(f"gate: {told(gate)}")
        for part in phase.parts:
            yield f"    revision: {phase.name.capitalize()}: {part.title} ({_strongest_of(part)})"
            if explain:
                yield from _explained(part, costs)
        for instruction in phase.instructions:
            yield from _wrapped(f"you: {instruction}")
        if explain:
            yield from _wrapped(f"back: {phase.go_back}")
            yield from _wrapped(f"going back loses: {phase.undo_loses or 'nothing'}")
    for note in plan.notes:
        yield ""
        yield from textwrap.wrap(f"note: {note}", _WIDTH, subsequent_indent="      ", break_on_hyphens=False)


def _explained(part: Part, costs: Costs) -> Iterator[str]:
    for statement in part.statements:
        yield ""
        yield from textwrap.wrap(
            f"-- {_lock(statement)}{_work(statement, costs)}: {statement.why}.",
            _WIDTH - 6,
            initial_indent=" " * 6,
            subsequent_indent=" " * 6 + "-- ",
            break_on_hyphens=False,
        )
        alone = "" if statement.transactional else "   -- in a transaction of its own"
        yield textwrap.indent(f"{statement.sql};{alone}", " " * 6)
    yield ""


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(
        text,
        _WIDTH,
        initial_indent="    ",
        subsequent_indent="      ",
        break_long_words=False,
        break_on_hyphens=False,
    )


def _lock(statement: Statement) -> str:
    return str(statement.lock) if statement.lock is not None else "no table lock"


def _work(statement: Statement, costs: Costs) -> str:
    cost = costs.get(statement)
    if cost is not None and cost.rewrites:
        return f", writes {' and '.join(cost.rewrites)} anew"
    return f", reads every row of {' and '.join(cost.scans)}" if cost is not None and cost.scans else ""


def _strongest_of(part: Part) -> str:
    locks = [statement.lock for statement in part.statements if statement.lock is not None]
    return str(max(locks)) if locks else "no table lock"


def _strongest(phase: Phase) -> str:
    return max((_strongest_of(part) for part in phase.parts), default="none") if phase.parts else "none"


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())


# -- data ---------------------------------------------------------------------------------------------------
def _phase_data(phase: Phase, costs: Costs) -> dict[str, object]:
    return {
        "name": phase.name,
        "summary": phase.summary,
        "gates": [exact_gate(gate) for gate in phase.gates],
        "revisions": [
            {
                "title": part.title,
                "statements": [_statement_data(statement, costs) for statement in part.statements],
                "undo": [_statement_data(statement, {}) for statement in part.undo],
            }
            for part in phase.parts
        ],
        "backfills": [{"name": spec.name, "fingerprint": spec.fingerprint} for spec in phase.backfills],
        "instructions": list(phase.instructions),
        "go_back": phase.go_back,
        "undo_loses": phase.undo_loses,
    }


def _statement_data(statement: Statement, costs: Costs) -> dict[str, object]:
    cost = costs.get(statement)
    return {
        "sql": statement.sql,
        "lock": str(statement.lock) if statement.lock is not None else None,
        "why": statement.why,
        "scans": None if cost is None else list(cost.scans),
        "rewrites": None if cost is None else list(cost.rewrites),
        "transactional": statement.transactional,
    }
