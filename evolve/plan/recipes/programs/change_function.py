"""Give a function another definition: a body in its place, another signature beside it, where no call confuses them."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

from evolve.errors import Misuse, Refused
from evolve.plan.change import Change, Uses, table_words
from evolve.plan.expressions import BadExpression
from evolve.plan.facts import Facts, FunctionFacts, NotThere
from evolve.plan.model import (
    OLD_CODE_GONE,
    PURGE_APPROVED,
    Holds,
    Part,
    Phase,
    Plan,
    Word,
    quarantine_name,
)
from evolve.plan.parameters import Parameter, option
from evolve.plan.recipe import Recipe
from evolve.sql.names import BadName, NameTooLong, QualifiedName, literal, parse_name, quote
from evolve.sql.operations import CreateFunction
from evolve.sql.parse import ExpressionNotRead, expression, parse
from evolve.sql.statements import Statement


@dataclass(frozen=True, slots=True)
class ChangeFunction(Change):
    """Give a function another definition.

    Args:
        definition: its CREATE FUNCTION.
        to: the new function's name, where it is not to have the old one's.
        old: argument types of the one that is changed, where several share the name.
        forward: what the old function gives from then on: an expression over its arguments that calls the new one.
        same_results: the operator's word that both give the same for the same arguments.
    """

    kind: ClassVar[str] = "change-function"
    definition: str
    to: str | None = None
    old: str | None = None
    forward: str | None = None
    same_results: bool = False

    def words(self) -> Sequence[str]:
        return ["change", *table_words(self.table), hashlib.sha256(self.definition.encode()).hexdigest()[:8]]

    def uses(self) -> Uses:
        return Uses(frozenset({(self.table, None), (self.new, None)}))

    @property
    def new(self) -> QualifiedName:
        return self.table if self.to is None else QualifiedName(self.to, self.table.schema)


# -- refusals -----------------------------------------------------------------------------------------------
class BadFunction(Misuse):
    def __init__(self, reason: str) -> None:
        super().__init__(
            f"--as is not the CREATE FUNCTION of this function: {reason}",
            fix="write it whole, best in a file: --as @FILE",
        )


class WhichOne(Misuse):
    def __init__(self, name: QualifiedName, found: Sequence[FunctionFacts]) -> None:
        several = "; ".join(", ".join(each.types) or "no arguments" for each in found)
        super().__init__(
            f'several functions are called "{name.plain}"',
            fix=f'say which one is changed by the types of its arguments, --old "…", one of: {several}',
        )


class NeedsName(Refused):
    """The new function can stand neither in the old one's place nor beside it under its name."""

    def __init__(self, name: QualifiedName, what: str, why: str) -> None:
        super().__init__(
            f'"{name.plain}" {what}',
            why=why,
            fix=f"give the new function a name of its own: --to {name.name}_v2",
        )


class Computed(Refused):
    """Values that the function has computed are stored."""

    def __init__(self, name: QualifiedName, what: str, why: str, fix: str) -> None:
        super().__init__(f'{what} holds what "{name.plain}" has computed', why=why, fix=fix)


# -- plan ---------------------------------------------------------------------------------------------------
_NAME = r'(?:"(?:[^"]|"")+"|[^\W\d][\w$]*)'
_HEAD = re.compile(
    rf"(?:\s|--[^\n]*\n|/\*.*?\*/)*CREATE\s+(?:OR\s+REPLACE\s+)?FUNCTION\s+({_NAME}(?:\s*\.\s*{_NAME})?)\s*(?=\()",
    re.IGNORECASE | re.DOTALL,
)


def plan(change: ChangeFunction, facts: Facts) -> Plan:
    """The phases, by what becomes of the signature.

    Raises:
        Misuse: there is no such function, or the definition is none that the server takes.
        NeedsName: calls would fail or become ambiguous under the old name.
        Computed: an index or a generated column holds results of the old body.
    """
    rest = read_definition(change)
    overloads = facts.functions(change.table)
    if not overloads:
        raise NotThere("function", change.table)
    new = facts.written_function(change.new, rest)
    old = _old(change, overloads, new)
    if change.to is None and new.types == old.types:
        _refuse_replacing(old, new)
        _refuse_ambiguous(change.table, new, [each for each in overloads if each is not old])
        _refuse_computed(change, facts, old, new)
        phases, notes = _in_place(rest, old, new)
    else:
        _refuse_ambiguous(change.new, new, facts.functions(change.new))
        phases, notes = _beside(change, rest, old, new)
    return Plan(change.id, change, phases, notes, facts.source)


def read_definition(change: ChangeFunction) -> str:
    """What follows the name in the CREATE FUNCTION that --as gave.

    Raises:
        BadFunction.
    """
    text = change.definition.strip().removesuffix(";").rstrip()
    head = _HEAD.match(text)
    if head is None:
        raise BadFunction("it does not begin with CREATE FUNCTION and a name")
    try:
        named = parse_name(head[1])
    except (BadName, NameTooLong) as error:
        raise BadFunction(error.what) from error
    if named not in (change.table, change.new):
        raise BadFunction(f'it is that of "{named.plain}"')
    rest = text[head.end() :]
    match parse(f"CREATE FUNCTION f{rest}\n"):
        case (CreateFunction(),):
            return rest
        case _:
            raise BadFunction("it does not parse, or is more than one statement")


def _old(change: ChangeFunction, found: Sequence[FunctionFacts], new: FunctionFacts) -> FunctionFacts:
    if change.old is not None:
        wanted = " ".join(change.old.lower().split())
        for each in found:
            if wanted in (", ".join(each.types).lower(), each.arguments.lower()):
                return each
        raise WhichOne(change.table, found)
    if change.to is None:
        for each in found:
            if each.types == new.types:
                return each
    if len(found) > 1:
        raise WhichOne(change.table, found)
    return found[0]


def _refuse_replacing(old: FunctionFacts, new: FunctionFacts) -> None:
    """Raise what CREATE OR REPLACE would."""
    if old.result != new.result or (
        "OUT " in old.signature + new.signature and old.signature != new.signature
    ):
        raise NeedsName(
            old.name,
            f"would give {new.result} instead of {old.result}",
            "PostgreSQL replaces no function by one with another result, and old callers expect theirs",
        )
    if any(was and was != now for was, now in zip(old.names, new.names, strict=True)):
        raise NeedsName(
            old.name,
            "would have other names for its arguments",
            "calls that name their arguments would fail, and PostgreSQL refuses it",
        )
    if new.optional < old.optional:
        raise NeedsName(
            old.name,
            "would lose a default",
            "calls that leave that argument out would fail, and PostgreSQL refuses it",
        )
    if new.optional > old.optional:
        raise NeedsName(
            old.name,
            "would get a default for an argument",
            "PostgreSQL takes no default away again, so there would be no way back",
        )


def _refuse_ambiguous(name: QualifiedName, new: FunctionFacts, others: Sequence[FunctionFacts]) -> None:
    """Raise where one call could mean the new function and another of its name.

    Types do not tell them apart well enough: drivers send text without a type, and NULL has none.
    """
    for other in others:
        if _fewest(new) <= _most(other) and _fewest(other) <= _most(new):
            raise NeedsName(
                name,
                f"({', '.join(new.types)}) could be called like ({', '.join(other.types)}), which is there",
                "a call that fits both fails with: function is not unique; an argument with a default fits calls with "
                "and without it, and an argument sent without a type fits any",
            )


def _fewest(function: FunctionFacts) -> int:
    return len(function.types) - function.optional - (1 if _variadic(function) else 0)


def _most(function: FunctionFacts) -> int:
    return 100 if _variadic(function) else len(function.types)


def _variadic(function: FunctionFacts) -> bool:
    return "VARIADIC " in function.signature


_DEFAULT = re.compile(r"default value for column (.+) of table (.+)")
_RANK = {"volatile": 0, "stable": 1, "immutable": 2}


def _refuse_computed(change: ChangeFunction, facts: Facts, old: FunctionFacts, new: FunctionFacts) -> None:
    for caller in old.callers:
        if not caller.startswith("index ") and not _generated(caller, facts):
            continue
        if new.volatility != "immutable":
            raise Computed(
                old.name,
                caller,
                f"the new function is {new.volatility.upper()}, and what is stored must never become another value; "
                "PostgreSQL does not look",
                "declare it IMMUTABLE, if that is true",
            )
        if not change.same_results:
            raise Computed(
                old.name,
                caller,
                "it would keep the old values, and find or show the wrong rows, without an error",
                "give the new function a name of its own (--to), and build an index or column with it; or say that "
                "both give the same: --same-results",
            )


def _generated(caller: str, facts: Facts) -> bool:
    found = _DEFAULT.fullmatch(caller)
    if found is None:
        return False
    try:
        column = facts.table(parse_name(found[2])).column(found[1])
    except Misuse:
        return True  # whose default it is cannot be told
    return column is None or column.generated


# -- in its place -------------------------------------------------------------------------------------------
def _in_place(rest: str, old: FunctionFacts, new: FunctionFacts) -> tuple[tuple[Phase, ...], tuple[str, ...]]:
    name = old.name
    phase = Phase(
        "expand",
        f"{name.plain} does what the new definition says",
        (
            Part(
                f"another body for {name.plain}",
                (
                    Statement(
                        f"CREATE OR REPLACE FUNCTION {name}{rest}",
                        None,
                        "calls under way end with the old body, the next ones have the new",
                    ),
                ),
                (Statement(old.definition, None, "the body that it had"),),
            ),
        ),
        instructions=(
            f"Old and new code call {name.plain} from its commit on: the new body must be right for both.",
        ),
        go_back="downgrade the expand revision: the old body is back",
    )
    return (phase,), (
        f"{name.plain} is replaced in its place, since arguments and result stay what they are; privileges and owner "
        "stay too.",
        *_changed(old, new),
        *(f"{caller} calls it, and does what the new body says from then on." for caller in old.callers),
    )


def _changed(old: FunctionFacts, new: FunctionFacts) -> Iterator[str]:
    if _RANK[new.volatility] != _RANK[old.volatility]:
        yield f"It was {old.volatility.upper()} and becomes {new.volatility.upper()}."
    if old.security_definer and not new.security_definer:
        yield "It ran with its owner's rights (SECURITY DEFINER) and will run with its caller's."
    if new.security_definer and not old.security_definer:
        yield "It ran with its caller's rights and will run with its owner's (SECURITY DEFINER)."
    if old.strict != new.strict:
        yield f"It {'will give' if new.strict else 'gave'} NULL for any NULL argument without being called (STRICT)."


# -- beside -------------------------------------------------------------------------------------------------
def _beside(
    change: ChangeFunction, rest: str, old: FunctionFacts, new: FunctionFacts
) -> tuple[tuple[Phase, ...], tuple[str, ...]]:
    types = ", ".join(old.types)
    was, now = f"{old.name}({types})", f"{change.new}({', '.join(new.types)})"
    kept = QualifiedName(quarantine_name(change.id), old.name.schema)
    aside = f"{kept}({types})"
    free = Holds(
        "NOT EXISTS (SELECT FROM pg_depend WHERE refclassid = 'pg_proc'::regclass"
        f" AND refobjid = to_regprocedure({literal(f'{kept.full}({types})').strip()}) AND deptype = 'n')",
        f"nothing in the database depends on what was {was}",
        f"let what depends on it call {now}: see the DETAIL of DROP FUNCTION {aside}",
    )
    made = [
        Statement(f"CREATE FUNCTION {change.new}{rest}", None, "a new function; nobody calls it yet"),
        *_dressed(old, now),
    ]
    back = [Statement(f"DROP FUNCTION {now}", None, "only new code calls it")]
    if change.forward is not None:
        made.append(
            Statement(
                _forwarding(change, old),
                None,
                "from here on both do the same, by one body",
            )
        )
        back.insert(0, Statement(old.definition, None, "the body that it had"))
    rename = "catalog only; what depends on it in the database goes on"
    phases = (
        Phase(
            "expand",
            f"{now} is there beside {was}",
            (Part(f"{now} beside {was}", tuple(made), tuple(back)),),
            instructions=(f"Code that calls {now} may start.",),
            go_back="downgrade the expand revision: the new function goes",
        ),
        Phase(
            "switch",
            f"all code calls {now}",
            instructions=(
                f"Deploy code that calls {now} and no longer {was}.",
                *(
                    (f"Let these call the new one, in revisions of your own: {', '.join(old.callers)}.",)
                    if old.callers
                    else ()
                ),
                f"With track_functions = all, pg_stat_user_functions counts the calls of {was}: look twice.",
            ),
            go_back="deploy the old code again; its function is there",
        ),
        Phase(
            "contract",
            f"{was} is gone for every client; it is kept as {kept.name}",
            (
                Part(
                    f"{was} goes into quarantine",
                    (
                        Statement(
                            f"ALTER FUNCTION {was}\n    RENAME TO {quote(kept.name)}",
                            None,
                            rename,
                            allow=_RENAMED,
                        ),
                    ),
                    (
                        Statement(
                            f"ALTER FUNCTION {aside}\n    RENAME TO {quote(old.name.name)}",
                            None,
                            "catalog only; it is as it was",
                            allow=_RENAMED,
                        ),
                    ),
                ),
            ),
            gates=(Word(OLD_CODE_GONE, f"no running code calls {was}"),),
            go_back="downgrade the contract revision: a call that was forgotten works again at once",
        ),
        Phase(
            "purge",
            "nothing of the old function is left",
            (
                Part(
                    f"what was {was}",
                    (
                        Statement(
                            f"DROP FUNCTION {aside}",
                            None,
                            "nobody can have called it by this name",
                            allow=_DROPPED,
                        ),
                    ),
                    tuple(_again(change, old, kept)),
                    (free,),
                ),
            ),
            gates=(Word(PURGE_APPROVED, f"nobody will want {was} back"), free),
            go_back="downgrade the purge revision: it is made again",
        ),
    )
    return phases, (f"{now} comes beside {was}; both can be called until contract.", *_changed(old, new))


_RENAMED = ("rename-object", "rename-function")
_DROPPED = ("drop-function",)


def _dressed(old: FunctionFacts, function: str) -> Iterator[Statement]:
    why = "as it was on the old function"
    for privilege, grantee, grantable in old.grants:
        if grantee == "PUBLIC":
            continue  # as every new function has it
        yield Statement(
            f"GRANT {privilege} ON FUNCTION {function} TO {quote(grantee)}{' WITH GRANT OPTION' if grantable else ''}",
            None,
            why,
        )
    if not any(grantee == "PUBLIC" for _, grantee, _ in old.grants):
        yield Statement(
            f"REVOKE ALL ON FUNCTION {function} FROM PUBLIC", None, "everybody could call it otherwise"
        )
    if old.comment is not None:
        yield Statement(f"COMMENT ON FUNCTION {function} IS {literal(old.comment).strip()}", None, why)
    if old.owner is not None:
        yield Statement(f"ALTER FUNCTION {function}\n    OWNER TO {quote(old.owner)}", None, why)


def _forwarding(change: ChangeFunction, old: FunctionFacts) -> str:
    """The old function with a body that calls the new one."""
    text = change.forward or ""
    try:
        expression(text)
    except ExpressionNotRead as error:
        raise BadExpression("--forward", text, str(error.__cause__ or "it does not parse")) from error
    if old.result == "trigger":
        raise BadExpression("--forward", text, "a trigger function cannot be called by another")
    tag, number = "$evolve$", 0
    while tag in text:
        number += 1
        tag = f"$evolve{number}$"
    more = (" STRICT" if old.strict else "") + (" SECURITY DEFINER" if old.security_definer else "")
    return (
        f"CREATE OR REPLACE FUNCTION {old.name}({old.signature}) RETURNS {old.result}\n"
        f"LANGUAGE sql {old.volatility.upper()}{more} AS {tag}\n    SELECT {text}\n{tag}"
    )


def _again(change: ChangeFunction, old: FunctionFacts, kept: QualifiedName) -> Iterator[Statement]:
    """The function in quarantine, as it was when it was dropped."""
    whole = _forwarding(change, old) if change.forward is not None else old.definition
    head = _HEAD.match(whole)
    rest = whole[head.end() :] if head is not None else ""
    yield Statement(f"CREATE FUNCTION {kept}{rest}", None, "nobody calls it yet")
    yield from _dressed(old, f"{kept}({', '.join(old.types)})")


RECIPE = Recipe(
    ChangeFunction,
    "Give a function another body or signature.",
    (
        Parameter("table", "table", "The function, without its arguments.", metavar="FUNCTION"),
        option(
            "definition",
            "statement",
            "Its new CREATE FUNCTION; @FILE reads it from a file.",
            required=True,
            spelled="as",
        ),
        option("to", "name", "The new function's name, where it is another.", metavar="NAME"),
        option(
            "old", "text", "Which one of that name is changed: the types of its arguments.", metavar="TYPES"
        ),
        option("forward", "expression", "What the old function gives from then on: a call of the new one."),
        option(
            "same_results",
            "flag",
            "Both give the same for the same arguments: indexes may keep what they hold.",
        ),
    ),
    plan,
)
