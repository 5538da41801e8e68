"""`make test-matrix`: what is claimed of locks and recipes, held against PostgreSQL 14 to 18, one after another.

Usage: matrix.py [--majors 14,17] [ARGUMENTS OF PYTEST …]. A version that fails does not stop the others; the exit
status is 1 if any failed.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import bare_servers

ROOT = Path(__file__).resolve().parent.parent
TESTS = (
    "tests/integration/test_effects.py",
    "tests/integration/test_known_functions.py",
    "tests/integration/test_rule_pages.py",
    "tests/integration/test_schema_model.py",
    "tests/integration/test_table_facts.py",
    "tests/integration/test_type_changes.py",
    "tests/integration/recipes",
    "tests/integration/test_convert_carries.py",
    "tests/integration/test_convert_inbound.py",
    "tests/integration/test_convert_methods.py",
    "tests/integration/test_convert_refusals.py",
    "tests/integration/test_sync.py",
    "tests/integration/test_cross_sync.py",
    "tests/integration/test_junction_sync.py",
    "tests/scenarios/recipes",
)
NO_SERVER = "tests/integration/test_rule_pages.py::TestPages"  # the same whatever the version


@dataclass(frozen=True, slots=True)
class Outcome:
    version: str
    passed: bool
    said: str
    seconds: float


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--majors", default="", help="major versions, with commas; all unless given")
    given, pytest_arguments = options.parse_known_args()
    builds = bare_servers.for_this_machine()
    if not builds:
        print("there are no bare servers for this kind of machine: only Linux on x86_64 and aarch64")
        return 2
    wanted = [word for word in given.majors.split(",") if word]
    unknown = set(wanted) - {str(build.major) for build in builds}
    if unknown:
        print(f"no server here is of version {', '.join(sorted(unknown))}")
        return 2
    chosen = [build for build in builds if not wanted or str(build.major) in wanted]
    outcomes = [_try(build, pytest_arguments) for build in chosen]
    print()
    for outcome in outcomes:
        verdict = "passed" if outcome.passed else "FAILED"
        print(f"PostgreSQL {outcome.version:<8} {verdict}  {outcome.seconds:5.0f} s  {outcome.said}")
    return 0 if all(outcome.passed for outcome in outcomes) else 1


def _try(build: bare_servers.Build, pytest_arguments: list[str]) -> Outcome:
    version = build.version.partition("-")[0].removesuffix(".0")
    print(f"\n== PostgreSQL {version}", flush=True)
    begun = time.monotonic()
    try:
        bare_servers.fetch(build)
    except (OSError, ValueError) as error:
        return Outcome(version, passed=False, said=str(error), seconds=time.monotonic() - begun)
    options = ["-q", "-n", "2", "-p", "no:cacheprovider", "--deselect", NO_SERVER]
    run = subprocess.Popen(
        [sys.executable, "-m", "pytest", *options, *TESTS, *pytest_arguments],
        cwd=ROOT,
        env={**os.environ, "EVOLVE_SCRATCH": f"local:{build.programs}"},
        stdout=subprocess.PIPE,
        text=True,
    )
    last = ""
    with run:
        for line in run.stdout or ():
            print(line, end="", flush=True)
            last = line.strip() or last
    return Outcome(
        version,
        passed=run.returncode == 0,
        said=last.strip("= "),
        seconds=time.monotonic() - begun,
    )


if __name__ == "__main__":
    sys.exit(main())
