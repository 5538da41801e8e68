"""The tests that `pytest --evolve` adds: what is asked of a project's revisions, each answer an item of its own.

Items are the same in every process, so that pytest-xdist may share them out; each process has its own scratch server.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, closing
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import pytest

from evolve.cli.options import Location
from evolve.errors import EvolveError
from evolve.plan.manifest import Manifest, load_all
from evolve.postgres.connect import connect
from evolve.postgres.scratch import Server, server
from evolve.revisions.history import History, read_history
from evolve.revisions.project import Project, find_project
from evolve.sql.differences import differences
from evolve.testing.made_up_rows import CannotMakeUp, make_up_rows
from evolve.testing.scratch_project import CommandFailed, ScratchProject

_NOT_WRITTEN = "NotImplementedError"


class Broken(Exception):
    """A revision does not hold what is asked of it; the text is for people."""


class Run:
    """What the items of one process share: the project, its history, one lint report, a server and its databases."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self.directory = (config.rootpath / str(config.getini("evolve_directory"))).resolve()
        self._closing = ExitStack()
        config.add_cleanup(self._closing.close)

    @cached_property
    def settings(self) -> Any:
        return Location(self.directory).config()

    @cached_property
    def project(self) -> Project:
        return find_project(
            self.directory,
            configuration=self.settings.alembic_config,
            section=self.settings.alembic_section,
        )

    @cached_property
    def history(self) -> History:
        return read_history(self.project)

    @cached_property
    def new(self) -> tuple[str, ...]:
        """The revisions that are asked about, in the order in which they are applied."""
        from evolve.app.lint_revisions import ask
        from evolve.revisions.select import select

        question = ask(self.project, revisions=self._option("revisions"), since=self._option("since"))
        chosen = select(self.project, self.history, question.selection, on_broken=lambda _: None)
        return tuple(file.revision for file in chosen)

    @cached_property
    def changes(self) -> tuple[Manifest, ...]:
        """Changes in flight that have a backfill, and the revision that begins them."""
        found = load_all(self.project.script_directory)
        return tuple(each for each in found if each.plan.backfills and each.revisions)

    @cached_property
    def report(self) -> Mapping[str, Any]:
        """What evolve lint says of the new revisions, as JSON."""
        words = ["-m", "evolve", "lint", "--format", "json"]
        if revisions := self._option("revisions"):
            words.append(revisions)
        if since := self._option("since"):
            words += ["--since", since]
        done = ScratchProject(self.directory, "").run(*words)
        if done.returncode not in (0, 1):
            raise Broken(done.stderr.strip())
        return cast("Mapping[str, Any]", json.loads(done.stdout))

    @cached_property
    def server(self) -> Server:
        return self._closing.enter_context(server())

    @cached_property
    def road(self) -> ScratchProject:
        """The database that round trips go along."""
        return self.fresh()

    def fresh(self) -> ScratchProject:
        """The project on an empty database."""
        url = self._closing.enter_context(self.server.database())
        variable = str(self.config.getini("evolve_url_variable"))
        return ScratchProject(self.directory, url, self.project.version_table, variable)

    def prepare(self, scratch: ScratchProject, revision: str) -> None:
        """Apply what `revision` builds on, by its parents and by `depends_on`, and nothing else."""
        needs = self.history.needs[revision]
        below = self.history.ancestors(needs)
        if scratch.applied != below:
            for each in needs:
                scratch.upgrade(each)
        scratch.applied = below

    def _option(self, name: str) -> str | None:
        return cast("str | None", self.config.getoption(f"evolve_{name}"))


class ProjectChecks(pytest.Collector):
    """The node above the items."""

    def collect(self) -> list[pytest.Item]:
        run = Run(self.config)
        asked = self.config.getini("evolve_checks")
        try:
            found = list(_checks(run, asked))
        except EvolveError as error:
            raise pytest.UsageError(f"--evolve: {error}") from error
        items: list[pytest.Item] = []
        for name, check in found:
            item: Check = Check.from_parent(self, name=name, check=check)
            # Those of one database stay together, in their order, where pytest-xdist groups items.
            item.add_marker(pytest.mark.xdist_group(f"evolve-{name.partition('[')[0]}"))
            items.append(item)
        return items


class Check(pytest.Item):
    def __init__(self, *, check: Callable[[], None], **given: Any) -> None:
        super().__init__(**given)
        self._check = check

    def runtest(self) -> None:
        self._check()

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> str | Any:
        if isinstance(excinfo.value, Broken | EvolveError | CommandFailed):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, None, str]:
        return self.config.rootpath, None, self.nodeid


def _checks(run: Run, asked: Iterable[str]) -> Iterator[tuple[str, Callable[[], None]]]:
    wanted = set(asked)
    if "lint" in wanted:
        for revision in run.new:
            yield f"lint[{revision}]", lambda revision=revision: lint(run, revision)  # type: ignore[misc]
    if "heads" in wanted:
        yield "heads", lambda: one_head(run)
    if "round-trip" in wanted:
        for revision in run.new:
            yield f"round-trip[{revision}]", lambda revision=revision: round_trip(run, revision)  # type: ignore[misc]
    if "models" in wanted:
        yield "models", lambda: models_agree(run)
    if "backfills" in wanted:
        for manifest in run.changes:
            yield f"backfill[{manifest.id}]", lambda manifest=manifest: backfill_resumes(run, manifest)  # type: ignore[misc]


def lint(run: Run, revision: str) -> None:
    """No finding of the revision is as severe as the settings let pass."""
    severities = ("info", "warning", "error")
    least = severities.index(run.settings.lint.fail_on)
    found = [
        each
        for each in run.report["findings"]
        if each["revision"] == revision and severities.index(each["severity"]) >= least
    ]
    if found:
        raise Broken("\n\n".join(map(_finding, found)))


def _finding(found: Mapping[str, Any]) -> str:
    lines = [
        f"{found['file']}:{found['line']}: {found['severity']} {found['rule']} {found['name']}",
        f"  {found['message']}",
        f"  why: {found['why']}",
    ]
    for number, safe in enumerate(found["safe"], 1):
        lines += [f"  safe, revision {number}:", *(f"    {line}" for line in safe.splitlines())]
    if found["fix"]:
        lines.append(f"  fix: {found['fix']}")
    return "\n".join(lines)


def one_head(run: Run) -> None:
    heads = run.history.heads
    if len(heads) > 1:
        files = "\n".join(f"  {head}  {run.history.revisions[head].path}" for head in sorted(heads))
        raise Broken(
            f"there are {len(heads)} heads, and `alembic upgrade head` runs none of them:\n{files}\n"
            f"fix: let the later one build on the other, or: alembic merge {' '.join(sorted(heads))}"
        )


def round_trip(run: Run, revision: str) -> None:
    """Up, down and up again: the way back leaves the schema as it was, and the second way up as the first did."""
    if not run.road.applied <= run.history.ancestors(run.history.needs[revision]):
        del run.road  # it went further, or along another branch: tests may run in any order
    try:
        _round_trip(run, run.road, revision)
    except (Broken, CommandFailed):
        del run.road  # nobody knows what it is like now; the next revision goes its own way
        raise


def _round_trip(run: Run, road: ScratchProject, revision: str) -> None:
    run.prepare(road, revision)
    was = road.schema()
    road.upgrade(revision)
    became = road.schema()
    try:
        road.downgrade(_below(run.history, revision))
    except CommandFailed as failed:
        if _NOT_WRITTEN in str(failed):
            road.applied |= {revision}
            pytest.skip(f"downgrade() of {revision} raises NotImplementedError")
        raise
    left = differences(was, road.schema(), ordered=False)
    if left:
        raise Broken(_list(f"after downgrade() of {revision} the schema is not what it was before it:", left))
    road.upgrade(revision)
    again = differences(became, road.schema(), ordered=False)
    if again:
        raise Broken(_list(f"{revision} makes another schema when it is applied again:", again))
    road.applied |= {revision}


def _below(history: History, revision: str) -> str:
    """What Alembic is to go down to, so that it takes back `revision` alone."""
    parents = history.revisions[revision].down_revisions
    below = parents[0] if parents else "base"
    # What it depends on may build on its parent as well, and would be taken back with it.
    return f"{revision}@{below}" if history.needs[revision] != parents else below


def models_agree(run: Run) -> None:
    """`alembic revision --autogenerate` at the heads would write nothing."""
    scratch = run.fresh()
    scratch.upgrade("heads")
    done = scratch.run("-m", "evolve.testing.check_models", scratch.url)
    if done.returncode == 1:
        raise Broken(_list("the models are not what the revisions make:", done.stdout.splitlines()))
    if done.returncode:
        raise Broken(done.stderr.strip())


def backfill_resumes(run: Run, manifest: Manifest) -> None:
    """On made-up rows: killed behind its second batch, the backfill goes on, ends, and leaves no row behind."""
    scratch = run.fresh()
    first = manifest.revisions[0]
    spec = next(iter(manifest.plan.backfills), None)
    assert spec is not None  # noqa: S101  # only such are asked
    run.prepare(scratch, first)
    count = int(str(run.config.getini("evolve_rows")))
    _fill(run, scratch.url, spec.table.full, count)
    scratch.upgrade(first)
    name = manifest.id
    killed = scratch.run("-m", "evolve.testing.killed_backfill", str(run.project.script_directory), name)
    if killed.returncode not in (0, -9):
        raise Broken(killed.stderr.strip())
    if killed.returncode:
        done = scratch.run("-m", "evolve", "backfill", "resume", name, "--quiet", "--no-verify")
        if done.returncode:
            raise Broken(f"killed behind its second batch, it does not go on:\n{done.stderr.strip()}")
    verified = scratch.run("-m", "evolve", "backfill", "verify", name)
    if verified.returncode:
        raise Broken(f"it ended, and rows are left:\n{verified.stdout.strip()}\n{verified.stderr.strip()}")


def _fill(run: Run, url: str, table: str, count: int) -> None:
    with closing(connect(url)) as connection:
        if not run.config.hook.pytest_evolve_rows(connection=connection, table=table, count=count):
            row = connection.execute("SELECT to_regclass(%s)::oid::bigint", [table]).fetchone()
            oid = row[0] if row else None
            if not isinstance(oid, int):
                raise Broken(
                    f"{table} is not there before the change begins, so that no rows of it can be tried"
                )
            try:
                make_up_rows(connection, oid, count)
            except CannotMakeUp as error:
                raise Broken(
                    f"rows to try it on could not be made up: {error}\n"
                    "fix: fill the table in conftest.py: "
                    "def pytest_evolve_rows(connection, table, count): …; return True"
                ) from error
        connection.commit()


def _list(head: str, lines: Iterable[str]) -> str:
    return "\n".join([head, *(f"  {line}" for line in lines)])
