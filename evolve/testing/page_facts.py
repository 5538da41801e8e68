"""Facts on a rule's page: sizes and write rates of the tables of its examples, as if a live database had told them.

    ```toml facts
    orders = { rows = 40_000_000, mb = 9_000, updates = 200, hot_updates = 150 }
    ```

`mb` is the table without its indexes, `updates` and `hot_updates` are rows per second; a table that is not listed is
not known.
"""

from __future__ import annotations

import re
import tomllib
from datetime import UTC, datetime, timedelta
from types import MappingProxyType

from evolve.lint.facts import Facts, RelationFacts, Writes
from evolve.lint.thresholds import MB
from evolve.sql.names import QualifiedName

_FENCE = re.compile(r"^```toml facts\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_TAKEN = datetime(2026, 1, 2, tzinfo=UTC)
_DAY = timedelta(days=1)


def facts_of(page: str) -> Facts | None:
    """None where the page has none."""
    found = _FENCE.search(page)
    if found is None:
        return None
    relations = {
        QualifiedName(name): _relation(QualifiedName(name), values)
        for name, values in tomllib.loads(found[1]).items()
    }
    return Facts(
        taken=_TAKEN,
        server_version=18,
        standby=False,
        statistics_since=_TAKEN - _DAY,
        schemas=None,
        approximate=False,
        relations=MappingProxyType(relations),
    )


def _relation(name: QualifiedName, values: dict[str, int]) -> RelationFacts:
    seconds = int(_DAY.total_seconds())
    return RelationFacts(
        name=name,
        kind="table",
        partition_of=None,
        rows=values["rows"],
        dead_rows=0,
        heap_bytes=values["mb"] * MB,
        index_bytes=values["mb"] * MB // 4,
        toast_bytes=0,
        writes=Writes(0, values.get("updates", 0) * seconds, values.get("hot_updates", 0) * seconds, 0),
        sequential_scans=0,
        index_scans=0,
        last_vacuum=None,
        last_analyze=_TAKEN,
    )
