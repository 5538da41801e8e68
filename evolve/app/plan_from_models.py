"""Plan what the models ask for: each difference between them and the database as a change of its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from evolve.app.plan_change import Planned, Written, plan_change, write_plan
from evolve.app.project_changes import read_changes
from evolve.errors import EvolveError, Misuse
from evolve.plan.auto import Answers, Question, wishes
from evolve.plan.change import Change
from evolve.postgres.evidence import looking
from evolve.revisions.project import Project


class Undecided(Misuse):
    """There are questions, and nobody to answer them."""

    def __init__(self, questions: tuple[Question, ...]) -> None:
        listed = []
        for question in questions:
            choices = [f"    {answer}: {meaning}" for answer, meaning in question.choices.items()]
            listed.append("\n".join([f"  {question.text}", *choices, f"    e.g. {question.option}"]))
        super().__init__(
            "the models can be read in several ways:\n" + "\n".join(listed),
            why="one of the readings loses values, so evolve does not guess",
            fix="answer with --renamed OLD=NEW (OLD=dropped) and --value COLUMN=SQL, or by a hint in the model: "
            'mapped_column(info={"evolve": {"renamed_from": "name"}})',
        )
        self.questions = questions


@dataclass(frozen=True, slots=True)
class Wished:
    """One change that the models ask for.

    Args:
        planned: its plan; None where it is refused.
        refused: why; None where it is not.
        written: its files; None where nothing was written.
    """

    change: Change
    planned: Planned | None = None
    refused: EvolveError | None = None
    written: Written | None = None


@dataclass(frozen=True, slots=True)
class FromModels:
    """All that the models ask for; `ordinary`: what `alembic revision --autogenerate` is right for."""

    wished: tuple[Wished, ...]
    ordinary: tuple[str, ...]


def plan_from_models(
    project: Project,
    url: str,
    answers: Answers,
    ask: Callable[[Question], str] | None,
    *,
    write: bool,
) -> FromModels:
    """Plan every change that the models ask for; with `write`, begin each that is not refused.

    Killed between two changes, the next call goes on with the rest: what is in flight is no difference any more.

    Args:
        project: whose models and history.
        url: the database that the models are compared with.
        answers: what is known beforehand.
        ask: asks a person one question; None where nobody is there.
        write: write manifest and expand revision of each.

    Raises:
        Undecided: a question, and nobody to answer it.
        NotUpToDate, NoModels, BadHint, MultipleHeads, CannotConnect and their kin.
    """
    from evolve.revisions.model_differences import model_differences  # Alembic takes a while to import

    read_changes(project)  # several heads, or a broken manifest, are told before a database is looked at
    with looking(url, "evolve plan auto"):
        pass  # who cannot be reached is named here: env.py would say it in its own way
    differences = model_differences(project, url)
    found = wishes(differences, answers)
    while found.questions:
        if ask is None:
            raise Undecided(found.questions)
        question = found.questions[0]
        answers = _answered(answers, question, ask(question))
        found = wishes(differences, answers)
    return FromModels(
        tuple(_one(project, change, url, write=write) for change in found.changes), found.ordinary
    )


def _answered(answers: Answers, question: Question, answer: str) -> Answers:
    if question.choices:
        return replace(answers, renamed={**answers.renamed, question.about: answer})
    return replace(answers, values={**answers.values, question.about: answer})


def _one(project: Project, change: Change, url: str, *, write: bool) -> Wished:
    try:
        planned = plan_change(project, change, url)
        return Wished(change, planned, written=write_plan(project, planned) if write else None)
    except EvolveError as error:
        return Wished(change, refused=error)
