"""`evolve plan auto`: the changes that the models ask for."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import click

from evolve.cli.options import Location, database_url_option, format_option, project_options

if TYPE_CHECKING:
    from evolve.app.plan_from_models import FromModels, Wished
    from evolve.plan.auto import Question


@click.command("auto")
@click.option(
    "--renamed",
    multiple=True,
    metavar="OLD=NEW",
    help="users.name=full_name: that column, or users=people: that table, was renamed; users.name=dropped: it was not.",
)
@click.option(
    "--value",
    multiple=True,
    metavar="COLUMN=SQL",
    help="users.currency=\"'EUR'\": what rows that exist get in a new NOT NULL column, or in the place of a null.",
)
@click.option("--write", is_flag=True, help="Write manifest and expand revision of each change.")
@click.option(
    "--non-interactive",
    is_flag=True,
    help="Ask nothing: fail with the choices where something is to be decided.",
)
@format_option("text", "json")
@database_url_option
@project_options
def command(
    location: Location,
    renamed: tuple[str, ...],
    value: tuple[str, ...],
    write: bool,
    non_interactive: bool,
    report_format: str,
    database_url: str | None,
) -> None:
    """Plan what the models ask for, each change in phases of its own.

    The models are compared with the database as `alembic revision --autogenerate` does it. What is gone beside
    something new may be a rename: a hint in the model decides, mapped_column(info={"evolve": {"renamed_from":
    "name"}}), or an option, or you are asked.

    \b
    exit status  0  every change is planned, or nothing differs
                 1  a change is refused; the others are planned
                 2  the question was wrong, or left something to be decided
    """
    from evolve.app import target
    from evolve.app.plan_from_models import plan_from_models
    from evolve.plan.auto import Answers

    config = location.config()
    project = location.project(config)
    url = target.database_url(database_url or config.resolved_database_url(), None, project.database_url)
    answers = Answers(_pairs("--renamed", renamed), _pairs("--value", value))
    ask = None if non_interactive or not sys.stdin.isatty() else _ask
    found = plan_from_models(project, url, answers, ask, write=write)
    click.echo(_json(found) if report_format == "json" else _text(found, write=write))
    if any(wished.refused for wished in found.wished):
        raise SystemExit(1)


def _pairs(option: str, given: tuple[str, ...]) -> dict[str, str]:
    pairs = {}
    for text in given:
        name, sign, meaning = text.partition("=")
        if not sign or not name.strip() or not meaning.strip():
            raise click.UsageError(f"{option} {text!r} is not written as NAME=…")
        pairs[name.strip()] = meaning.strip()
    return pairs


def _ask(question: Question) -> str:
    click.echo(question.text, err=True)
    if not question.choices:
        return str(click.prompt("SQL", err=True))
    names = list(question.choices)
    for number, name in enumerate(names, 1):
        click.echo(f"  {number}  {name}: {question.choices[name]}", err=True)
    chosen = click.prompt("which", type=click.IntRange(1, len(names)), err=True)
    return names[int(chosen) - 1]


def _text(found: FromModels, *, write: bool) -> str:
    if not found.wished and not found.ordinary:
        return "the models ask for nothing that the database does not have"
    lines = []
    for wished in found.wished:
        lines += _lines(wished)
    if found.ordinary:
        lines.append("for an ordinary revision (alembic revision --autogenerate):")
        lines += [f"    {text}" for text in found.ordinary]
    written = [wished.written for wished in found.wished if wished.written is not None]
    if any(each.revisions for each in written):
        lines.append(f"next: review and commit them, then: {written[-1].upgrade}; evolve status")
    elif written:
        lines.append("next: commit them, then: evolve status")
    elif found.wished and not write:
        lines.append("nothing is written; begin them with --write")
    return "\n".join(lines)


def _lines(wished: Wished) -> list[str]:
    lines = [f"{wished.change.id}  ({wished.change.kind})"]
    if wished.refused is not None:
        lines += [f"    refused: {line}" for line in wished.refused.what.splitlines()]
        lines += [f"    fix: {wished.refused.fix}"] if wished.refused.fix else []
    elif wished.planned is not None:
        lines.append(f"    {' > '.join(phase.name for phase in wished.planned.plan.phases)}")
    if wished.written is not None:
        lines += [f"    wrote {file}" for file in (wished.written.manifest, *wished.written.revisions)]
    return lines


def _json(found: FromModels) -> str:
    from evolve.plan.effects import costs
    from evolve.report import plan as report

    changes = [
        {
            "change": wished.change.id,
            "kind": wished.change.kind,
            "plan": None
            if wished.planned is None
            else report.as_data(wished.planned.plan, costs(wished.planned.plan, wished.planned.facts)),
            "refused": None if wished.refused is None else wished.refused.what,
            "written": []
            if wished.written is None
            else [str(file) for file in (wished.written.manifest, *wished.written.revisions)],
        }
        for wished in found.wished
    ]
    return json.dumps({"schema": 1, "changes": changes, "ordinary": list(found.ordinary)}, indent=2)
