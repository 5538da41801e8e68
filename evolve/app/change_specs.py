"""The backfills of changes in flight, found by their names."""

from __future__ import annotations

from pathlib import Path

from evolve.backfill.spec import Spec
from evolve.plan.manifest import load_all
from evolve.revisions.project import find_project


def spec_of_change(
    project_dir: Path, name: str, *, configuration: Path | None = None, section: str = "alembic"
) -> Spec | None:
    """The specification called `name` that the plan of a change in flight made; None where no plan has made one.

    Raises:
        NoProject and its kin: there is no Alembic project at `project_dir`.
        BadManifest: a manifest cannot be trusted.
    """
    project = find_project(project_dir, configuration=configuration, section=section)
    for manifest in load_all(project.script_directory):
        for spec in manifest.plan.backfills:
            if spec.name == name:
                return spec
    return None
