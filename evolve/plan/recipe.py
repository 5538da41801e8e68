"""A recipe: one kind of change, its parameters, and how it is done in phases."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from evolve.plan.change import Change
from evolve.plan.facts import Facts
from evolve.plan.model import Plan
from evolve.plan.parameters import ColumnName, Parameter
from evolve.plan.trials import Trial
from evolve.plan.versions import VERSIONS, Shapes

C = TypeVar("C", bound=Change)


def no_trials(_change: Change, _facts: Facts) -> Iterable[Trial]:
    return ()


@dataclass(frozen=True, slots=True)
class Recipe(Generic[C]):
    """How one kind of change is done.

    Args:
        change: its class; `kind` names the recipe on the command line, in manifests and on its page.
        summary: one sentence for `evolve plan list`.
        parameters: in the order in which they are typed; together the attributes of `change`.
        plan: makes the phases, or raises `Misuse` (a name, type or expression does not fit) or `Refused` (something
            about the target stands in the way). It sends nothing; all it knows comes from the change and the facts,
            and the same of both give the same plan.
        trials: what has to be tried on the rows before anything is written.
        shapes: the tables that old and new code know differently, from expand on; with them the recipe has a parameter
            `versions`, and plan and trials are what `recipes.make_plan` and `recipes.trials_of` make of them. None:
            both know the same columns under the same names.
    """

    change: type[C]
    summary: str
    parameters: tuple[Parameter, ...]
    plan: Callable[[C, Facts], Plan]
    trials: Callable[[C, Facts], Iterable[Trial]] = no_trials
    shapes: Callable[[C, Facts], Shapes] | None = None

    def __post_init__(self) -> None:
        if self.shapes is not None:
            object.__setattr__(self, "parameters", (*self.parameters, VERSIONS))

    @property
    def kind(self) -> str:
        return self.change.kind

    def make(self, values: Mapping[str, object]) -> C:
        """The change that `values`, by parameter, ask for; what is absent keeps its default."""
        given: dict[str, object] = {}
        for parameter in self.parameters:
            if parameter.name not in values:
                continue
            value = values[parameter.name]
            if parameter.kind == "column" and isinstance(value, ColumnName):
                given["table"] = value.table
                value = value.column
            given[parameter.name] = value
        return self.change(**given)  # type: ignore[arg-type]  # each value has been read by its parameter
