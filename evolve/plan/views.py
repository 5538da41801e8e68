"""Views, also materialised ones: a query for one is read, it is made with all that hangs on it, its dependents anew."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from evolve.errors import Misuse, Refused
from evolve.plan.change import Place
from evolve.plan.facts import Facts, NotThere, ViewFacts
from evolve.sql.locks import LockMode
from evolve.sql.names import QualifiedName, literal, quote
from evolve.sql.operations import CreateView
from evolve.sql.parse import parse
from evolve.sql.statements import Statement

Columns = tuple[tuple[str, str], ...]


class BadQuery(Misuse):
    def __init__(self, reason: str) -> None:
        super().__init__(
            f"--as gives no query for a view: {reason}",
            fix='write what follows AS in CREATE VIEW: --as "SELECT id, name FROM users", or --as @FILE',
        )


class WrongKind(Misuse):
    def __init__(self, name: QualifiedName, kind: str, recipe: str) -> None:
        super().__init__(f'"{name.plain}" is a {kind}', fix=f"evolve plan {recipe} {name}")


class HangsOnView(Refused):
    """Something that a view which is made again would lose."""

    def __init__(self, view: QualifiedName, what: str) -> None:
        super().__init__(
            f'{what} hangs on the view "{view.plain}", which would have to be dropped and made again',
            why="it would be lost with the view, or keep it from being dropped",
            fix="give --to NAME, so that the new view comes beside the old; or take that away in a revision before",
        )


def known_view(facts: Facts, name: QualifiedName, *, materialized: bool) -> ViewFacts:
    """The view of that name.

    Raises:
        NotThere: there is none; WrongKind: it is of the other kind.
    """
    found = facts.view(name)
    if found is None:
        raise NotThere("materialized view" if materialized else "view", name)
    if found.materialized != materialized:
        raise (
            WrongKind(name, "materialized view", "change-materialized-view")
            if found.materialized
            else WrongKind(name, "view", "change-view")
        )
    return found


def read_query(text: str, view: QualifiedName) -> str:
    """The query that --as gave, without a closing semicolon.

    Raises:
        BadQuery: it is not one query, or reads the view that it is for.
    """
    query = text.strip().removesuffix(";").rstrip()
    if query.upper().endswith("CHECK OPTION"):
        raise BadQuery("WITH CHECK OPTION stays as the view has it")
    match _operations(query):
        case (CreateView(view=QualifiedName("v", "public")) as read,):
            if view in read.reads:
                raise BadQuery(f'it reads "{view.plain}" itself')
        case _:
            raise BadQuery("it is not one SELECT")
    return query


def _operations(query: str) -> tuple[object, ...]:
    # The line break keeps a comment at its end from swallowing what follows.
    return parse(f"CREATE VIEW v AS {query}\n")


def places_read(text: str) -> frozenset[Place]:
    """What a query reads, column by column where its text tells; nothing of one that does not parse."""
    found: set[Place] = set()
    for read in _operations(text.strip().removesuffix(";")):
        if isinstance(read, CreateView):
            for relation, column in read.mentions:
                named = None if column == "*" else column
                found.update((each, named) for each in ([relation] if relation is not None else read.reads))
            told = {relation for relation, _ in found}
            found.update((relation, None) for relation in read.reads if relation not in told)
    return frozenset(found)


def tree(facts: Facts, view: ViewFacts) -> tuple[ViewFacts, ...]:
    """All views that read `view`, through others too; each comes after those that it reads.

    Raises:
        HangsOnView: one of them is materialised, or has what would be lost.
    """
    found: dict[QualifiedName, ViewFacts] = {}
    waiting = list(view.dependents)
    while waiting:
        name = waiting.pop(0)
        if name in found:
            continue
        dependent = facts.view(name)
        if dependent is None:
            raise HangsOnView(view.name, f'"{name.plain}"')
        if dependent.materialized:
            raise HangsOnView(view.name, f'materialized view "{name.plain}"')
        if dependent.others:
            raise HangsOnView(name, dependent.others[0])
        found[name] = dependent
        waiting += dependent.dependents
    ordered: list[ViewFacts] = []
    while found:
        ready = [each for each in found.values() if not any(read in found for read in each.reads)]
        ordered += ready
        for each in ready:
            del found[each.name]
    return tuple(ordered)


# -- statements ---------------------------------------------------------------------------------------------
def create(
    view: ViewFacts, name: QualifiedName, query: str, columns: Columns, why: str, *, anew: bool = False
) -> tuple[Statement, ...]:
    """A view of another name or query with what hangs on `view`: options, defaults, comments, privileges, owner.

    Args:
        view: whose place it takes.
        name: what it is called.
        query: without a closing semicolon.
        columns: of the query: what hangs on a column that is no more is left out.
        why: of the first statement.
        anew: CREATE OR REPLACE: a view of that name stands, and keeps all but query and options.
    """
    options = f"\n    WITH ({', '.join(view.options)})" if view.options else ""
    kind = "MATERIALIZED VIEW" if view.materialized else "VIEW"
    made = Statement(
        f"CREATE {'OR REPLACE ' if anew else ''}{kind} {name}{options} AS\n{_indented(query)}",
        LockMode.ACCESS_EXCLUSIVE if anew else LockMode.ACCESS_SHARE,
        why,
    )
    return (made,) if anew else (made, *_dressed(view, name, {column for column, _ in columns}))


def drop(
    view: ViewFacts, name: QualifiedName | None = None, why: str = "it locks the view alone"
) -> Statement:
    kind = "MATERIALIZED VIEW" if view.materialized else "VIEW"
    return Statement(
        f"DROP {kind} {name or view.name}",
        LockMode.ACCESS_EXCLUSIVE,
        why,
        allow=("drop-view", "drop-without-cascade"),
    )


def rename(view: ViewFacts, name: QualifiedName, to: str, why: str) -> Statement:
    kind = "MATERIALIZED VIEW" if view.materialized else "VIEW"
    return Statement(
        f"ALTER {kind} {name}\n    RENAME TO {quote(to)}", LockMode.ACCESS_EXCLUSIVE, why, allow=_RENAMED
    )


_RENAMED = ("rename-object",)


def drop_tree(dependents: Sequence[ViewFacts]) -> Iterator[Statement]:
    for dependent in reversed(dependents):
        yield drop(
            dependent,
            why="it is made again below, in this transaction; the outer views go first, in the order in which readers "
            "lock them",
        )


def create_tree(dependents: Iterable[ViewFacts]) -> Iterator[Statement]:
    for dependent in dependents:
        yield from create(
            dependent,
            dependent.name,
            dependent.definition,
            dependent.columns,
            "as it was before, over the new one",
        )


def _dressed(view: ViewFacts, name: QualifiedName, columns: set[str]) -> Iterator[Statement]:
    kind = "MATERIALIZED VIEW" if view.materialized else "VIEW"
    why = "as it was on the old view; nobody uses this one yet"
    for column, default in view.defaults:
        if column in columns:
            yield Statement(
                f"ALTER VIEW {name}\n    ALTER COLUMN {quote(column)} SET DEFAULT {default}", None, why
            )
    if view.comment is not None:
        yield Statement(f"COMMENT ON {kind} {name} IS {literal(view.comment).strip()}", None, why)
    for column, comment in view.column_comments:
        if column in columns:
            yield Statement(
                f"COMMENT ON COLUMN {name}.{quote(column)} IS {literal(comment).strip()}", None, why
            )
    for privilege, grantee, grantable in view.grants:
        yield Statement(f"GRANT {privilege} ON {name} TO {_grantee(grantee, grantable)}", None, why)
    for column, privilege, grantee, grantable in view.column_grants:
        if column in columns:
            yield Statement(
                f"GRANT {privilege} ({quote(column)}) ON {name} TO {_grantee(grantee, grantable)}", None, why
            )
    if view.owner is not None:
        yield Statement(
            f"ALTER {kind} {name}\n    OWNER TO {quote(view.owner)}",
            None,
            "a view reads with the rights of its owner, which are to stay those that they were",
        )


def _grantee(name: str, grantable: bool) -> str:
    return (name if name == "PUBLIC" else quote(name)) + (" WITH GRANT OPTION" if grantable else "")


def _indented(query: str) -> str:
    return "\n".join(f"    {line}".rstrip() for line in query.strip().splitlines())


def unused(name: QualifiedName) -> str:
    """SQL that is true where nothing recorded reads the view of that name, or has its row type."""
    found = f"to_regclass({literal(name.full).strip()})"
    return (
        "NOT EXISTS (SELECT FROM pg_depend d"  # noqa: S608 - a quoted name
        " LEFT JOIN pg_rewrite w ON d.classid = 'pg_rewrite'::regclass AND w.oid = d.objid"
        f" LEFT JOIN pg_type t ON t.typrelid = {found}"
        f" WHERE (d.refclassid = 'pg_class'::regclass AND d.refobjid = {found}"
        " OR d.refclassid = 'pg_type'::regclass AND d.refobjid = t.oid)"
        f" AND d.deptype = 'n' AND w.ev_class IS DISTINCT FROM {found})"
    )
