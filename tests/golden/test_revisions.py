"""Generated revisions and reports, word for word: read them as a reviewer would."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from support.alembic_project import AlembicProject
from support.changes import facts_of
from support.golden import Golden

from evolve.plan.change import Change
from evolve.plan.effects import costs
from evolve.plan.recipes import make_plan
from evolve.plan.recipes.columns.add_required_column import AddRequiredColumn
from evolve.plan.recipes.columns.rename_column import RenameColumn
from evolve.plan.recipes.columns.set_not_null import SetNotNull
from evolve.plan.target import Target, TargetColumn, TargetConstraint, TargetIndex
from evolve.report import plan as report
from evolve.revisions.project import find_project
from evolve.revisions.writer import NewRevision, write_revision
from evolve.sql.names import QualifiedName

USERS = QualifiedName("users")
TARGET = Target(
    USERS,
    (
        TargetColumn("id", "bigint", not_null=True),
        TargetColumn(
            "name",
            "text",
            not_null=True,
            default="''::text",
            comment="as on the passport",
            grants=(("SELECT", "app", False),),
        ),
        TargetColumn("email", "text"),
        TargetColumn("city_id", "bigint"),
    ),
    (
        TargetConstraint("users_pkey", "primary key", "PRIMARY KEY (id)", ("id",), index="users_pkey"),
        TargetConstraint("users_name_check", "check", "CHECK ((length(name) < 200))", ("name",)),
        TargetConstraint("users_name_key", "unique", "UNIQUE (name)", ("name",), index="users_name_key"),
        TargetConstraint(
            "users_city_id_fkey", "foreign key", "FOREIGN KEY (city_id) REFERENCES cities(id)", ("city_id",)
        ),
    ),
    (
        TargetIndex(
            "users_pkey",
            "CREATE UNIQUE INDEX users_pkey ON public.users USING btree (id)",
            ("id",),
            unique=True,
        ),
        TargetIndex(
            "users_name_key",
            "CREATE UNIQUE INDEX users_name_key ON public.users USING btree (name)",
            ("name",),
            unique=True,
            constraint="users_name_key",
        ),
        TargetIndex(
            "ix_users_name",
            "CREATE INDEX ix_users_name ON public.users USING btree (lower(name)) WHERE (name <> ''::text)",
            ("name",),
        ),
    ),
)
CHANGES: dict[str, Change] = {
    "rename_column": RenameColumn(USERS, "name", "full_name"),
    "rename_foreign_key_column": RenameColumn(USERS, "city_id", "home_id"),
    "set_not_null": SetNotNull(USERS, "email", "'unknown-' || id"),
    "set_not_null_bare": SetNotNull(USERS, "email"),
    "add_required_column": AddRequiredColumn(USERS, "shouted", "varchar(200)", "upper(name)"),
    "add_required_constant": AddRequiredColumn(USERS, "currency", "text", "'EUR'"),
}


@pytest.mark.parametrize("name", list(CHANGES))
def test_revisions(golden: Golden, make_project: Callable[..., AlembicProject], name: str) -> None:
    project = find_project(make_project().root)
    plan = make_plan(CHANGES[name], facts_of(TARGET))
    texts, head = [], None
    for phase in plan.phases:
        for number, part in enumerate(phase.parts):
            revision = f"{phase.name}_{number}"
            file = write_revision(project, NewRevision(revision, plan.id, phase.name, part), head)
            texts.append(file.read_text())
            head = revision
    golden(f"revisions/{name}.txt", "\n\n".join(texts))


@pytest.mark.parametrize("name", list(CHANGES))
def test_plans(golden: Golden, name: str) -> None:
    facts = facts_of(TARGET)
    plan = make_plan(CHANGES[name], facts)
    told = costs(plan, facts)
    golden(f"plans/{name}.txt", report.to_text(plan, told) + "\n")
    golden(f"plans/{name}.explained.txt", report.to_text(plan, told, explain=True) + "\n")
    golden(f"plans/{name}.md", report.to_markdown(plan, told, explain=True) + "\n")
    golden(f"plans/{name}.json", report.to_json(plan, told) + "\n")


def test_no_sentence_above_a_statement_is_missing() -> None:
    """Every `op.execute` of the golden revisions stands below a comment that names a lock."""
    folder = Path(__file__).parent / "revisions"
    for file in sorted(folder.glob("*.txt")):
        for match in re.finditer(r"(.*)\n( +)op\.execute\(", file.read_text()):
            assert match[1].strip().startswith("#"), f"{file.name}: {match[0]}"
