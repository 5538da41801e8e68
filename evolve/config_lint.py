"""Settings of the linter: `[tool.evolve.lint]` as a frozen value.

[tool.evolve.lint]
fail_on = "warning"
baseline = "evolve-baseline.jsonl"

[tool.evolve.lint.severity]
EV171 = "error"                           # an id, a name, or a family such as 7xx
index-redundant = "off"

[[tool.evolve.lint.allow]]
rules = ["drop-column"]
files = ["versions/2019_*.py"]            # without it, everywhere
because = "they were applied before anybody linted"
until = 2026-12-31                        # without it, for ever
"""

from __future__ import annotations

import re
from dataclasses import field, fields
from pathlib import Path
from typing import get_args

from evolve.config_table import FailOn, Required, Table, line_of
from evolve.lint.settings import AllowedBySetting, SeveritySetting, SeverityWord
from evolve.lint.thresholds import Thresholds
from evolve.values import dataclass

_HEADER = re.compile(r"\s*\[\[(?:tool\.evolve\.)?lint\.allow\]\]")


@dataclass(frozen=True, slots=True)
class Lint:
    """
    Args:
        fail_on: the least severe finding that makes the exit status 1.
        ignore: ids, names or families of rules.
        enable: what is opt-in and asked all the same: ids, names, families such as "7xx", or "all".
        required_columns: what the rule required-column-missing asks every new table for.
        import_ignores: other tools whose ignore lists hold here too, such as "squawk".
        exclude: globs over revision files, relative to the script directory, or revision ids.
        postgres_version: the oldest major version that the revisions will meet.
        time_limit: seconds that reading one revision may take.
        facts: what `evolve facts export` wrote, relative paths starting at the configuration file's folder.
        sizes: where a small table ends and a hot one begins in those facts.
        require: the level of compatibility that every rollout must have; None requires none.
        window: how many of the last revisions every release among them must survive; 0 looks at the rollout alone.
        models: files, folders, globs or packages that hold the mapped classes; those that env.py imports unless given.
        allow: findings that are allowed, each with its reason.
        severity: how severe the findings of a rule are, whatever the rule says.
        docs_url: where the site of evolve's pages is published, which reports link to.
        baseline: findings that were there when linting began; None is evolve-baseline.jsonl, where there is one.
        postgres_versions: several that the revisions will meet; `postgres_version` alone where it is empty.
    """

    fail_on: FailOn = "error"
    ignore: tuple[str, ...] = ()
    enable: tuple[str, ...] = ()
    required_columns: tuple[str, ...] = ("id",)
    import_ignores: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    postgres_version: int = 15
    time_limit: float = 10.0
    facts: Path | None = None
    sizes: Thresholds = field(default_factory=Thresholds)
    require: Required | None = None
    window: int = 0
    models: tuple[str, ...] = ()
    allow: tuple[AllowedBySetting, ...] = ()
    severity: tuple[SeveritySetting, ...] = ()
    baseline: Path | None = None
    docs_url: str | None = None
    postgres_versions: tuple[int, ...] = ()


def read_lint(table: Table) -> Lint:
    table.allow(named.name for named in fields(Lint))
    facts, baseline = table.text("facts", None), table.text("baseline", None)
    default = Lint()
    return Lint(
        fail_on=table.fail_on("fail_on", default.fail_on),
        ignore=table.texts("ignore"),
        enable=table.texts("enable"),
        required_columns=table.texts("required_columns") or default.required_columns,
        import_ignores=table.texts("import_ignores"),
        exclude=table.globs("exclude"),
        postgres_version=table.whole("postgres_version", default.postgres_version, least=14, most=18),
        postgres_versions=_versions(table),
        time_limit=table.seconds("time_limit", default.time_limit),
        facts=table.file.parent / facts if facts else None,
        sizes=_sizes(table.table("sizes")),
        require=table.required("require"),
        window=table.whole("window", default.window),
        models=table.texts("models"),
        allow=_allow(table.tables("allow")),
        severity=_severities(table.table("severity")),
        baseline=table.file.parent / baseline if baseline else None,
        docs_url=_web_address(table, "docs_url"),
    )


def _versions(table: Table) -> tuple[int, ...]:
    key = "postgres_versions"
    value = table.values.get(key, [])
    if value and "postgres_version" in table.values:
        raise table.bad("postgres_version", f"left out beside {key}", table.values["postgres_version"])
    if isinstance(value, list) and all(isinstance(each, int) and 14 <= each <= 18 for each in value):
        return tuple(sorted(set(value)))
    raise table.bad(key, "a list of whole numbers from 14 to 18", value)


def _web_address(table: Table, key: str) -> str | None:
    found = table.text(key, None)
    if found is not None and not re.fullmatch(r"https?://[!-~]+", found):
        raise table.bad(key, "an address that begins with https:// or http://", found)
    return found


def _sizes(table: Table) -> Thresholds:
    names = [named.name for named in fields(Thresholds)]
    table.allow(names)
    default = Thresholds()
    # Speeds divide; none is 0.
    return Thresholds(
        **{
            name: table.whole(name, getattr(default, name), least=1 if name.endswith("mb_s") else 0)
            for name in names
        }
    )


def _allow(tables: tuple[Table, ...]) -> tuple[AllowedBySetting, ...]:
    if not tables:
        return ()
    file = tables[0].file
    begin = [
        n for n, line in enumerate(file.read_text(encoding="utf-8").split("\n"), 1) if _HEADER.match(line)
    ]
    # Each run asks, and the exact way is slow.
    plain = len(begin) == len(tables) and tables[0].name == "lint.allow[1]"
    lines = begin if plain else [line_of(file, table.name) for table in tables]
    return tuple(_allowed(table, line) for table, line in zip(tables, lines, strict=True))


def _allowed(table: Table, line: int) -> AllowedBySetting:
    table.allow(("rules", "files", "because", "until"))
    rules, because = table.texts("rules"), table.text("because", None)
    if not rules:
        raise table.bad("rules", 'a list of rules, such as ["drop-column"]', table.values.get("rules"))
    if because is None or not any(map(str.isalnum, because)):
        raise table.bad("because", "the reason why it is allowed", because)
    if "files" in table.values and not table.values["files"]:
        raise table.bad("files", "a list of globs; leave it out to allow it everywhere", [])
    return AllowedBySetting(
        rules, because.strip(), table.globs("files"), table.day("until"), table.file, line
    )


def _severities(table: Table) -> tuple[SeveritySetting, ...]:
    return tuple(SeveritySetting(word, _severity(table, word)) for word in table.values)


def _severity(table: Table, word: str) -> SeverityWord:
    for choice in get_args(SeverityWord):
        if table.values[word] == choice:
            found: SeverityWord = choice
            return found
    raise table.bad(word, f"one of {', '.join(get_args(SeverityWord))}", table.values[word])
