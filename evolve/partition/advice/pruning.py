"""How many partitions a query scans, why it scans those that it need not, and what to do about it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from evolve.partition.advice.query_plan import Scans
from evolve.partition.advice.scheme import Scheme
from evolve.sql.conditions import Condition
from evolve.sql.volatility import VOLATILE


@dataclass(frozen=True, slots=True)
class Query:
    """A query as it was written.

    Args:
        place: "queries.sql:12", or "pg_stat_statements".
        calls, seconds: how often it ran, and for how long in all; None where nobody counted.
    """

    text: str
    place: str
    calls: int | None = None
    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Reason:
    """Why partitions are scanned; `code` is for programs."""

    code: str
    why: str
    fix: str | None = None


@dataclass(frozen=True, slots=True)
class Pruned:
    """
    Args:
        total: partitions of the table that hold rows.
        at_plan: those that are left when the query is planned without knowing its parameters.
        at_run: those that are left when it begins to run, with values chosen so that they are few.
        partitions: the names of those.
        depends: other values, or the rows of a join, can make it scan more.
    """

    query: Query
    total: int
    at_plan: int
    at_run: int
    partitions: tuple[str, ...]
    depends: bool
    reason: Reason | None


@dataclass(frozen=True, slots=True)
class Unexplained:
    """A query that the server would not plan."""

    query: Query
    error: str


@dataclass(frozen=True, slots=True)
class Explanation:
    """
    Args:
        queries: those that read the table, the most scanning first.
        elsewhere: how many others there were, which do not.
        limit: of partitions that a query may scan; None where nothing is asked.
        strict: what depends on values, and what could not be explained, is past the limit too.
        notes: of what was not looked at.
    """

    scheme: Scheme
    queries: tuple[Pruned, ...]
    unexplained: tuple[Unexplained, ...]
    elsewhere: int
    limit: int | None = None
    strict: bool = False
    notes: tuple[str, ...] = ()

    def exceeds(self, pruned: Pruned) -> bool:
        return self.limit is not None and (
            pruned.at_run > self.limit or (self.strict and pruned.depends and pruned.total > self.limit)
        )

    @property
    def passes(self) -> bool:
        """Whether every query keeps within the limit."""
        unread = self.strict and self.limit is not None and bool(self.unexplained)
        return not unread and not any(self.exceeds(pruned) for pruned in self.queries)


def judge(query: Query, scheme: Scheme, found: Scans) -> Pruned:
    """
    Args:
        found: of the plan that does not know its parameters, begun with values that scan little.
    """
    at_run, total = len(found.leaves), len(scheme.leaves)
    at_plan = min(at_run + found.removed, total)  # a table may stand in a query twice
    narrowing = [
        condition
        for condition in found.conditions
        if condition.column[1] in scheme.key and condition.form in ("equal", "range", "join")
    ]
    late = [condition for condition in narrowing if condition.form == "join" or condition.late]
    begun = [condition for condition in narrowing if condition not in late]
    pruned = at_run < total
    # The values of a squashed list are not told: IN ($1 /*, ... */).
    listed = "/*, ... */" in query.text
    depends = at_plan > at_run and _open(begun, listed=listed)
    depends = depends or (not pruned and bool(late) and total > 1)
    return Pruned(
        query,
        total,
        at_plan,
        at_run,
        tuple(leaf.plain for leaf in found.leaves),
        depends,
        _reason(scheme, found, at_plan, late) if at_run > 1 or at_plan > at_run else None,
    )


def _open(conditions: Iterable[Condition], *, listed: bool) -> bool:
    """Whether values decide how many partitions fulfil `conditions`; how many values there are does not."""
    conditions = list(conditions)
    settled = {c.column for c in conditions if c.form == "equal" and c.values is not None and not listed}
    return (
        any(
            condition.column not in settled and (re.search(r"\$\d", condition.text) is not None or listed)
            for condition in conditions
        )
        or not conditions
    )


def _reason(scheme: Scheme, found: Scans, at_plan: int, late: list[Condition]) -> Reason | None:
    total, at_run = len(scheme.leaves), len(found.leaves)
    if not scheme.pruning:
        return Reason("off", "enable_partition_pruning is off", "SET enable_partition_pruning = on")
    if at_run == total and total > 1:
        return _unpruned(scheme, found.conditions, late)
    if at_plan > at_run:
        return _begun(found.conditions, scheme, at_plan)
    guard = [leaf.plain for leaf in found.leaves if leaf in scheme.defaults]
    if guard:
        return Reason(
            "default",
            f"the default partition {guard[0]} may hold rows of any key that no other partition takes",
            f"evolve partition drain {scheme.table.shell}",
        )
    return Reason("covers", f"its condition on {_names(scheme)} takes in {at_run} of {total} partitions")


def _begun(conditions: Iterable[Condition], scheme: Scheme, at_plan: int) -> Reason:
    own = [condition for condition in conditions if condition.column[1] in scheme.key]
    stable = [name for condition in own for name in condition.functions]
    given = any(re.search(r"\$\d", condition.text) for condition in own)
    if own and not given and not stable:
        why = f"{own[0].text} depends on the session, by its TimeZone perhaps: it is planned for {at_plan} partitions"
    elif stable and not given:
        why = f"{stable[0]}() has no value before the query begins to run: it is planned for {at_plan} partitions"
    else:
        why = f"the values of its parameters are known when it begins to run: a generic plan has {at_plan} partitions"
    return Reason("at-run", f"{why}, and leaves out most then")


def _unpruned(scheme: Scheme, conditions: tuple[Condition, ...], late: list[Condition]) -> Reason:
    first = scheme.levels[0]
    column = next((name for name in first.columns if name), None)
    if column is None:
        return Reason(
            "expression-key",
            f"{scheme.table.plain} is partitioned by an expression, and no condition repeats it",
            "compare the same expression as in PARTITION BY, by =",
        )
    own = [condition for condition in conditions if condition.column[1] in first.columns]
    if not own:
        return Reason(
            "no-key", f"no condition names {_names(scheme)}", f"add a condition on {column} to its WHERE"
        )
    direct = [condition for condition in own if condition.form in ("equal", "range") and not condition.late]
    if direct:
        return _ineffective(scheme, direct)
    for condition in own:
        if condition.form in _WRAPPED:
            return _wrapped(scheme, condition)
    if late:
        return _late(late[0])
    condition = own[0]
    match condition.form:
        case "or":
            return Reason(
                "or",
                f"an alternative asks nothing of {condition.column[1]}: {condition.text}",
                f"ask for {condition.column[1]} in each alternative, or join two queries by UNION ALL",
            )
        case "own":
            return Reason(
                "own-column",
                f"{condition.column[1]} is compared with another column of the same row: {condition.text}",
                f"add a condition that compares {condition.column[1]} with a value",
            )
        case _:
            return Reason(
                "operator",
                f"{condition.detail or 'this condition'} does not tell partitions apart: {condition.text}",
                f"add a condition on {condition.column[1]} by {_operators(scheme)}",
            )


_WRAPPED = ("function", "cast", "expression")


def _wrapped(scheme: Scheme, condition: Condition) -> Reason:
    column = condition.column[1]
    bare = (
        f"compare {column} itself: {column} >= … AND {column} < …"
        if scheme.levels[0].method == "range"
        else f"compare {column} itself, by ="
    )
    match condition.form:
        case "function":
            return Reason("function", f"{condition.detail}() stands round {column}: {condition.text}", bare)
        case "cast":
            type_ = scheme.types.get(column, "another type")
            return Reason(
                "type",
                f"{column} is {type_} and is cast, by the query or for the type of the value: {condition.text}",
                f"give a value of type {type_}: cast the value, not {column}",
            )
        case _:
            return Reason("expression", f"{column} stands in an expression: {condition.text}", bare)


def _late(condition: Condition) -> Reason:
    column = condition.column[1]
    if condition.form == "join":
        return Reason(
            "join",
            f"{column} is only compared with rows of another relation: {condition.text}; partitions are left out only "
            "where a nested loop looks them up one by one",
            f"repeat the value as a condition on {column}",
        )
    return Reason(
        "subquery",
        f"the value of {column} comes from a subquery, so partitions are left out only while the query runs",
        f"ask for the value first, and give it as a parameter; or index {column}, so that what is left is cheap",
    )


def _ineffective(scheme: Scheme, direct: list[Condition]) -> Reason:
    """The key is compared with a value, and still nothing is left out."""
    level, condition = scheme.levels[0], direct[0]
    unsteady = [name for one in direct for name in one.functions if name in scheme.volatile | VOLATILE]
    if unsteady:
        return Reason(
            "volatile",
            f"{unsteady[0]}() is volatile: it may give another value for each row",
            f"give its value as a parameter, or declare {unsteady[0]} STABLE where it is",
        )
    equal = {one.column[1] for one in direct if one.form == "equal"}
    if level.method == "hash" and not equal:
        return Reason(
            "hash-range",
            f"rows are spread by a hash of {condition.column[1]}, which has no order: {condition.text}",
            f"only {condition.column[1]} = a value leaves partitions out; a table read by ranges wants method range",
        )
    missing = [name for name in level.columns if name and name not in equal]
    if len(level.columns) > 1 and (
        (level.method == "hash" and missing)
        or (level.method == "range" and level.columns[0] not in {one.column[1] for one in direct})
    ):
        return Reason(
            "part-of-key",
            f"the key is ({', '.join(level.columns)}), and {', '.join(missing)} is not given",
            "ask for all columns of the key" if level.method == "hash" else f"ask for {level.columns[0]} too",
        )
    if condition.form == "equal" and condition.values is None:
        return Reason(
            "array",
            f"a generic plan does not look into an array that is a parameter: {condition.text}",
            f"{condition.column[1]} IN ($1, $2, …), or plan_cache_mode = force_custom_plan",
        )
    return Reason(
        "covers",
        f"its condition takes in all partitions: {condition.text}",
        "ask for less, if it can do with less",
    )


def _operators(scheme: Scheme) -> str:
    return "=" if scheme.levels[0].method == "hash" else "=, <, <=, > or >="


def _names(scheme: Scheme) -> str:
    return ", ".join(scheme.key) or "the key"
