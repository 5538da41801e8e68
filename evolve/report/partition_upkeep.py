"""What upkeep did and found, as text, as JSON, and as metrics that Prometheus reads."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from evolve.partition.health import Health, Level
from evolve.partition.upkeep import Checked, Retained
from evolve.report.partition import SCHEMA, partitions_data

_WORDS = {Level.OK: "ok", Level.WARNING: "warning", Level.CRITICAL: "critical"}
_WOULD = {
    "detached": "would be detached",
    "dropped": "would be dropped",
    "finalized": "would be detached to the end",
}
_DID = {"detached": "detached", "dropped": "dropped", "finalized": "detached to the end"}


def retained_text(retained: Sequence[Retained]) -> str:
    lines: list[str] = []
    for table in retained:
        words = _WOULD if table.dry_run else _DID
        lines += [
            f"{table.table.plain}: {words[each.what]} {each.partition}: {each.reason}" for each in table.done
        ]
        lines += [f"{table.table.plain}: kept {each.partition}: {each.reason}" for each in table.kept]
        if not table.done and not table.kept and table.error is None:
            lines.append(f"{table.table.plain}: nothing is past its retention")
    return "\n".join(lines)


def retained_data(retained: Sequence[Retained], *, dry_run: bool) -> dict[str, object]:
    return {
        "schema": SCHEMA,
        "dry_run": dry_run,
        "tables": [
            {
                "table": table.table.plain,
                "done": [
                    {"partition": each.partition, "what": each.what, "reason": each.reason}
                    for each in table.done
                ],
                "kept": [
                    {"partition": each.partition, "reason": each.reason, "waits": each.waits}
                    for each in table.kept
                ],
                "error": table.error.what if table.error else None,
            }
            for table in retained
        ],
    }


def checked_text(checked: Sequence[Checked]) -> str:
    lines: list[str] = []
    for table in checked:
        ahead = "" if table.health is None else _ahead(table.health)
        lines.append(f"{table.table.plain}: {_WORDS[table.level]}{ahead}")
        for each in table.ailments:
            lines.append(f"  {_WORDS[each.level]}: {each.what}")
            if each.fix:
                lines.append(f"    fix: {each.fix}")
    return "\n".join(lines)


def _ahead(health: Health) -> str:
    count = f", {len(health.partitioned.partitions):,} partitions"
    if health.future.days is not None:
        return f"{count}, {health.future.days:.1f} days ahead"
    if health.future.keys is not None:
        return f"{count}, {health.future.keys:,} keys ahead"
    return count


def checked_data(checked: Sequence[Checked]) -> dict[str, object]:
    return {
        "schema": SCHEMA,
        "level": _WORDS[max((table.level for table in checked), default=Level.OK)],
        "tables": [
            {
                "table": table.table.plain,
                "level": _WORDS[table.level],
                **({} if table.health is None else _health_data(table.health)),
                "ailments": [
                    {"name": each.name, "level": _WORDS[each.level], "what": each.what, "fix": each.fix}
                    for each in table.ailments
                ],
            }
            for table in checked
        ],
    }


def _health_data(health: Health) -> dict[str, object]:
    return {
        "partitions": len(health.partitioned.partitions),
        "days_ahead": health.future.days,
        "keys_ahead": health.future.keys,
        "missing": partitions_data(health.due.create),
        "default_rows": health.found.default_rows,
        "pending_detach": list(health.found.pending),
        "invalid_indexes": list(health.found.invalid),
        "expired": [each.partition.name for each in health.expired],
        "overdue": list(health.found.overdue),
    }


def metrics_text(checked: Sequence[Checked]) -> str:
    """In the exposition format of Prometheus, for a text file collector; numbers that are not known are left out."""
    healths = [(table.table.plain, table.health) for table in checked if table.health is not None]
    lines = _metric(
        "level", "0 ok, 1 warning, 2 critical", ((table.table.plain, int(table.level)) for table in checked)
    )
    lines += _metric("partitions", "attached", ((name, len(h.partitioned.partitions)) for name, h in healths))
    lines += _metric(
        "future_days",
        "to the end of the last partition that follows now without a gap",
        ((name, h.future.days) for name, h in healths),
    )
    lines += _metric("future_keys", "the same, of keys", ((name, h.future.keys) for name, h in healths))
    lines += _metric(
        "missing", "that the scheme wants now", ((name, len(h.due.create)) for name, h in healths)
    )
    lines += _metric(
        "default_rows",
        "in the default partition, counted to 100000",
        ((n, h.found.default_rows) for n, h in healths),
    )
    lines += _metric("pending_detach", "interrupted", ((name, len(h.found.pending)) for name, h in healths))
    lines += _metric(
        "invalid_indexes", "of all partitions", ((name, len(h.found.invalid)) for name, h in healths)
    )
    lines += _metric("expired", "still attached", ((name, len(h.expired)) for name, h in healths))
    lines += _metric(
        "overdue", "detached, not dropped", ((name, len(h.found.overdue)) for name, h in healths)
    )
    return "\n".join(lines)


def _metric(name: str, help_text: str, values: Iterable[tuple[str, float | None]]) -> list[str]:
    known = [(table, value) for table, value in values if value is not None]
    if not known:
        return []
    metric = f"evolve_partition_{name}"
    lines = [f"# HELP {metric} {help_text}", f"# TYPE {metric} gauge"]
    for table, value in known:
        label = table.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
        lines.append(f'{metric}{{table="{label}"}} {value:g}')
    return lines
