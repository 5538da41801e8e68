"""Privileges of a table and its columns, given again or to what stands in for it."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from evolve.plan.target import Target
from evolve.sql.names import QualifiedName, quote
from evolve.sql.statements import Statement

OF_VIEWS = ("SELECT", "INSERT", "UPDATE", "DELETE")  # those that mean something for a view


def grant_again(
    target: Target,
    name: QualifiedName,
    why: str,
    *,
    only: Collection[str] | None = None,
    columns: bool = True,
) -> Iterator[Statement]:
    """What `target` and its columns grant, granted on `name`.

    Args:
        only: privileges to grant; None: all of them.
        columns: those on single columns, too.
    """
    whole: dict[tuple[str, bool], list[str]] = {}
    for privilege, grantee, grantable in target.grants:
        if only is None or privilege in only:
            whole.setdefault((grantee, grantable), []).append(privilege)
    for (grantee, grantable), privileges in whole.items():
        yield Statement(f"GRANT {', '.join(privileges)} ON {name} TO {_role(grantee, grantable)}", None, why)
    for column in target.columns if columns else ():
        for privilege, grantee, grantable in column.grants:
            if only is None or privilege in only:
                yield Statement(
                    f"GRANT {privilege} ({quote(column.name)}) ON {name} TO {_role(grantee, grantable)}",
                    None,
                    why,
                )


def revoke_all(target: Target, name: QualifiedName, why: str) -> Iterator[Statement]:
    """Takes all privileges away that `target` grants, those on columns too, on `name`."""
    grantees = {grantee for _, grantee, _ in target.grants}
    grantees |= {grantee for column in target.columns for _, grantee, _ in column.grants}
    for grantee in sorted(grantees):
        yield Statement(
            f"REVOKE ALL ON {name} FROM {_role(grantee, False)} CASCADE", None, why, allow=("revoke",)
        )


def _role(name: str, grantable: bool) -> str:
    return (name if name == "PUBLIC" else quote(name)) + (" WITH GRANT OPTION" if grantable else "")
