"""The backfill of a change in flight, found by the change's name."""

from __future__ import annotations

from pathlib import Path

from evolve.backfill.spec import Spec
from evolve.plan.manifest import load, path_of
from evolve.revisions.project import find_project


def spec_of_change(project_dir: Path, change_id: str) -> Spec | None:
    """The specification that the plan of `change_id` made; None where no such change is in flight, or it has none.

    Raises:
        NoProject and its kin: there is no Alembic project at `project_dir`.
        BadManifest: the manifest cannot be trusted.
    """
    path = path_of(find_project(project_dir).script_directory, change_id)
    if "/" in change_id or not path.is_file():
        return None
    return load(path).backfill
