"""`evolve explain`: the page of a rule, or the list of all rules."""

from __future__ import annotations

import dataclasses
import json
import shutil
import sys
from typing import TYPE_CHECKING

import click

from evolve.cli.options import format_option

if TYPE_CHECKING:
    from evolve.app.explain_rule import Explanation

_SCHEMA = 1


@click.command("explain")
@click.argument("rule", required=False)
@click.option("--reference", is_flag=True, hidden=True, help="Write docs/reference/rules.md to stdout.")
@format_option("text", "json")
def command(rule: str | None, reference: bool, report_format: str) -> None:
    """Print the page of RULE, an id such as EV101 or a name; without RULE, list all rules."""
    from evolve.app import explain_rule

    if reference:
        click.echo(explain_rule.reference(), nl=False)
        return
    rules = explain_rule.all_rules()
    found = [explain_rule.explain(rule, rules)] if rule else [explain_rule.describe(each) for each in rules]
    if report_format == "json":
        entries = [dataclasses.asdict(each) for each in found]
        click.echo(json.dumps({"schema": _SCHEMA, "rules": entries}, indent=2, ensure_ascii=False))
    elif rule:
        _print_page(found[0])
    else:
        _print_list(found)


def _print_page(explanation: Explanation) -> None:
    if not sys.stdout.isatty():
        click.echo(explanation.page.rstrip())
        return
    from rich.console import Console
    from rich.markdown import Markdown

    Console().print(Markdown(explanation.page))


def _print_list(explanations: list[Explanation]) -> None:
    names = max(len(each.name) for each in explanations)
    room = max(shutil.get_terminal_size((110, 24)).columns - names - 21, 20)
    for each in explanations:
        title = each.title if len(each.title) <= room else each.title[: room - 1].rstrip() + "…"
        click.echo(f"{each.rule:<6} {each.name:<{names}}  {each.severity:<7}  {title}")
