"""Alembic's environment; the cases are read and rendered, and `truth.py` runs them itself."""

from alembic import context

if context.is_offline_mode():
    context.configure(dialect_name="postgresql", literal_binds=True, transaction_per_migration=True)
    with context.begin_transaction():
        context.run_migrations()
else:
    raise SystemExit("the cases are for reading: python tests/benchmarks/lint_cases/truth.py runs them")
