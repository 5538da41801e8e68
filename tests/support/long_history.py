"""Histories of any length, as the years make them: tables, columns, indexes, constraints, now and then data."""

from __future__ import annotations

import random
from pathlib import Path

ENV = """
from alembic import context

context.configure(dialect_name="postgresql", literal_binds=True)
with context.begin_transaction():
    context.run_migrations()
"""


def write_history(root: Path, count: int) -> list[str]:
    """Write a project of `count` revisions in one line; answers their ids in order."""
    dice = random.Random(count)
    versions = root / "migrations" / "versions"
    versions.mkdir(parents=True)
    (root / "alembic.ini").write_text("[alembic]\nscript_location = migrations\nprepend_sys_path = .\n")
    (root / "migrations" / "env.py").write_text(ENV)
    tables: list[str] = []
    ids: list[str] = []
    for number in range(count):
        write_revision(root, f"{number:012x}", ids[-1] if ids else None, _change(number, tables, dice))
        ids.append(f"{number:012x}")
    return ids


def write_revision(root: Path, revision: str, down: str | None, body: str) -> Path:
    file = root / "migrations" / "versions" / f"{revision}_change.py"
    file.write_text(
        f'"""Change.\n\nRevision ID: {revision}\nRevises: {down}\n"""\n\n'
        "from alembic import op\nimport sqlalchemy as sa\n\n"
        f"revision = {revision!r}\ndown_revision = {down!r}\nbranch_labels = None\ndepends_on = None\n\n\n"
        f"def upgrade():\n    {body}\n\n\ndef downgrade():\n    raise NotImplementedError\n"
    )
    return file


def _change(number: int, tables: list[str], dice: random.Random) -> str:
    chance = dice.random()
    if not tables or chance < 0.2:
        return _table(tables, dice)
    table = dice.choice(tables)
    if chance < 0.5:
        return f"op.add_column('{table}', sa.Column('c{number}', sa.Text(), nullable=True))"
    if chance < 0.62:
        return f"op.create_index('ix_{table}_{number}', '{table}', ['name', 'state'])"
    if chance < 0.72:
        return f"op.alter_column('{table}', 'name', type_=sa.Text(), existing_type=sa.String(50))"
    if chance < 0.82:
        return f"op.execute(\"UPDATE {table} SET state = 'old' WHERE name = 'x'\")"
    if chance < 0.9:
        return f"op.create_check_constraint('check_{number}', '{table}', \"name <> ''\")"
    if chance < 0.94:
        return f"op.alter_column('{table}', 'state', new_column_name='state')"
    if chance < 0.97 and len(tables) > 5:
        tables.remove(table)
        return f"op.execute('DROP TABLE {table} CASCADE')"
    return (
        f"op.add_column('{table}', sa.Column('d{number}', sa.Integer(), nullable=True))\n"
        f"    op.drop_column('{table}', 'd{number}')"
    )


def _table(tables: list[str], dice: random.Random) -> str:
    name = f"table_{len(tables)}_{dice.randrange(10**6)}"
    key = ""
    if tables:
        key = f"\n        sa.ForeignKeyConstraint(['parent_id'], ['{dice.choice(tables[-50:])}.id']),"
    tables.append(name)
    return f"""op.create_table(
        '{name}',
        sa.Column('id', sa.BigInteger(), nullable=False),
        sa.Column('parent_id', sa.BigInteger(), nullable=True),
        sa.Column('name', sa.String(length=50), nullable=False),
        sa.Column('state', sa.Text(), server_default='new', nullable=False),
        sa.Column('created_at', sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),{key}
        sa.PrimaryKeyConstraint('id'),
    )
    op.create_index('ix_{name}_parent', '{name}', ['parent_id'])"""
