"""Settings: `[tool.evolve]` of pyproject.toml, or evolve.toml, as frozen values; unknown keys are errors.

[tool.evolve]                             # evolve.toml holds the same without "tool.evolve"
database_url = "env:DATABASE_URL"
alembic_config = "backend/alembic.ini"
alembic_section = "tenant"                # as alembic --name takes it
expand_branch = "pre"                     # labels of two branches: one adds, the other takes away
contract_branch = "post"

[tool.evolve.lint]
fail_on = "warning"
ignore = ["EV701"]

[tool.evolve.partition.orders]
method = "range"
key = "created_at"                        # what else a table may say is the partitioner's to know

[tool.evolve.environments.production]     # any of the above, in its place where -E production is given
database_url = "env:PRODUCTION_URL"
lint.postgres_version = 14
"""

from __future__ import annotations

import difflib
import os
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import field, fields, replace
from pathlib import Path
from types import MappingProxyType
from typing import Literal, TypedDict, get_args

from evolve.config_gates import Gates, read_gates
from evolve.config_lint import Lint, read_lint
from evolve.config_preflight import Preflight, read_preflight
from evolve.config_table import BadValue as BadValue
from evolve.config_table import Table
from evolve.config_table import UnknownKey as UnknownKey
from evolve.errors import Misuse
from evolve.values import dataclass

Log = Literal["text", "json"]

_VARIABLE = "env:"
# What an environment sets in the place of the other.
_INSTEAD = {"postgres_version": "postgres_versions", "postgres_versions": "postgres_version"}


class BrokenToml(Misuse):
    """The file is not TOML. `line` counts from 1; None where the parser does not know."""

    def __init__(self, file: Path, reason: str, line: int | None) -> None:
        place = f"{file}:{line}" if line else str(file)
        super().__init__(f"{place}: {reason}", fix="correct the TOML there")
        self.line = line


class NoConfigFile(Misuse):
    def __init__(self, file: Path, reason: str, fix: str = "check the path after --config") -> None:
        super().__init__(f'the configuration "{file}" cannot be read: {reason}', fix=fix)


class TwoConfigurations(Misuse):
    def __init__(self, folder: Path) -> None:
        super().__init__(
            f'"{folder}" has both an evolve.toml and a [tool.evolve] in its pyproject.toml',
            why="one of them would be silently without effect",
            fix="move the settings into one file, or name one: --config evolve.toml",
        )


class MissingVariable(Misuse):
    def __init__(self, file: Path, key: str, variable: str) -> None:
        also = {
            "database_url": ", or give --database-url",
            "gates.replicas": "; or take it out of replicas, and name the standby in standbys_without_reads "
            "if nobody reads there",
        }
        super().__init__(
            f'{file}: "{key}" takes its value from the environment variable {variable}, which is not set',
            fix=f"export {variable}=…{also.get(key, '')}",
        )


class UnknownEnvironment(Misuse):
    def __init__(self, name: str, known: Iterable[str], file: Path | None) -> None:
        names = sorted(known)
        near = difflib.get_close_matches(name, names, n=1)
        place = str(file) if file is not None else "pyproject.toml"
        above = "" if file is not None and file.name != "pyproject.toml" else "tool.evolve."
        table = f"[{above}environments.{name}]"
        if near:
            fix = f'did you mean "{near[0]}"?'
        elif names:
            fix = f"there {'is' if len(names) == 1 else 'are'} {', '.join(names)}; another one is a table {table}"
        else:
            fix = f"add a table {table} with what is different there"
        super().__init__(f'{place} has no environment "{name}"', fix=fix)


@dataclass(frozen=True, slots=True)
class Upgrade:
    """
    Args:
        lock_timeout: milliseconds a statement may wait for a lock; others queue behind it all that time.
        concurrently_lock_timeout: the same with CONCURRENTLY, which nobody queues behind; 0 is none.
        statement_timeout: milliseconds; 0 is none.
        max_retries: attempts after the first, for each revision.
        retry_budget: seconds that all waiting between attempts may take together.
        runner_wait: seconds to wait for another runner.
        terminate_blockers: sessions that may be ended where they keep a revision waiting, as --terminate-blockers says.
    """

    lock_timeout: int = 500
    concurrently_lock_timeout: int = 0
    statement_timeout: int = 0
    max_retries: int = 20
    retry_budget: float = 300.0
    runner_wait: float = 600.0
    terminate_blockers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Approval:
    """
    Args:
        rows: a backfill that walks more of them waits for another person's approval; None: none does.
        tables: patterns of names of tables, with or without their schema; a backfill of one of them waits.
    """

    rows: int | None = None
    tables: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Backfill:
    """
    Args:
        batch_ms: milliseconds one batch should take; the batch size follows it.
        batch_size: rows of the first batch.
        max_batch_size: rows.
        modules: of the application, which declare backfills.
        keep_undo: seconds that an ended run keeps its old values, for `backfill forget --expired`.
        approval: which runs wait for another person.
        mode: fast, polite or gentle.
        windows: times in which a run may work, such as "22:00-06:00 Europe/Berlin"; none: always.
        throttles: of plugins, each as "name:argument".
        max_wal: bytes of WAL per second; None sets no limit.
        sensors: name → what is set for it.
        on_event: called with each event of a backfill, beside those of `Config.on_event`.
    """

    batch_ms: int = 20
    batch_size: int = 1_000
    max_batch_size: int = 50_000
    modules: tuple[str, ...] = ()
    keep_undo: float = 14 * 86_400.0
    approval: Approval = Approval()
    mode: str = "fast"
    windows: tuple[str, ...] = ()
    throttles: tuple[str, ...] = ()
    max_wal: float | None = None
    sensors: Mapping[str, Mapping[str, object]] = field(default_factory=lambda: MappingProxyType({}))
    on_event: tuple[str, ...] = ()


class Throttled(TypedDict, total=False):
    """The fields of `Backfill` that say what a run is held by."""

    mode: str
    windows: tuple[str, ...]
    throttles: tuple[str, ...]
    max_wal: float | None
    sensors: Mapping[str, Mapping[str, object]]


@dataclass(frozen=True, slots=True)
class PartitionedTable:
    """
    Args:
        method: name of a partitioner: range, list, hash, or a plugin's.
        options: handed to the partitioner as they are; it knows which it takes.
    """

    method: str
    options: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Config:
    """
    Args:
        file: where the settings come from; None where there is no file and all are defaults.
        database_url: as written; `resolved_database_url` looks up "env:NAME".
        alembic_config: path of alembic.ini, relative paths starting at the configuration file's folder.
        alembic_section: of alembic.ini, as `alembic --name` takes it.
        expand_branch, contract_branch: labels of two branches of revisions; both or none.
        partition: table → how it is partitioned.
        log: how a command that works for long writes its log: as text, or as JSON with one event a line.
        on_event: called with each event: "package.module:function", or a command.
        environments: names of those that have settings of their own.
    """

    file: Path | None = None
    database_url: str | None = field(default=None, repr=False)
    alembic_config: Path | None = None
    alembic_section: str = "alembic"
    expand_branch: str | None = None
    contract_branch: str | None = None
    lint: Lint = Lint()
    upgrade: Upgrade = Upgrade()
    preflight: Preflight = Preflight()
    backfill: Backfill = Backfill()
    gates: Gates = Gates()
    partition: Mapping[str, PartitionedTable] = field(default_factory=lambda: MappingProxyType({}))
    log: Log = "text"
    on_event: tuple[str, ...] = ()
    environments: tuple[str, ...] = ()

    @property
    def branches(self) -> tuple[str, str] | None:
        """(the one that adds, the one that takes away); None where there is one line."""
        if self.expand_branch is None or self.contract_branch is None:
            return None
        return self.expand_branch, self.contract_branch

    def resolved_database_url(self) -> str | None:
        """The database URL, "env:NAME" replaced by the variable's value.

        Raises:
            MissingVariable: the variable is not set, or empty.
        """
        return self.database_url and self.resolved(self.database_url, "database_url")

    def resolved(self, text: str, key: str) -> str:
        """What a setting stands for: "env:NAME" is the variable's value.

        Raises:
            MissingVariable: the variable is not set, or empty.
        """
        if not text.startswith(_VARIABLE):
            return text
        variable = text.removeprefix(_VARIABLE)
        value = os.environ.get(variable)
        if not value:
            raise MissingVariable(self.file or Path(), key, variable)
        return value


def load(directory: Path, file: Path | None = None, environment: str | None = None) -> Config:
    """Read the settings of the project in `directory`.

    Args:
        file: read this one; None takes the nearest evolve.toml, or pyproject.toml with a [tool.evolve], from
            `directory` upward, and the defaults where there is none.
        environment: whose settings stand in the place of the others'.

    Raises:
        UnknownKey, BadValue, BrokenToml, NoConfigFile, TwoConfigurations, UnknownEnvironment.
    """
    config, others = _load(directory, file)
    if environment is not None and environment not in others:
        raise UnknownEnvironment(environment, others, config.file)
    chosen = config if environment is None else others[environment]
    if file is None and _is_of_another_project(chosen, directory):
        return replace(chosen, alembic_config=None)
    return chosen


def _is_of_another_project(config: Config, directory: Path) -> bool:
    """Whether the alembic.ini that settings further up name is one beside `directory`, which has its own."""
    if config.alembic_config is None or config.file is None or config.file.parent == directory.resolve():
        return False
    own = directory.resolve() / "alembic.ini"
    return own.is_file() and own != config.alembic_config.resolve()


def _load(directory: Path, file: Path | None) -> tuple[Config, Mapping[str, Config]]:
    """The settings, and those of each environment: a mistake in one that is not asked for is told as well."""
    if file is not None:
        table = _settings(file)
        return (Config(file=file), {}) if table is None else _configs(file, table)
    for folder in (directory.resolve(), *directory.resolve().parents):
        found = [
            (path, table)
            for path in (folder / "evolve.toml", folder / "pyproject.toml")
            if path.is_file() and (table := _settings(path)) is not None
        ]
        if len(found) > 1:
            raise TwoConfigurations(folder)
        for path, table in found:
            return _configs(path, table)
    return Config(), {}


def _settings(file: Path) -> dict[str, object] | None:
    """The table of settings in `file`; None where it is a pyproject.toml without one."""
    try:
        text = file.read_text(encoding="utf-8")
    except OSError as error:
        raise NoConfigFile(file, error.strerror or str(error)) from error
    except UnicodeDecodeError as error:
        raise NoConfigFile(file, "it is not UTF-8", fix="save it as UTF-8") from error
    try:
        document: dict[str, object] = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        place = re.search(r" \(at line (\d+), column \d+\)$", str(error))
        reason = str(error)[: place.start()] if place else str(error)
        raise BrokenToml(file, reason, int(place[1]) if place else None) from error
    except (ValueError, RecursionError) as error:  # more digits, or brackets in brackets, than Python reads
        raise BrokenToml(file, str(error), None) from error
    if file.name != "pyproject.toml":
        return document
    tool = document.get("tool")
    if not isinstance(tool, dict) or "evolve" not in tool:
        return None
    return Table.of(file, "tool.evolve", tool["evolve"]).values


def _configs(file: Path, values: dict[str, object]) -> tuple[Config, Mapping[str, Config]]:
    overlays = Table(file, "", values).table("environments")
    own = {key: value for key, value in values.items() if key != "environments"}
    names = tuple(overlays.values)
    others: dict[str, Config] = {}
    config = _config(Table(file, "", own), names, may_have_environments=True)
    for name in names:
        overlay = overlays.table(name)
        table = Table(file, overlay.name, _overlaid(own, overlay.values))
        others[name] = _config(table, names)
    return config, others


def _overlaid(values: dict[str, object], over: dict[str, object]) -> dict[str, object]:
    """Tables are joined; all else is replaced."""
    found = {key: value for key, value in values.items() if _INSTEAD.get(key) not in over}
    for key, value in over.items():
        below = found.get(key)
        joined = isinstance(below, dict) and isinstance(value, dict)
        found[key] = _overlaid(below, value) if joined else value  # type: ignore[arg-type]
    return found


def _config(top: Table, environments: tuple[str, ...], *, may_have_environments: bool = False) -> Config:
    file = top.file
    named = [each.name for each in fields(Config) if each.name != "file"]
    top.allow(name for name in named if may_have_environments or name != "environments")
    alembic_config = top.text("alembic_config", None)
    expand, contract = top.text("expand_branch", None), top.text("contract_branch", None)
    if (expand is None) is not (contract is None):
        missing = "expand_branch" if expand is None else "contract_branch"
        raise top.bad(missing, "the label of the other branch", None)
    if expand is not None and expand == contract:
        raise top.bad("contract_branch", "another label than expand_branch", contract)
    return Config(
        file=file,
        database_url=top.text("database_url", None),
        alembic_config=file.parent / alembic_config if alembic_config else None,
        alembic_section=top.text("alembic_section", None) or "alembic",
        expand_branch=expand,
        contract_branch=contract,
        lint=read_lint(top.table("lint")),
        upgrade=_upgrade(top.table("upgrade")),
        preflight=read_preflight(top.table("preflight")),
        backfill=_backfill(top.table("backfill")),
        gates=read_gates(top.table("gates")),
        partition=_partition(top.table("partition")),
        log=_log(top),
        on_event=top.texts("on_event"),
        environments=environments,
    )


def _log(top: Table) -> Log:
    value = top.text("log", None) or "text"
    for choice in get_args(Log):
        if value == choice:
            found: Log = choice
            return found
    raise top.bad("log", f"one of {', '.join(get_args(Log))}", value)


def _upgrade(table: Table) -> Upgrade:
    table.allow(named.name for named in fields(Upgrade))
    default = Upgrade()
    return Upgrade(
        # Never 0: without a limit, one waiting statement stops every query on its table.
        lock_timeout=table.whole("lock_timeout", default.lock_timeout, least=1),
        concurrently_lock_timeout=table.whole("concurrently_lock_timeout", default.concurrently_lock_timeout),
        statement_timeout=table.whole("statement_timeout", default.statement_timeout),
        max_retries=table.whole("max_retries", default.max_retries),
        retry_budget=table.seconds("retry_budget", default.retry_budget),
        runner_wait=table.seconds("runner_wait", default.runner_wait),
        terminate_blockers=table.texts("terminate_blockers"),
    )


def _backfill(table: Table) -> Backfill:
    table.allow(named.name for named in fields(Backfill))
    default = Backfill()
    read = Backfill(
        batch_ms=table.whole("batch_ms", default.batch_ms, least=1),
        batch_size=table.whole("batch_size", default.batch_size, least=1),
        max_batch_size=table.whole("max_batch_size", default.max_batch_size, least=1),
        modules=table.texts("modules"),
        keep_undo=table.duration("keep_undo", default.keep_undo),
        approval=_approval(table.table("approval")),
        **_throttling(table),
        on_event=table.texts("on_event"),
    )
    if read.batch_size > read.max_batch_size:
        raise table.bad("batch_size", f"at most max_batch_size, {read.max_batch_size}", read.batch_size)
    return read


def _approval(table: Table) -> Approval:
    table.allow(named.name for named in fields(Approval))
    return Approval(
        rows=table.whole("rows", 0) if "rows" in table.values else None, tables=table.globs("tables")
    )


def _throttling(table: Table) -> Throttled:
    """Of the fields that say what a run is held by; what reads them is imported where there are any."""
    if not {"mode", "windows", "throttles", "max_wal", "sensors"} & table.values.keys():
        return {}
    from evolve.config_throttling import check_throttling, max_wal, sensors_of

    check_throttling(table)
    return {
        "mode": table.text("mode", None) or Backfill().mode,
        "windows": table.texts("windows"),
        "throttles": table.texts("throttles"),
        "max_wal": max_wal(table),
        "sensors": MappingProxyType(sensors_of(table)),
    }


def _partition(tables: Table) -> Mapping[str, PartitionedTable]:
    found: dict[str, PartitionedTable] = {}
    for name in tables.values:
        table = tables.table(name)
        method = table.text("method", None)
        if not method:
            raise table.bad("method", "the name of a partitioner, such as range, list or hash", None)
        options = {key: value for key, value in table.values.items() if key != "method"}
        found[name] = PartitionedTable(method, MappingProxyType(options))
    return MappingProxyType(found)
