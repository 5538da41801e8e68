"""Scores a linter on the cases: how many hazards it finds, and how often it cries wolf.

    python tests/benchmarks/lint_cases/score.py
    python tests/benchmarks/lint_cases/score.py --tool "squawk --reporter json {sql}"
    python tests/benchmarks/lint_cases/score.py --tool "other-linter --json {file}" --least error

{file} is the revision, {sql} a file with the SQL that Alembic renders for it, {revision} its id. The tool prints JSON;
every object in it with a line and with a rule, code, check or message is a finding. A case is flagged where there is
one of at least the severity asked for; a finding without a severity counts as an error.
"""

from __future__ import annotations

import argparse
import json
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from cases import FOLDER, HAZARDS, Case, all_cases

EVOLVE = f"{sys.executable} -m evolve lint {{revision}} --format json"
_RULE = ("rule", "rule_name", "rule_id", "code", "check", "id", "message")
_LINE = ("line", "line_number", "lineno", "startLine", "start_line")
_SEVERITY = ("severity", "level", "kind")
_LEVELS = {"info": 1, "note": 1, "notice": 1, "hint": 1, "warning": 2, "warn": 2, "error": 3}


@dataclass(frozen=True, slots=True)
class Score:
    """Names of the cases: rightly flagged, missed, flagged though safe, rightly passed."""

    found: tuple[str, ...]
    missed: tuple[str, ...]
    false: tuple[str, ...]
    passed: tuple[str, ...]

    @property
    def recall(self) -> float:
        """Share of the hazardous cases that are flagged."""
        return len(self.found) / max(len(self.found) + len(self.missed), 1)

    @property
    def precision(self) -> float:
        """Share of the flagged cases that are hazardous."""
        return len(self.found) / max(len(self.found) + len(self.false), 1)

    def as_json(self) -> dict[str, object]:
        return {
            "recall": round(self.recall, 3),
            "precision": round(self.precision, 3),
            "found": list(self.found),
            "missed": list(self.missed),
            "false": list(self.false),
            "passed": list(self.passed),
        }


def score(cases: Sequence[Case], tool: str, least: str) -> Score:
    """Run `tool` on each case.

    Raises:
        ValueError: what it printed is no JSON.
    """
    flagged = {case.name for case in cases if flags(case, tool, _LEVELS[least])}
    return Score(
        found=tuple(case.name for case in cases if case.hazards and case.name in flagged),
        missed=tuple(case.name for case in cases if case.hazards and case.name not in flagged),
        false=tuple(case.name for case in cases if not case.hazards and case.name in flagged),
        passed=tuple(case.name for case in cases if not case.hazards and case.name not in flagged),
    )


def flags(case: Case, tool: str, least: int) -> bool:
    """Whether the tool finds anything of at least that level in the case."""
    with tempfile.TemporaryDirectory() as directory:
        sql = Path(directory) / f"{case.name}.sql"
        if "{sql}" in tool:
            sql.write_text(rendered(case), encoding="utf-8")
        words = [word.format(file=case.file, sql=sql, revision=case.name) for word in shlex.split(tool)]
        done = subprocess.run(
            words, capture_output=True, text=True, check=False, cwd=FOLDER, stdin=subprocess.DEVNULL
        )
    if not done.stdout.strip():
        if done.returncode not in (0, 1):
            raise ValueError(f"{case.name}: {done.stderr.strip()}")
        return False
    try:
        printed = json.loads(done.stdout)
    except json.JSONDecodeError as error:
        raise ValueError(f"{case.name}: the tool prints no JSON: {done.stdout[:200]}") from error
    return any(level >= least for level in findings_in(printed))


def rendered(case: Case) -> str:
    """The SQL that Alembic would send."""
    done = subprocess.run(
        [sys.executable, "-m", "alembic", "upgrade", f"{case.before}:{case.name}", "--sql"],
        capture_output=True,
        text=True,
        check=True,
        cwd=FOLDER,
    )
    return done.stdout


def findings_in(value: object) -> Iterator[int]:
    """The level of each finding in `value`, wherever it stands."""
    if isinstance(value, list):
        for item in value:
            yield from findings_in(item)
    elif isinstance(value, dict):
        if any(key in value for key in _RULE) and any(key in value for key in _LINE):
            words = [str(value[key]).lower() for key in _SEVERITY if key in value]
            yield next((_LEVELS[word] for word in words if word in _LEVELS), 3)
        for inner in value.values():
            yield from findings_in(inner)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tool", default=EVOLVE, help="its command; evolve unless given")
    parser.add_argument(
        "--least", choices=sorted(_LEVELS), default="warning", help="least severity that counts"
    )
    parser.add_argument("--json", action="store_true", help="print the score as JSON")
    given = parser.parse_args()
    cases = all_cases()
    try:
        result = score(cases, given.tool, given.least)
    except (OSError, ValueError) as error:
        parser.error(str(error))
    if given.json:
        sys.stdout.write(json.dumps(result.as_json(), indent=2) + "\n")
        return 0
    lines = [f"{len(cases)} cases: recall {result.recall:.0%}, precision {result.precision:.0%}"]
    for hazard in HAZARDS:
        of_it = [case.name for case in cases if hazard in case.hazards]
        lines.append(f"  {hazard}: {sum(name in result.found for name in of_it)} of {len(of_it)} found")
    lines += [f"missed: {name}" for name in result.missed] + [f"false alarm: {name}" for name in result.false]
    sys.stdout.write("\n".join(lines) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
