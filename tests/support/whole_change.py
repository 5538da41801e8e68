"""Every revision of a change, written at once: what the project holds when the change is at its end."""

from __future__ import annotations

from dataclasses import dataclass

from evolve.app.plan_change import write_phase
from evolve.app.project_changes import read_changes
from evolve.plan.model import Phase, Plan
from evolve.revisions.project import find_project
from evolve.revisions.writer import new_revision_id
from support.change_project import ChangeProject


@dataclass(frozen=True)
class WholeChange:
    """
    Args:
        ends: name of a phase → its last revision; phases without revisions are left out.
    """

    plan: Plan
    ends: dict[str, str]

    @property
    def phases(self) -> tuple[Phase, ...]:
        return self.plan.phases


def write_whole_change(project: ChangeProject, *words: str) -> WholeChange:
    """Plan it with the words of `evolve plan` on the project's database, and write what `evolve advance` would come to
    write, gate after gate; only the database at hand is behind.
    """
    project.ok("plan", *words, "--write")
    found = find_project(project.root)
    manifest = read_changes(found).manifests[-1]
    plan = manifest.plan
    while manifest.following is not None:
        phase = plan.phase(manifest.following.name)
        assert phase is not None
        manifest = manifest.begin(phase.name, [new_revision_id() for _ in phase.parts])
        write_phase(read_changes(found), manifest, plan, phase)
    return WholeChange(
        plan, {record.name: record.revisions[-1] for record in manifest.phases if record.revisions}
    )
