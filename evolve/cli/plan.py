"""`evolve plan`: how a change is done in phases while the application runs; one subcommand per recipe."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.shell_completion import CompletionItem

from evolve.cli.options import Location, database_url_option, format_option, project_options

if TYPE_CHECKING:
    from evolve.app.plan_change import Planned, Written
    from evolve.plan.change import Change
    from evolve.plan.parameters import Parameter
    from evolve.plan.recipe import Recipe


class _Recipes(click.Group):
    """Has a subcommand for every recipe; what belongs to one is imported when that one is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        from evolve.plan.recipes import kinds

        return [*super().list_commands(ctx), "auto", *kinds()]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        known = super().get_command(ctx, cmd_name)
        if known is not None:
            return known
        if cmd_name == "auto":
            from evolve.cli.plan_auto import command as auto

            return auto
        from evolve.plan.recipes import find_recipe

        recipe = find_recipe(cmd_name)
        return None if recipe is None else _subcommand(recipe)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        from evolve.plan.recipes import by_subject

        with formatter.section("Commands"):
            rows = [(name, each.get_short_help_str()) for name, each in sorted(self.commands.items())]
            rows.insert(0, ("auto", "Plan what the models ask for."))
            formatter.write_dl(rows)
        with formatter.section("Changes, by subject (`evolve plan list` says what each does)"):
            formatter.write_dl([(subject, ", ".join(names)) for subject, names in by_subject().items()])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if not ctx.resilient_parsing and not args[0].startswith("-") and not self.get_command(ctx, args[0]):
            import difflib

            near = difflib.get_close_matches(args[0], self.list_commands(ctx), n=3, cutoff=0.5)
            hint = f"did you mean {' or '.join(map(repr, near))}?" if near else "see: evolve plan list"
            raise click.UsageError(f"there is no recipe {args[0]!r}; {hint}", ctx)
        return super().resolve_command(ctx, args)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Complete names without importing what stands behind them: a shell waits for this."""
        names = [CompletionItem(name) for name in self.list_commands(ctx) if name.startswith(incomplete)]
        return [*names, *click.Command.shell_complete(self, ctx, incomplete)]


@click.group("plan", cls=_Recipes)
def command() -> None:
    """Show how a change is done in phases while the application runs; with --write, begin it.

    \b
    expand    add the new shape beside the old, kept equal by a trigger
    backfill  bring the rows that exist up to date
    validate  indexes and constraints of the new shape
    switch    deploy code that uses it
    contract  take the old shape away from every client, and keep it
    purge     drop what was kept

    `evolve advance` goes from one phase to the next when its gates are open.
    """


@command.command("list")
@format_option("text", "json")
def list_recipes(report_format: str) -> None:
    """List the changes that evolve knows how to do."""
    from evolve.plan.recipes import find_recipe, kinds

    recipes = [recipe for kind in kinds() if (recipe := find_recipe(kind)) is not None]
    if report_format == "json":
        rows = [{"kind": recipe.kind, "summary": recipe.summary} for recipe in recipes]
        click.echo(json.dumps({"schema": 1, "recipes": rows}, indent=2))
        return
    width = max(len(recipe.kind) for recipe in recipes) + 2
    for recipe in recipes:
        click.echo(f"{recipe.kind:<{width}}{recipe.summary}")


# -- one subcommand -----------------------------------------------------------------------------------------
def _subcommand(recipe: Recipe[Change]) -> click.Command:
    @click.option("--write", is_flag=True, help="Write the expand revision and the manifest.")
    @click.option("--explain", is_flag=True, help="Show every statement, its lock, and the way back.")
    @click.option("--offline", is_flag=True, help="Take facts from the revisions, not from a database.")
    @format_option("text", "json", "markdown")
    @database_url_option
    @project_options
    def run(
        location: Location,
        /,
        *,
        write: bool,
        explain: bool,
        offline: bool,
        report_format: str,
        database_url: str | None,
        **typed: object,
    ) -> None:
        change = _change(recipe, typed)
        planned, written = _plan(location, change, database_url, offline=offline, write=write)
        click.echo(_report(planned, written, report_format, explain=explain))
        if report_format == "text" and written is None:
            click.echo("nothing is written; begin it with --write", err=True)

    made = click.command(recipe.kind, help=recipe.summary)(run)
    made.params[:0] = [_click_parameter(parameter) for parameter in recipe.parameters]
    return made


def _click_parameter(parameter: Parameter) -> click.Parameter:
    several = parameter.kind in ("names", "pairs")
    metavar = parameter.metavar or _METAVARS.get(parameter.kind, parameter.name.upper())
    if not parameter.option:
        if several:
            metavar += "..."
        return click.Argument(
            [parameter.name],
            required=parameter.required,
            nargs=-1 if several else 1,
            metavar=metavar,
            help=parameter.help,
        )
    names = [parameter.name, parameter.flag]
    if parameter.kind == "flag":
        return click.Option(names, is_flag=True, help=parameter.help)
    if parameter.kind == "choice":
        choices = click.Choice(parameter.choices)
        return click.Option(names, type=choices, required=parameter.required, help=parameter.help)
    return click.Option(
        names, required=parameter.required, multiple=several, metavar=metavar, help=parameter.help
    )


_METAVARS = {
    "expression": "SQL",
    "statement": "SQL|@FILE",
    "type": "TYPE",
    "reference": "TABLE.COLUMN",
    "relation": "TABLE",
    "pairs": "NAME=SQL",
    "number": "N",
}


def _change(recipe: Recipe[Change], given: dict[str, object]) -> Change:
    from evolve.plan.parameters import typed

    values: dict[str, object] = {}
    for parameter in recipe.parameters:
        value = given[parameter.name]
        if value is None or value == ():
            continue
        if parameter.kind == "statement" and isinstance(value, str) and value.startswith("@"):
            value = _text_of(value[1:])
        if isinstance(value, (str, tuple)):
            values[parameter.name] = typed(parameter, value)
        elif value:
            values[parameter.name] = value
    return recipe.make(values)


def _text_of(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise click.UsageError(f"{path} cannot be read: {error}") from error


def _plan(
    location: Location, change: Change, database_url: str | None, *, offline: bool, write: bool
) -> tuple[Planned, Written | None]:
    from evolve.app.plan_change import plan_change, write_plan
    from evolve.app.target import NoDatabase
    from evolve.app.target import database_url as choose

    config = location.config()
    project = location.project(config)
    url = None
    if not offline:
        try:
            url = choose(database_url or config.resolved_database_url(), None, project.database_url)
        except NoDatabase:
            url = None  # the report says where the facts come from
    planned = plan_change(project, change, url)
    return planned, write_plan(project, planned) if write else None


def _report(planned: Planned, written: Written | None, report_format: str, *, explain: bool) -> str:
    from evolve.plan.effects import costs
    from evolve.report import changes
    from evolve.report import plan as report

    plan = planned.plan
    told = costs(plan, planned.facts)
    files = [] if written is None else [written.manifest, *written.revisions]
    if report_format == "json":
        return json.dumps({**report.as_data(plan, told), "written": [str(file) for file in files]}, indent=2)
    if report_format == "markdown":
        return report.to_markdown(plan, told, explain=explain)
    lines = [report.to_text(plan, told, explain=explain)]
    if written is not None:
        lines += ["", *(f"wrote {file}" for file in files)]
        first, last = plan.phases[0], len(plan.phases) == 1
        if written.revisions:
            command = changes.onward(plan.id, first, written=True, last=last, upgrade=written.upgrade)
            lines.append(f"next: {command}")
        else:
            lines.append(f"next: commit it, then: evolve advance {plan.id}")
    return "\n".join(lines)
