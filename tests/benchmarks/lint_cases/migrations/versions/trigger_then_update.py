"""CREATE TRIGGER, and rows of another table changed behind it.

hazards: blocks
"""

from alembic import op

revision = "trigger_then_update"
down_revision = "base_schema"
branch_labels = ("case_trigger_then_update",)


def upgrade():
    op.execute("CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'")
    op.execute("CREATE TRIGGER touched BEFORE UPDATE ON users FOR EACH ROW EXECUTE FUNCTION touch()")
    op.execute("UPDATE orders SET note = upper(note)")
