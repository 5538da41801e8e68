"""What was found of partitions that somebody else made, for people and for programs."""

from __future__ import annotations

import textwrap

from evolve.counted import counted
from evolve.partition.adopt import Adoption
from evolve.report.partition import conflict_lines, due_data, partitions_data

SCHEMA = 1
_WIDTH = 110


def adoption_text(adoption: Adoption, *, done: bool) -> str:
    table, partitioned = adoption.table.plain, adoption.partitioned
    count = counted(len(partitioned.partitions), "partition")
    lines = [
        f"{table}: {partitioned.method} ({', '.join(partitioned.key)}), {count}, "
        f"{adoption.fitting} of them as the method {adoption.method} would make them"
    ]
    if adoption.settings:
        lines += ["", *adoption.settings.splitlines(), ""]
    else:
        lines.append("how it is partitioned stands in the settings")
    for remark in adoption.remarks:
        lines += textwrap.wrap(remark, _WIDTH, initial_indent="- ", subsequent_indent="  ")
    if adoption.due.create:
        names = ", ".join(partition.name for partition in adoption.due.create)
        lines += textwrap.wrap(
            f"missing: {names}; make them: evolve partition premake {adoption.table.shell}",
            _WIDTH,
            subsequent_indent="  ",
        )
    lines += conflict_lines(adoption.due)
    marked = len(adoption.unmarked)
    wrote = [f"the settings into {adoption.file}"] if adoption.file is not None else []
    wrote += [f"a mark into the comments of {counted(marked, 'partition')}"] if marked else []
    if done:
        lines.append(f"wrote {' and '.join(wrote)}" if wrote else "there was nothing to write")
    elif wrote:
        lines.append(f"nothing was changed; --run writes {' and '.join(wrote)}")
    else:
        lines.append("it is adopted: there is nothing to write")
    return "\n".join(lines)


def adoption_data(adoption: Adoption, *, done: bool) -> dict[str, object]:
    return {
        "schema": SCHEMA,
        "table": adoption.table.plain,
        "method": adoption.method,
        "options": dict(adoption.options),
        "partitions": partitions_data(adoption.partitioned.partitions),
        "fitting": adoption.fitting,
        "settings": adoption.settings,
        "file": str(adoption.file) if adoption.file is not None else None,
        "unmarked": [leaf.name for leaf in adoption.unmarked],
        "remarks": list(adoption.remarks),
        "due": due_data(adoption.due),
        "written": done,
    }
