"""How each change is done. A recipe is a module with a value `RECIPE`, and a page beside it; nothing lists them.

Its file is named like its kind: `rename-column` is `columns/rename_column.py`. Recipes of other packages are entry
points of the group `evolve.recipes`: the kind, and the `Recipe`.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evolve.errors import Misuse

if TYPE_CHECKING:  # who only asks for names, as a shell does that completes them, waits for no parser
    from evolve.plan.change import Change
    from evolve.plan.facts import Facts
    from evolve.plan.model import Plan
    from evolve.plan.recipe import Recipe
    from evolve.plan.trials import Trial

GROUP = "evolve.recipes"


class BrokenRecipe(Misuse):
    def __init__(self, kind: str, package: str, reason: str) -> None:
        super().__init__(
            f'recipe "{kind}" of package "{package}" cannot be used: {reason}',
            fix=f"mend or remove that package: pip uninstall {package}",
        )


@cache
def _modules() -> Mapping[str, str]:
    """Kind → module, of evolve's own, by subject and name; nothing is imported."""
    folder = Path(__file__).parent
    return {
        path.stem.replace("_", "-"): f"{__name__}.{path.parent.name}.{path.stem}"
        for path in sorted(folder.glob("*/*.py"))
        if not path.stem.startswith("_")
    }


@cache
def _strangers() -> Mapping[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=GROUP) if point.name not in _modules()}


def kinds() -> tuple[str, ...]:
    """All kinds, evolve's own first, by subject."""
    return (*_modules(), *_strangers())


def by_subject() -> Mapping[str, tuple[str, ...]]:
    """The kinds in their groups; those of other packages last."""
    groups: dict[str, list[str]] = {}
    for kind, module in _modules().items():
        groups.setdefault(module.split(".")[-2], []).append(kind)
    if _strangers():
        groups["others"] = list(_strangers())
    return {subject: tuple(names) for subject, names in groups.items()}


def pages() -> Mapping[str, Path]:
    """Kind → its page, of evolve's own."""
    folder = Path(__file__).parent
    return {path.stem.replace("_", "-"): path for path in sorted(folder.glob("*/*.md"))}


@cache
def find_recipe(kind: str) -> Recipe[Any] | None:
    """The recipe of that kind; None where there is none.

    Raises:
        BrokenRecipe: the package that brings it fails.
    """
    if kind in _modules():
        found: Recipe[Any] = importlib.import_module(_modules()[kind]).RECIPE
        return found
    if kind not in _strangers():
        return None
    from evolve.plan.recipe import Recipe

    point = _strangers()[kind]
    package = point.dist.name if point.dist is not None else point.value
    try:
        loaded = point.load()
    except Exception as error:  # whatever a package raises when it is imported
        raise BrokenRecipe(kind, package, f"{type(error).__name__}: {error}") from error
    if not isinstance(loaded, Recipe) or loaded.kind != kind:
        raise BrokenRecipe(kind, package, f"{point.value} is no Recipe of that kind")
    return loaded


def make_plan(change: Change, facts: Facts) -> Plan:
    """The phases of `change`; the same change and facts give the same plan.

    Raises:
        Misuse: names, types or expressions of the change do not fit.
        Refused: something about the target stands in the way.
    """
    recipe = _recipe_of(change)
    from evolve.plan.cached_plans import with_notes
    from evolve.plan.kept_facts import KeptFacts, Remembering
    from evolve.plan.use_gates import with_use_gates
    from evolve.plan.versions import OneShape, with_versions

    asked = facts if isinstance(facts, KeptFacts | Remembering) else Remembering(facts)
    plan = recipe.plan(change, asked)
    if change.versions is not None:
        if recipe.shapes is None:
            raise OneShape(change.kind)
        plan = with_versions(plan, asked, change.versions, recipe.shapes(change, asked))
    return with_use_gates(with_notes(plan, asked))


def trials_of(change: Change, facts: Facts) -> Iterator[Trial]:
    """What has to be tried on the rows before `change` is begun."""
    recipe = _recipe_of(change)
    from evolve.plan.versions import version_trials

    yield from recipe.trials(change, facts)
    if change.versions is not None and recipe.shapes is not None:
        yield from version_trials(recipe.shapes(change, facts), facts)


def _recipe_of(change: Change) -> Recipe[Any]:
    recipe = find_recipe(change.kind)
    if recipe is None:
        raise LookupError(change.kind)
    return recipe
