"""What `evolve lint --fix` would write, as a diff for people and as edits for programs."""

from __future__ import annotations

import json
import os
from pathlib import Path

from evolve.lint.fixes import FIXES
from evolve.lint.fixes.mending import Mending
from evolve.lint.model import Report
from evolve.report import json as report_json
from evolve.report.diff import diff as text_diff

SCHEMA = 1


def diff(mending: Mending, root: Path | None = None) -> str:
    """A unified diff of all files, styled; what `git apply` takes where the style is taken away."""
    base = root or Path.cwd()
    return "".join(text_diff(_name(each.file, base), each.old_text, each.new_text) for each in mending.mended)


def left(mending: Mending, root: Path | None = None) -> str:
    """Why those findings are not mended that a fix or a plan is there for; empty where there are none."""
    base = root or Path.cwd()
    told = dict.fromkeys(
        f"{_name(each.before.place.file, base)}:{each.before.place.line}: {each.finding.rule} "
        f"{each.finding.name}: {each.reason}"
        for each in mending.left
        if each.finding.rule in FIXES or (each.finding.fix or "").startswith("evolve plan ")
    )
    return "\n".join(("not mended:", *(f"  {line}" for line in told))) if told else ""


def render_json(mending: Mending, report: Report, *, written: bool, root: Path | None = None) -> str:
    """
    Args:
        report: on the files as they are now, `written` or not.
    """
    base = root or Path.cwd()
    return json.dumps(
        {
            "schema": SCHEMA,
            "written": written,
            "files": [
                {
                    "file": _name(each.file, base),
                    "fixes": [
                        {"rule": finding.rule, "name": finding.name, "title": title}
                        for finding, title in each.fixes
                    ],
                    "edits": [
                        {"first_line": first, "end_line": end, "text": text}
                        for first, end, text in each.changes
                    ],
                }
                for each in mending.mended
            ],
            "left": [
                {
                    "rule": each.finding.rule,
                    "name": each.finding.name,
                    "file": _name(each.finding.place.file, base),
                    "line": (each.finding if written else each.before).place.line,
                    "reason": each.reason,
                    "command": each.finding.fix if (each.finding.fix or "").startswith("evolve ") else None,
                }
                for each in mending.left
            ],
            "report": json.loads(report_json.render(report)),
        },
        indent=2,
        ensure_ascii=False,
    )


def _name(file: Path, base: Path) -> str:
    absolute = file.absolute()
    return os.path.relpath(absolute, base) if absolute.is_relative_to(base) else str(file)
