"""Which statements use a column, told from their text: in doubt they do."""

from __future__ import annotations

import pytest

from evolve.sql.column_use import table_use
from evolve.sql.names import QualifiedName

USERS = QualifiedName("users")

USING = [
    "SELECT name FROM users",
    "SELECT u.name FROM users u",
    "SELECT id FROM users WHERE lower(name) = $1",
    "SELECT id FROM public.users ORDER BY users.name LIMIT $1",
    "SELECT public.users.name FROM public.users",
    "SELECT * FROM users",
    "SELECT u.* FROM cities c JOIN users u ON u.city_id = c.id",
    "SELECT * FROM cities c LEFT JOIN (users u JOIN orders o ON o.user_id = u.id) ON u.city_id = c.id",
    "TABLE users",
    "SELECT u FROM users u",
    "SELECT row_to_json(users) FROM users",
    "SELECT (u).name FROM users u",
    "SELECT 1 WHERE EXISTS (SELECT * FROM users WHERE id = $1)",
    "WITH x AS (SELECT name FROM users) SELECT 1 FROM x",
    "SELECT c.id FROM cities c, LATERAL (SELECT name FROM users u WHERE u.city_id = c.id) AS n",
    "SELECT id FROM users JOIN archive USING (name)",
    "SELECT id FROM users NATURAL JOIN archive",
    "SELECT a FROM users AS u(a, b)",
    "INSERT INTO users VALUES ($1, $2)",
    "INSERT INTO users (id, name) VALUES ($1, $2)",
    "INSERT INTO users SELECT $1, $2",
    "INSERT INTO users (id) VALUES ($1) RETURNING *",
    "INSERT INTO users (id) VALUES ($1) RETURNING id, name",
    "INSERT INTO users AS u (id) VALUES ($1) ON CONFLICT (name) DO NOTHING",
    "INSERT INTO users (id) VALUES ($1) ON CONFLICT (id) DO UPDATE SET name = $2",
    "INSERT INTO users (id) VALUES ($1) ON CONFLICT (id) DO UPDATE SET other = excluded.name",
    "INSERT INTO archive (id) SELECT id FROM users WHERE name IS NULL",
    "UPDATE users SET name = $1",
    "UPDATE users SET (id, name) = ROW ($1, $2)",
    "UPDATE users SET id = $1 RETURNING *",
    "UPDATE orders SET total = $1 FROM users u WHERE u.name = $2",
    "UPDATE orders SET total = $1 FROM users u WHERE u.id = $2 RETURNING *",
    "DELETE FROM users WHERE name = $1",
    "DELETE FROM orders USING users RETURNING *",
    "MERGE INTO users u USING s ON u.id = s.id WHEN MATCHED THEN UPDATE SET name = s.x",
    "MERGE INTO users u USING s ON u.id = s.id WHEN NOT MATCHED THEN INSERT VALUES ($1, $2)",
    "MERGE INTO s USING users u ON u.id = s.id WHEN MATCHED THEN UPDATE SET x = u.name",
    "COPY users TO STDOUT",
    "COPY users (id, name) FROM STDIN",
    "COPY (SELECT name FROM users) TO STDOUT",
    "DECLARE c CURSOR FOR SELECT name FROM users",
    "PREPARE p AS SELECT name FROM users",
    "EXPLAIN SELECT name FROM users",
    "CREATE TEMP TABLE t AS SELECT * FROM users",
    "DO $$ BEGIN PERFORM name FROM users; END $$",
    "SELECT nonsense FROM FROM users WHERE name = $1",
]
NOT_USING = [
    "SELECT id FROM users",
    "SELECT count(*) FROM users",
    "SELECT c.name FROM cities c JOIN users u ON u.city_id = c.id",
    "SELECT * FROM cities",
    "SELECT c.* FROM cities c JOIN users u ON u.city_id = c.id",
    "SELECT * FROM cities WHERE id IN (SELECT city_id FROM users)",
    "SELECT x.* FROM (SELECT id FROM users) x",
    "SELECT id FROM users FOR UPDATE OF users",
    "SELECT name FROM archive.users",
    "SELECT name FROM users_of_old",
    "INSERT INTO users (id) VALUES ($1) RETURNING id",
    "INSERT INTO users DEFAULT VALUES",
    "INSERT INTO archive (id, name) SELECT id, $1 FROM users",
    "UPDATE users SET id = $1",
    "DELETE FROM users WHERE id = $1",
    "COPY users (id) TO STDOUT",
    "ALTER TABLE users ADD COLUMN name_too text",
    "VACUUM users",
    "CREATE INDEX ix ON users (name)",
    "TRUNCATE users",
    "MERGE INTO users u USING s ON u.id = s.id WHEN NOT MATCHED THEN INSERT DEFAULT VALUES",
    "DO $$ BEGIN PERFORM name FROM customers; END $$",
    "SELECT broken FROM FROM customers",
]


@pytest.mark.parametrize("sql", USING)
def test_it_uses_the_column(sql: str) -> None:
    use = table_use(sql, USERS)
    assert use is not None
    assert use.of("name")


@pytest.mark.parametrize("sql", NOT_USING)
def test_it_does_without_the_column(sql: str) -> None:
    use = table_use(sql, USERS)
    assert use is None or use.of("name") is None


@pytest.mark.parametrize(
    "sql", ["SELECT count(*) FROM users", "TRUNCATE users", "LOCK TABLE users", "DELETE FROM users"]
)
def test_every_statement_about_rows_uses_the_table(sql: str) -> None:
    use = table_use(sql, USERS)
    assert use is not None
    assert use.of(None)


@pytest.mark.parametrize(
    "sql", ["VACUUM users", "ALTER TABLE users ADD c int", "SELECT 1 FROM archive.users"]
)
def test_what_only_looks_after_the_table_does_not_use_it(sql: str) -> None:
    assert table_use(sql, USERS) is None


def test_names_are_told_as_the_server_tells_them() -> None:
    use = table_use('SELECT NAME FROM "Odd ""one"""', QualifiedName('Odd "one"'))
    assert use is not None
    assert use.of("name")
    assert use.of("NAME") is None
