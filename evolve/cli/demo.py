"""`evolve demo`: the whole road once, on a throw-away server with a live application on it."""

from __future__ import annotations

import json
import shlex
import shutil
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from evolve.cli.options import format_option

if TYPE_CHECKING:
    from evolve.app.demo.road import Ending, Kept, Size

_SCHEMA = 1


class Storyteller:
    """Tells the story on stderr, a scene at a time; the result alone goes to stdout."""

    def __init__(self) -> None:
        self._width = min(shutil.get_terminal_size((110, 24)).columns, 120)
        self._scenes = 0

    def scene(self, title: str, text: str) -> None:
        self._scenes += 1
        click.echo(err=True)
        click.secho(f"{self._scenes}. {title}", bold=True, err=True)
        click.echo(textwrap.fill(text, self._width, initial_indent="   ", subsequent_indent="   "), err=True)

    def command(self, words: Sequence[str]) -> None:
        click.secho(f"   $ {shlex.join(words)}", fg="cyan", err=True)

    def output(self, lines: Sequence[str]) -> None:
        for line in lines:
            click.echo(f"     {textwrap.shorten(line, self._width - 5, placeholder=' …')}", err=True)


@click.command("demo")
@click.option(
    "--size",
    type=click.Choice(["small", "demo", "large"]),
    default="demo",
    show_default=True,
    help="Of the shop: 10,000, 1,000,000 or 10,000,000 orders.",
)
@click.option("--keep", is_flag=True, help="Leave server and project behind, and print how to reach them.")
@format_option("text", "json")
def command(size: Size, keep: bool, report_format: str) -> None:
    """See the whole road once: lint, plan, backfill, switch, contract and partition a shop that stays open.

    Starts a throw-away PostgreSQL (EVOLVE_SCRATCH chooses where it comes from), fills the sample shop, and changes its
    schema while clients of two releases read and write.

    \b
    exit status  0  every promise was kept: no transaction failed, no row differs
                 1  one was broken
                 2  no PostgreSQL could be started
    """
    from evolve.app.demo.road import run_demo

    ending, kept = run_demo(Storyteller(), size=size, keep=keep)
    if report_format == "json":
        click.echo(json.dumps(_as_json(ending, kept), indent=2))
    else:
        _print_table(ending)
        if kept is not None:
            _print_kept(kept)
    if ending.broken:
        raise SystemExit(1)


def _print_table(ending: Ending) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("client", "transactions", "failed", "writes lost", "longest wait"):
        table.add_column(heading, justify="left" if heading == "client" else "right")
    for report in ending.clients:
        table.add_row(
            report.version,
            f"{report.transactions:,}",
            f"{report.failed:,}",
            f"{report.lost:,}",
            f"{report.longest_ms:,.0f} ms",
        )
    console = Console()
    console.print()
    console.print(table)
    console.print()
    console.print(f"rows differing       {ending.differing:,} between the old column and the new")
    console.print(f"orders differing     {ending.misplaced:,} between the table and its partitions")
    for work, rate in ending.rows_per_second:
        console.print(f"rows/s               {rate:,.0f} in the {work}")
    console.print(f"seconds              {ending.seconds:.0f}")
    for promise in ending.broken:
        click.secho(f"broken: {promise}", fg="red", err=True)
    if not ending.broken:
        console.print("Every promise was kept.")


def _print_kept(kept: Kept) -> None:
    click.echo(
        f"\nproject  {kept.folder}\nconnect  psql {shlex.quote(kept.url)}\nremove   {kept.stop_command}"
    )


def _as_json(ending: Ending, kept: Kept | None) -> dict[str, object]:
    return {
        "schema": _SCHEMA,
        "clients": [
            {
                "version": report.version,
                "transactions": report.transactions,
                "failed": report.failed,
                "retried": report.retried,
                "lost": report.lost,
                "longest_wait_ms": report.longest_ms,
                "wait_p99_ms": report.p99_ms,
                "errors": list(report.errors),
            }
            for report in ending.clients
        ],
        "lost": ending.lost,
        "rows_differing": ending.differing,
        "orders_differing": ending.misplaced,
        "rows_per_second": {work: round(rate) for work, rate in ending.rows_per_second},
        "seconds": round(ending.seconds, 1),
        "broken": list(ending.broken),
        "kept": kept and {"url": kept.url, "folder": str(kept.folder), "remove": kept.stop_command},
    }
