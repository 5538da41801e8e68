"""How views, functions, policies, privileges and superuser statements are read."""

from __future__ import annotations

import pytest

from evolve.sql import operations as op
from evolve.sql.names import QualifiedName as N
from evolve.sql.parse import expression, parse

T = N("t")


@pytest.mark.parametrize(
    ("sql", "operation"),
    [
        ("ALTER VIEW v RENAME COLUMN a TO b", op.RenameViewColumn(N("v"), "a", "b")),
        ("ALTER MATERIALIZED VIEW v RENAME a TO b", op.RenameViewColumn(N("v"), "a", "b")),
        ("ALTER VIEW v OWNER TO app", op.Other("ALTER VIEW OWNER", N("v"), "app")),
        ("ALTER VIEW v ALTER a SET DEFAULT 1", op.Other("ALTER VIEW", N("v"))),
        ("ALTER TABLE t OWNER TO CURRENT_USER", op.AlterTableOther(T, "owner", "current_user")),
        ("ALTER FUNCTION f(int) OWNER TO app", op.Other("ALTER FUNCTION OWNER", N("f"), "app")),
        ("REFRESH MATERIALIZED VIEW v", op.RefreshMaterializedView(N("v"))),
        ("REFRESH MATERIALIZED VIEW v WITH NO DATA", op.RefreshMaterializedView(N("v"), with_data=False)),
        (
            "CREATE POLICY p ON s.t AS RESTRICTIVE FOR SELECT TO app, PUBLIC USING (true)",
            op.CreatePolicy(N("t", "s"), "p", False, "select", ("app", "public"), expression("true")),
        ),
        (
            "CREATE POLICY p ON t WITH CHECK (a = 1)",
            op.CreatePolicy(T, "p", check=expression("a = 1")),
        ),
        ("ALTER POLICY p ON t TO app", op.AlterPolicy(T, "p", ("app",))),
        ("ALTER POLICY p ON t USING (a)", op.AlterPolicy(T, "p", using=expression("a"))),
        ("ALTER POLICY p ON t RENAME TO q", op.AlterPolicy(T, "p", to="q")),
        ("DROP POLICY IF EXISTS p ON s.t", op.DropPolicy(N("t", "s"), "p", if_exists=True)),
        ("DROP RULE r ON t", op.Other("DROP RULE", T)),
        (
            "ALTER FUNCTION f(int) SECURITY DEFINER STRICT SET search_path = a, b RESET work_mem",
            op.AlterFunction(
                N("f"),
                ("security definer", "strict", "set search_path", "reset work_mem"),
                security_definer=True,
                settings=("search_path",),
            ),
        ),
        (
            "ALTER FUNCTION f() IMMUTABLE SECURITY INVOKER NOT LEAKPROOF COST 5",
            op.AlterFunction(N("f"), ("immutable", "security invoker", "not leakproof", "cost")),
        ),
        ("GRANT SELECT ON t TO app, PUBLIC", op.Other("GRANT", T, "app, public")),
        ("REVOKE ALL ON SCHEMA s FROM app", op.Other("REVOKE", None, "app")),
        ("COPY t FROM PROGRAM 'x'", op.Copy(T, True, "program")),
        ("COPY t TO '/tmp/x'", op.Copy(T, False, "file")),
        ("COPY t FROM STDIN", op.Copy(T, True)),
        (
            "CREATE EXTENSION IF NOT EXISTS e",
            op.Other("CREATE EXTENSION", N("e"), options=frozenset({"if not exists"})),
        ),
        (
            "CREATE ROLE r SUPERUSER LOGIN NOCREATEDB",
            op.Other("CREATE ROLE", N("r"), options=frozenset({"superuser", "canlogin"})),
        ),
        ("ALTER ROLE r BYPASSRLS", op.Other("ALTER ROLE", N("r"), options=frozenset({"bypassrls"}))),
        ("DROP DATABASE d", op.Other("DROP DATABASE", N("d"))),
        ("DROP TABLESPACE d", op.Other("DROP TABLESPACE", N("d"))),
        ("DROP OWNED BY a, b CASCADE", op.Other("DROP OWNED", None, "a, b")),
        (
            "ALTER TABLE t SET (fillfactor = 70, autovacuum_enabled = off, toast.autovacuum_enabled)",
            op.AlterTableOther(
                T,
                "set parameters",
                "fillfactor, autovacuum_enabled, autovacuum_enabled",
                (("fillfactor", "70"), ("autovacuum_enabled", "off"), ("toast.autovacuum_enabled", "true")),
            ),
        ),
    ],
)
def test_statement_is_read_with_its_particulars(sql: str, operation: op.Operation) -> None:
    assert parse(sql) == (operation,)


def test_storage_parameters_of_a_new_table() -> None:
    [made] = parse(
        "CREATE TABLE t (a integer) WITH (autovacuum_enabled = false, autovacuum_vacuum_scale_factor = 0.1)"
    )

    assert isinstance(made, op.CreateTable)
    assert made.settings == (("autovacuum_enabled", "false"), ("autovacuum_vacuum_scale_factor", "0.1"))


@pytest.mark.parametrize(
    ("options", "definer", "settings"),
    [
        ("", False, ()),
        ("SECURITY INVOKER", False, ()),
        ("SECURITY DEFINER", True, ()),
        (
            "SECURITY DEFINER SET search_path = pg_catalog SET work_mem = '1MB'",
            True,
            ("search_path", "work_mem"),
        ),
        ("SECURITY DEFINER SET search_path FROM CURRENT", True, ("search_path",)),
    ],
)
def test_rights_that_a_function_runs_with(options: str, definer: bool, settings: tuple[str, ...]) -> None:
    [made] = parse(f"CREATE FUNCTION f() RETURNS integer LANGUAGE sql {options} AS 'SELECT 1'")

    assert isinstance(made, op.CreateFunction)
    assert (made.security_definer, made.settings) == (definer, settings)
