"""psql and pg_dump, of the newest version at hand: they talk to older servers as well."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from evolve.postgres.scratch.programs import in_the_wheel, on_this_machine


def psql(url: str, script: str) -> subprocess.CompletedProcess[str]:
    """Run `script` as an operator would: from a file, up to the first error, whose SQLSTATE is told."""
    return subprocess.run(
        [
            _newest("psql"),
            *("--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", "--set=VERBOSITY=verbose", "--file=-", url),
        ],
        input=script,
        capture_output=True,
        text=True,
        check=False,
    )


def dump(url: str, *options: str) -> list[str]:
    """What is in the database, line by line in no order."""
    done = subprocess.run([_newest("pg_dump"), *options, url], capture_output=True, text=True, check=True)
    # A key of its own in each dump, and values made up in each database.
    text = re.sub(
        r"^\\(?:un)?restrict .*$|\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b", "", done.stdout, flags=re.M
    )
    return sorted(text.splitlines())


def _newest(program: str) -> Path:
    found = [
        programs.folder / program for programs in sorted([*in_the_wheel(), *on_this_machine()], reverse=True)
    ]
    return next(path for path in found if path.exists())
