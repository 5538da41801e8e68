"""Runs evolve lint for one workflow run: reports into files, text and annotations into the log.

Exits with 0, so that the steps after it report what was found; the exit status of evolve lint is an output. Reads from
the environment ARGUMENTS, SINCE and BEFORE (the commit before a push), and what GitHub sets.
"""

from __future__ import annotations

import json
import os
import secrets
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

REPORTS = {"text": "txt", "markdown": "md", "json": "json", "sarif": "sarif"}
COULD_NOT = "evolve lint could not check this: {said}\n"


def main() -> int:
    folder = Path(tempfile.mkdtemp(prefix="evolve-lint-", dir=os.environ.get("RUNNER_TEMP")))
    files = {kind: folder / f"report.{ending}" for kind, ending in REPORTS.items()}
    outputs = [word for kind, file in files.items() for word in ("--output", f"{kind}={file}")]
    command = ["evolve", "lint", *since(), *contained(), *shlex.split(os.environ.get("ARGUMENTS", ""))]
    print("$", shlex.join(command), flush=True)
    done = subprocess.run(
        [*command, "--format", "github", *outputs], capture_output=True, text=True, encoding="utf-8"
    )
    if files["text"].exists():
        show(files["text"].read_text(encoding="utf-8"))
    show(done.stderr)
    print(done.stdout, end="", flush=True)
    if not files["markdown"].exists():
        last = (done.stderr.strip() or f"exit status {done.returncode}").splitlines()[0]
        files["markdown"].write_text(COULD_NOT.format(said=f"`{last.replace('`', '')}`"), encoding="utf-8")
    with Path(os.environ["GITHUB_STEP_SUMMARY"]).open("a", encoding="utf-8") as summary:
        summary.write(files["markdown"].read_text(encoding="utf-8") + "\n")
    status = done.returncode if done.returncode in (0, 1) else 2
    with Path(os.environ["GITHUB_OUTPUT"]).open("a", encoding="utf-8") as output:
        output.write(f"exit-status={status}\n")
        output.write(f"news={str(news(files['json'])).lower()}\n")
        output.writelines(f"{kind}={file}\n" for kind, file in files.items())
    return 0


def news(report: Path) -> bool:
    """Whether there is something to tell who asked for nothing: revisions were checked, or could not be."""
    if not report.exists():
        return True
    return bool(json.loads(report.read_text(encoding="utf-8"))["coverage"]["revisions"])


def since() -> list[str]:
    """What is new: since the target of a pull request, or the commit before a push; else evolve finds out."""
    if given := os.environ.get("SINCE"):
        return ["--since", given]
    if target := os.environ.get("GITHUB_BASE_REF"):
        return ["--since", f"origin/{target}"]
    before = os.environ.get("BEFORE", "")
    # A new branch comes from nowhere, and after a forced push the commit before may be gone.
    known = subprocess.run(["git", "cat-file", "-e", f"{before}^{{commit}}"], capture_output=True)
    return ["--since", before] if before.strip("0") and known.returncode == 0 else []


def contained() -> list[str]:
    """What a fork wants merged is a stranger's code: the kernel holds what reading it runs."""
    event = Path(os.environ.get("GITHUB_EVENT_PATH", os.devnull)).read_text(encoding="utf-8")
    pull = json.loads(event or "{}").get("pull_request")
    if not pull:
        return []
    origin = (pull["head"]["repo"] or {}).get("full_name")  # null where the fork is gone
    return [] if origin == os.environ.get("GITHUB_REPOSITORY") else ["--sandbox"]


def show(text: str) -> None:
    """Print what a stranger may have written, so that the runner reads no command in it."""
    if text:
        token = secrets.token_hex(16)
        print(f"::stop-commands::{token}\n{text.rstrip()}\n::{token}::", flush=True)


if __name__ == "__main__":
    sys.exit(main())
