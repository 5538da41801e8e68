"""The deployed versions, as text and as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence

from evolve.counted import counted
from evolve.plan.deployed import Use, Version
from evolve.plan.wording import duration

SCHEMA = 1


def versions_text(found: Sequence[Version]) -> str:
    if not found:
        return "no version has reported yet; an application reports with evolve.client.register(...)"
    return "\n".join(_version(each) for each in found)


def _version(each: Version) -> str:
    live = [instance for instance in each.instances if instance.state == "live"]
    shown = live or each.instances
    since = min(instance.since for instance in shown)
    state = counted(len(live), "instance") if live else shown[0].state
    if each.mapped is None:
        mapped = "has not told what it maps" if live else "maps nothing any more"
    else:
        columns = sum(len(names) for names in each.mapped.values() if names is not None)
        mapped = f"maps {counted(columns, 'column')} of {counted(len(each.mapped), 'relation')}"
    seen = duration(min(instance.idle for instance in shown))
    return (
        f"{each.application} {each.version}: {state}, since {since:%Y-%m-%d %H:%M}, last seen {seen} ago, "
        f"role {each.role}, {mapped}"
    )


def versions_json(found: Sequence[Version]) -> str:
    versions = [
        {
            "application": each.application,
            "version": each.version,
            "role": each.role,
            "live": each.live,
            "instances": [
                {
                    "process": instance.process,
                    "state": instance.state,
                    "since": instance.since.isoformat(),
                    "seen": instance.seen.isoformat(),
                    "idle": round(instance.idle, 1),
                }
                for instance in each.instances
            ],
            "maps": each.mapped,
        }
        for each in found
    ]
    return json.dumps({"schema": SCHEMA, "versions": versions}, indent=2)


def users_text(found: Sequence[Use], what: str) -> str:
    if not found:
        return f"no live version maps {what}"
    return "\n".join(
        f"{use.application} {use.version} ({counted(use.instances, 'instance')}, last seen {duration(use.idle)} ago) "
        + (f"maps {', '.join(use.maps)}" if use.maps is not None else "has not told yet what it maps")
        for use in found
    )


def users_json(found: Sequence[Use]) -> str:
    versions = [
        {
            "application": use.application,
            "version": use.version,
            "instances": use.instances,
            "since": use.since.isoformat(),
            "idle": round(use.idle, 1),
            "maps": use.maps,
        }
        for use in found
    ]
    return json.dumps({"schema": SCHEMA, "users": versions}, indent=2)
