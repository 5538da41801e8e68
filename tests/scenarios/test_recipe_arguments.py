"""Every recipe with arguments good and bad, on relations of all kinds: a plan or a clear error, never a crash."""

from __future__ import annotations

import random
import warnings
from collections.abc import Iterator
from contextlib import chdir
from pathlib import Path

import click
import psycopg
import pytest
from click.testing import CliRunner
from support.alembic_project import AlembicProject

from evolve.cli import evolve as command_line
from evolve.errors import EvolveError
from evolve.plan.parameters import Parameter
from evolve.plan.recipes import find_recipe, kinds
from evolve.postgres import scratch

pytestmark = pytest.mark.server

TIMES = 12  # for each recipe
ODD = '"We;ird ""T"'
SCHEMA = """
    CREATE TYPE mood AS ENUM ('sad', 'ok');
    CREATE TABLE cities (id bigint PRIMARY KEY, name text);
    CREATE TABLE "We;ird ""T" (id serial PRIMARY KEY, "sel;ect" text, "Ünï" int, doc jsonb, m mood DEFAULT 'ok',
        "select" int, city_id bigint REFERENCES cities);
    CREATE TABLE users (id serial PRIMARY KEY, name text NOT NULL, email varchar(20) UNIQUE, age int DEFAULT 3, m mood,
        doc jsonb, city_id bigint REFERENCES cities, twice text GENERATED ALWAYS AS (name || name) STORED,
        price numeric(10, 2));
    CREATE INDEX ON users (lower(name));
    CREATE TABLE keyless (a int, b text);
    CREATE TABLE part (id int, d date) PARTITION BY RANGE (d);
    CREATE TABLE part_1 PARTITION OF part FOR VALUES FROM ('2020-01-01') TO ('2021-01-01');
    CREATE TABLE parent (id int PRIMARY KEY, x text);
    CREATE TABLE child () INHERITS (parent);
    CREATE VIEW v AS SELECT id, name FROM users;
    CREATE MATERIALIZED VIEW mv AS SELECT id FROM cities;
    CREATE VIEW v2 AS SELECT id FROM v;
    CREATE FUNCTION f(int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT $1';
    CREATE FUNCTION g() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
    CREATE FOREIGN DATA WRAPPER fdw;
    CREATE SERVER s FOREIGN DATA WRAPPER fdw;
    CREATE FOREIGN TABLE far (a int) SERVER s;
    INSERT INTO cities SELECT n, n FROM generate_series(1, 5) n;
    INSERT INTO users (name, email, city_id) SELECT 'a b' || n, n, 1 FROM generate_series(1, 50) n;
    ALTER TABLE users ENABLE ROW LEVEL SECURITY;
"""
RELATIONS = [
    *(
        "users",
        "users",
        "users",
        "cities",
        "keyless",
        "part",
        "part_1",
        "parent",
        "child",
        "v",
        "mv",
        "far",
        "f",
        "g",
    ),
    *(
        "mood",
        "missing",
        ODD,
        "users_pkey",
        "x" * 64,
        "a.b.c",
        "",
        "public.users",
        "evolve.x",
        "users_id_seq",
        "v2",
    ),
]
COLUMNS = [
    *(
        "name",
        "email",
        "age",
        "m",
        "doc",
        "city_id",
        "twice",
        "id",
        "missing",
        "price",
        "xmin",
        '"Ünï"',
        '"sel;ect"',
    ),
    *('"select"', "x" * 64, "a", "b", "x"),
]
NAMES = [
    *("full_name", "name", "email", "x" * 64, "a.b", '"Q""uote"', "select", "", "ix", "_evolve_q_x", "age"),
    *("users_email_key", "users_city_id_fkey", "users_name_idx"),
]
EXPRESSIONS = [
    *(
        "'x'",
        "name",
        "lower(name)",
        "1",
        "NULL",
        "oops(",
        "1; DROP TABLE users",
        "(SELECT 1)",
        "random()",
        "now()",
    ),
    *(
        "count(*)",
        "$1",
        "name -- c",
        "missing",
        "1/0",
        "'a'::int",
        "f(age)",
        "doc->>'k'",
        "first || last",
        "%s %d %",
    ),
    "E'\\\\n'",
]
TYPES = [
    *(
        "text",
        "bigint",
        "smallint",
        "varchar(5)",
        "varchar(40)",
        "mood",
        "jsonb",
        "serial",
        "oops",
        "int; drop",
        "",
    ),
    *(
        "text[]",
        "numeric(4,1)",
        "timestamptz",
        "char(3)",
        "xml",
        "users",
        "bigint NOT NULL",
        'text COLLATE "C"',
    ),
]
STATEMENTS = [
    *(
        "SELECT 1",
        "SELECT id, name FROM users",
        "SELECT id, name, age FROM users",
        "oops",
        "SELECT 1; SELECT 2",
    ),
    "CREATE OR REPLACE FUNCTION f(int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT $1 + 1'",
    "CREATE FUNCTION f(a int, b int DEFAULT 1) RETURNS int LANGUAGE sql AS 'SELECT 1'",
    *(
        "DELETE FROM users",
        "id bigint, name text",
        "SELECT * FROM v",
        "@/nowhere",
        "CREATE VIEW v AS SELECT 1",
    ),
    "id bigint PRIMARY KEY, u bigint REFERENCES users",
]
TEXTS = [
    "name",
    "lower(name)",
    "a,b",
    "{a,b}",
    "",
    "ok",
    "sad",
    "glad",
    "x" * 64,
    "it's",
    "name text",
    "doc.k",
    "a.b",
]
PAIRS = [
    "first=split_part(name, ' ', 1)",
    "rest=substr(name, 3)",
    "name=lower(email)",
    "email=name",
    "m=oops(",
    "=1",
]


@pytest.fixture(scope="module")
def root(scratch_server: scratch.Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with scratch_server.database() as url:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(SCHEMA)
        folder = tmp_path_factory.mktemp("arguments") / "project"
        AlembicProject(folder, url)
        yield folder


def value(parameter: Parameter, dice: random.Random) -> str:
    match parameter.kind:
        case "table" | "relation":
            return dice.choice(RELATIONS)
        case "column" | "reference":
            return f"{dice.choice(RELATIONS)}.{dice.choice(COLUMNS)}"
        case "name":
            return dice.choice(NAMES)
        case "names":
            return dice.choice([*NAMES, *COLUMNS])
        case "expression":
            return dice.choice(EXPRESSIONS)
        case "type":
            return dice.choice(TYPES)
        case "statement":
            return dice.choice(STATEMENTS)
        case "choice":
            return dice.choice(parameter.choices)
        case "number":
            return dice.choice(["0", "1", "-1", "x", "99999999999999999999"])
        case "pairs":
            return dice.choice(PAIRS)
        case "text" | "flag":
            return dice.choice(TEXTS)


def arguments(kind: str, dice: random.Random) -> list[str]:
    recipe = find_recipe(kind)
    assert recipe is not None
    made = ["plan", kind]
    for parameter in recipe.parameters:
        several = dice.randint(1, 2) if parameter.kind in ("names", "pairs") else 1
        if not parameter.option:
            made += [value(parameter, dice) for _ in range(several)]
        elif parameter.kind == "flag":
            made += [parameter.flag] if dice.random() < 0.4 else []
        elif parameter.required or dice.random() < 0.4:
            for _ in range(several):
                made += [parameter.flag, value(parameter, dice)]
    return made


@pytest.mark.parametrize("kind", kinds())
def test_a_plan_or_a_clear_error(root: Path, kind: str) -> None:
    for seed in range(TIMES):
        typed = arguments(kind, random.Random(f"{kind} {seed}"))
        with chdir(root), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of env.py
            done = CliRunner().invoke(command_line, typed, standalone_mode=False)
        error = done.exception
        assert error is None or isinstance(error, (EvolveError, click.ClickException)), f"{typed}: {error!r}"
        assert error is None or not isinstance(error, EvolveError) or error.what, typed
