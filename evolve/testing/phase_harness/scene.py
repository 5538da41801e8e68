"""A scene: a schema, a change of it, the code before and the code after."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from evolve.testing.phase_harness.rows import Rows, Values

Translate = Callable[[Values], Values | None]


def same(values: Values) -> Values | None:
    """Both versions call everything alike."""
    return values


def renamed(**names: str) -> Translate:
    """A translation that gives attributes other names: `renamed(name="full_name")`."""

    def translate(values: Values) -> Values | None:
        return {names.get(name, name): value for name, value in values.items()}

    return translate


@dataclass(frozen=True, slots=True)
class Version:
    """One version of an application.

    Args:
        name: as failures call its clients.
        rows: the kinds of records it writes and reads. The old and the new version have the same kinds in the same
            order, each through models of its own registry.
    """

    name: str
    rows: tuple[Rows, ...]

    def __init__(self, name: str, *rows: Rows) -> None:
        object.__setattr__(self, "name", name)
        object.__setattr__(self, "rows", rows)


@dataclass(frozen=True, slots=True)
class Scene:
    """
    Args:
        schema: SQL that makes tables and rows as they are before the change. A few hundred rows are enough.
        plan: the arguments of `evolve plan` after which `--write` stands.
        old, new: the code before and after.
        to_new, to_old: what the other version must find of a record, given what this one wrote; None where it need
            not find anything, and the record is then looked at no more. With several kinds of rows they are called
            for each; tell them apart by their attributes.
        new_from: the phase behind which new code may start; None: it may run before the change begins.
        old_until: the phase before which old code must be gone; None: it may stay for good. A phase that the plan
            does not have is the same as None.
        filled_from: the phase behind which each version finds what the other wrote, and rows change hands.
            A phase that the plan does not have: from `new_from` on.
        divergent: SQL that counts rows whose old and new shapes disagree; asked while both are there, that is behind
            `filled_from` and before `old_until`. "" where the change has but one shape.
        kept: the same while the old shape is only kept, behind `old_until` and before `no_return`. `{change}` stands
            for the id of the change.
        no_return: the phase that is not gone back from; None where every phase can be undone without loss.
        recycled: phases after whose revisions pooled connections must be replaced, since a prepared statement of
            theirs breaks (`cached plan must not change result type`). A client that meets this, in such a phase only,
            replaces its connections and tries again.
        role: that clients work as, made and given its privileges by `schema`. "" is who owns the tables, whom a
            brown-out does not keep out.
        registered: clients tell of themselves through `evolve.client`.
    """

    schema: str
    plan: tuple[str, ...]
    old: Version
    new: Version
    to_new: Translate = same
    to_old: Translate = same
    new_from: str | None = "expand"
    old_until: str | None = "contract"
    filled_from: str = "backfill"
    divergent: str = ""
    kept: str = ""
    no_return: str | None = "purge"
    recycled: frozenset[str] = frozenset()
    role: str = ""
    registered: bool = False
