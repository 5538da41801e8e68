"""Units of schedulers that run upkeep: cron, systemd, Kubernetes, pg_cron; and the least a role needs for it."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, assert_never

from evolve.errors import Misuse
from evolve.sql.names import QualifiedName, literal, quote, shorten
from evolve.sql.statements import Statement

Scheduler = Literal["cron", "systemd", "k8s", "pg_cron"]
SCHEDULERS: tuple[Scheduler, ...] = ("cron", "systemd", "k8s", "pg_cron")

_CHECK_MINUTES = 15


class NoImage(Misuse):
    def __init__(self) -> None:
        super().__init__(
            "a CronJob runs an image, and none is named",
            fix="name one that has evolve and the settings in it: --image registry.example.org/app:1.0",
        )


class NoSuchTime(Misuse):
    def __init__(self, text: str) -> None:
        super().__init__(f'"{text}" is no time of day', fix="write it as 03:17")


@dataclass(frozen=True, slots=True)
class Ahead:
    """A partition that a scheduler inside the database makes by itself.

    Args:
        due: when it is to be made.
        statements: that make and attach it.
    """

    partition: QualifiedName
    due: datetime
    statements: tuple[Statement, ...]


@dataclass(frozen=True, slots=True)
class Upkeep:
    """
    Args:
        owners: of the tables, as SQL.
        journal: evolve's schema is in this database.
        folder: of the project, absolute.
        options: of each command, such as ("--models",).
        hour, minute: of premake, in the zone of the scheduler; retain comes half an hour later.
        image: for Kubernetes.
        ahead: for pg_cron, by table.
    """

    tables: tuple[QualifiedName, ...]
    owners: tuple[str, ...]
    journal: bool
    role: str
    database: str
    folder: str
    options: tuple[str, ...]
    hour: int
    minute: int
    image: str | None = None
    ahead: tuple[tuple[QualifiedName, tuple[Ahead, ...]], ...] = ()


def read_time(text: str) -> tuple[int, int]:
    """Hour and minute.

    Raises:
        NoSuchTime: it is none.
    """
    hour, colon, minute = text.partition(":")
    if not (colon and hour.isdecimal() and minute.isdecimal() and int(hour) < 24 and int(minute) < 60):
        raise NoSuchTime(text)
    return int(hour), int(minute)


def schedule_text(upkeep: Upkeep, scheduler: Scheduler) -> str:
    """The role, then the unit.

    Raises:
        NoImage: Kubernetes needs one.
    """
    match scheduler:
        case "cron":
            unit = _cron(upkeep)
        case "systemd":
            unit = _systemd(upkeep)
        case "k8s":
            unit = _k8s(upkeep)
        case "pg_cron":
            unit = _pg_cron(upkeep)
        case _:
            assert_never(scheduler)
    comment = "--" if scheduler == "pg_cron" else "#"
    role = _role(upkeep)
    if scheduler != "pg_cron":
        role = [f"#   {line}" for line in role]
    head = [f"{comment} The role, to be made once by an administrator in database {upkeep.database}:"]
    return "\n".join([*head, *role, "", *unit])


def _role(upkeep: Upkeep) -> list[str]:
    role = quote(upkeep.role)
    lines = [f"CREATE ROLE {role} LOGIN;"]
    # ATTACH, DETACH and DROP are the owner's; nothing less will do.
    lines += [f"GRANT {owner} TO {role};" for owner in upkeep.owners]
    if upkeep.journal:
        lines += [
            f"GRANT USAGE ON SCHEMA evolve TO {role};",
            f"GRANT SELECT ON ALL TABLES IN SCHEMA evolve TO {role};",
        ]
    return lines


def _runs(upkeep: Upkeep) -> list[tuple[str, int, int]]:
    later = upkeep.hour * 60 + upkeep.minute + 30
    # Apart: where the one is stuck, the other still runs.
    return [("premake", upkeep.hour, upkeep.minute), ("retain", later // 60 % 24, later % 60)]


def _words(upkeep: Upkeep, verb: str) -> list[str]:
    return ["evolve", "partition", verb, *upkeep.options]


def _cron(upkeep: Upkeep) -> list[str]:
    folder = shlex.quote(upkeep.folder)
    lines = [
        "# EVOLVE_DATABASE_URL names the server, as this role; its password belongs into ~/.pgpass.",
        "# Status 1 of the last line is a warning, 2 is critical; cron mails what it prints.",
    ]
    # A percent sign ends a command of cron.
    for verb, hour, minute in _runs(upkeep):
        command = f"cd {folder} && {shlex.join(_words(upkeep, verb))}".replace("%", "\\%")
        lines.append(f"{minute} {hour} * * *  {command}")
    command = f"cd {folder} && {shlex.join(_words(upkeep, 'check'))}".replace("%", "\\%")
    lines.append(f'*/{_CHECK_MINUTES} * * * *  out=$({command}) || echo "$out"')
    return lines


def _systemd(upkeep: Upkeep) -> list[str]:
    times = [(verb, f"*-*-* {hour:02}:{minute:02}:00") for verb, hour, minute in _runs(upkeep)]
    times.append(("check", f"*:0/{_CHECK_MINUTES}"))
    folder = upkeep.folder.replace("%", "%%")
    lines: list[str] = []
    for verb, when in times:
        command = " ".join(_systemd_word(word) for word in ("/usr/bin/env", *_words(upkeep, verb)))
        lines += [
            f"# /etc/systemd/system/evolve-partition-{verb}.service",
            "[Unit]",
            f"Description=evolve partition {verb}",
            "After=network-online.target",
            "",
            "[Service]",
            "Type=oneshot",
            f"WorkingDirectory={folder}",
            "# EVOLVE_DATABASE_URL=postgresql://… as the role above; readable by root alone.",
            "EnvironmentFile=/etc/evolve/upkeep.env",
            f"ExecStart={command}",
            "",
            f"# /etc/systemd/system/evolve-partition-{verb}.timer",
            "[Timer]",
            f"OnCalendar={when}",
            "Persistent=true",
            "",
            "[Install]",
            "WantedBy=timers.target",
            "",
        ]
    names = " ".join(f"evolve-partition-{verb}.timer" for verb, _ in times)
    return [*lines, f"# systemctl daemon-reload && systemctl enable --now {names}"]


def _systemd_word(word: str) -> str:
    escaped = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return f'"{escaped}"' if not word or any(sign in word for sign in " \t\"'\\;") else escaped


def _k8s(upkeep: Upkeep) -> list[str]:
    if upkeep.image is None:
        raise NoImage
    times = [(verb, f"{minute} {hour} * * *") for verb, hour, minute in _runs(upkeep)]
    times.append(("check", f"*/{_CHECK_MINUTES} * * * *"))
    lines: list[str] = []
    for verb, when in times:
        # A YAML that is older than 1.2 reads some bare words as something else: all is quoted.
        lines += [
            "---",
            "apiVersion: batch/v1",
            "kind: CronJob",
            "metadata:",
            f"  name: evolve-partition-{verb}",
            "spec:",
            f"  schedule: {json.dumps(when)}",
            "  concurrencyPolicy: Forbid",
            "  jobTemplate:",
            "    spec:",
            "      backoffLimit: 0",
            "      template:",
            "        spec:",
            "          restartPolicy: Never",
            "          containers:",
            "            - name: evolve",
            f"              image: {json.dumps(upkeep.image)}",
            f"              command: {json.dumps(_words(upkeep, verb))}",
            "              env:",
            "                - name: EVOLVE_DATABASE_URL",
            "                  valueFrom:",
            "                    secretKeyRef: {name: evolve-upkeep, key: database-url}",
        ]
    return lines


def _pg_cron(upkeep: Upkeep) -> list[str]:
    lines = [
        "-- pg_cron runs SQL alone: the partitions of the next year stand here, each to be made when its time comes.",
        "-- Write this anew within a year: evolve partition check warns when it was forgotten.",
        "-- Retention is not here: no procedure may detach concurrently. Run evolve partition retain from elsewhere.",
        "CREATE SCHEMA IF NOT EXISTS evolve;",
    ]
    for table, ahead in upkeep.ahead:
        name = QualifiedName(shorten("premake", f"{table.schema}_{table.name}"), "evolve")
        lines += ["", f"CREATE OR REPLACE PROCEDURE {name.full}() LANGUAGE plpgsql AS $evolve$", "BEGIN"]
        for each in ahead:
            lines += [
                f"  IF clock_timestamp() >= {literal(each.due.isoformat())}::timestamptz "
                f"AND to_regclass({literal(each.partition.full)}) IS NULL THEN",
                "    SET LOCAL lock_timeout = '500ms';",
                *(f"    {statement.sql};" for statement in each.statements),
                "    COMMIT;",
                "  END IF;",
            ]
        lines += ["  NULL;", "END", "$evolve$;"]
        hourly, weekly = f"{upkeep.minute} * * * *", f"{upkeep.minute} {upkeep.hour} * * 0"
        lines += [
            _job(upkeep, f"evolve premake {table.plain}", hourly, f"CALL {name.full}()"),
            _job(upkeep, f"evolve analyze {table.plain}", weekly, f"ANALYZE {table.full}"),
        ]
    return lines


def _job(upkeep: Upkeep, name: str, when: str, command: str) -> str:
    words: Sequence[str] = (name, when, command, upkeep.database, upkeep.role)
    return f"SELECT cron.schedule_in_database({', '.join(literal(word).strip() for word in words)});"
