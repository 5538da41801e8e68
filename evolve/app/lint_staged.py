"""Judges what is staged in git, for a hook that runs before a commit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from evolve.app.lint_revisions import EVERYTHING, Options, Question, lint, repository_of, unreleased
from evolve.lint.model import Report
from evolve.revisions.git import NoCommits, NotARepository, Repository
from evolve.revisions.project import Project
from evolve.revisions.select import Range, Selection, Since
from evolve.revisions.staged import staged

if TYPE_CHECKING:
    from evolve.lint.rule import Rule
    from evolve.revisions.cache.store import Store


def lint_staged(
    project: Project,
    options: Options,
    rules: Sequence[Rule] | Callable[[], Sequence[Rule]],
    store: Store | None = None,
) -> Report:
    """Judge the revisions that the next commit adds or changes, as they are staged.

    Earlier ones of the same branch count as part of the same rollout. Files are named as in the working tree.

    Raises:
        NotARepository: there is none.
        Unmerged: a merge is in progress, and not resolved.
        And what `lint` raises.
    """
    repository = repository_of(project)
    if repository is None:
        raise NotARepository(project.root, "--staged")
    with staged(project, repository) as index:
        new = _new(repository)
        question = Question(
            new,
            "revisions that are staged",
            together=isinstance(new, Since),
            rollout=unreleased(index.project, index.repository),
            repository=index.repository,
        )
        models_from = options.models_from and index.there(options.models_from)
        report = lint(index.project, question, replace(options, models_from=models_from), rules, store=store)
        named = index.named(report)
        index.keep_lines({finding.place.file for finding in named.findings})
        return named


def _new(repository: Repository) -> Selection:
    try:
        repository.fork("HEAD")
    except NoCommits:
        return Range(EVERYTHING)
    return Since("HEAD")
