"""What a PL/pgSQL program may run, read from its text."""

from __future__ import annotations

import pytest

from evolve.sql import operations as op
from evolve.sql.names import QualifiedName
from evolve.sql.parse import parse
from evolve.sql.plpgsql import constant_text
from evolve.sql.routines import with_calls

ORDERS = QualifiedName("orders")


def kinds(sql: str) -> list[str]:
    return [type(operation).__name__ for operation in parse(sql)[1:]]


def gaps(sql: str) -> tuple[str, ...]:
    block = parse(sql)[0]
    assert isinstance(block, op.DoBlock)
    return block.gaps


@pytest.mark.parametrize(
    ("body", "found"),
    [
        ("DROP TABLE orders;", ["DropTable"]),
        ("IF 1 > 0 THEN DROP TABLE a; ELSIF true THEN DROP VIEW b; ELSE DROP INDEX c; END IF;",
         ["DropTable", "DropView", "DropIndex"]),
        ("CASE 1 WHEN 1 THEN DROP TABLE a; ELSE DROP VIEW b; END CASE;", ["DropTable", "DropView"]),
        ("WHILE true LOOP DELETE FROM a; COMMIT; END LOOP;", ["Delete", "TransactionControl"]),
        ("FOR i IN 1..9 LOOP UPDATE a SET n = i; END LOOP;", ["Update"]),
        ("DROP TABLE a; EXCEPTION WHEN others THEN ROLLBACK;", ["DropTable", "TransactionControl"]),
        ("BEGIN DROP TABLE a; END;", ["DropTable"]),
        ("PERFORM setval('s', 1);", ["Query"]),
        ("CALL tidy();", ["Other"]),
        ("EXECUTE 'DROP TABLE a';", ["DropTable"]),
        ("EXECUTE $x$DROP TABLE a$x$;", ["DropTable"]),
        ("EXECUTE 'DROP ' || 'TABLE a';", ["DropTable"]),
        ("EXECUTE format('DROP TABLE %I', 'a');", ["DropTable"]),
        ("EXECUTE format('DROP TABLE %2$I.%1$I', 'a', 'b');", ["DropTable"]),
    ],
)  # fmt: skip
def test_every_branch_is_read(body: str, found: list[str]) -> None:
    sql = f"DO $do$ BEGIN {body} END $do$"

    assert (kinds(sql), gaps(sql)) == (found, ())


@pytest.mark.parametrize(
    "body",
    [
        "EXECUTE 'DROP TABLE ' || quote_ident(current_user);",
        "EXECUTE format('DROP TABLE %I', current_user);",
        "EXECUTE format('DROP TABLE %I');",
    ],
)
def test_text_of_run_time_is_a_gap(body: str) -> None:
    sql = f"DO $do$ BEGIN {body} DROP TABLE a; END $do$"

    assert kinds(sql) == ["DropTable"]
    assert gaps(sql) == (body.removesuffix(";"),)


def test_a_loop_over_dynamic_rows_is_a_gap() -> None:
    sql = "DO $$ DECLARE r record; BEGIN FOR r IN EXECUTE 'SELECT ' || r LOOP DROP TABLE a; END LOOP; END $$"

    assert (kinds(sql), gaps(sql)) == (["DropTable"], ("EXECUTE 'SELECT ' || r",))


@pytest.mark.parametrize(
    ("expression", "text"),
    [
        ("'it''s'", "it's"),
        ("'a' || $$b'c$$", "ab'c"),
        ("format('%s %I %L %%', 'a', 'B', 'c''d')", "a \"B\" 'c''d' %"),
        ("format('%s', x)", None),
        ("'a' || x", None),
        ("x", None),
        ("", None),
    ],
)
def test_constant_text(expression: str, text: str | None) -> None:
    assert constant_text(expression) == text


def test_a_program_that_is_none_is_a_gap() -> None:
    assert gaps("DO $$ no program $$") == ('PL/pgSQL refuses it: syntax error at or near "no"',)


def test_a_foreign_language_is_a_gap() -> None:
    assert gaps("DO LANGUAGE plperl $$ drop(); $$") == ("it is written in plperl",)


def test_a_call_is_followed() -> None:
    made = parse("CREATE FUNCTION tidy() RETURNS void LANGUAGE sql AS 'DROP TABLE orders'")

    assert with_calls((*made, *parse("SELECT tidy()")), {})[-1] == op.DropTable(ORDERS)


def test_a_call_of_a_procedure_is_followed() -> None:
    made = parse("CREATE PROCEDURE app.tidy() LANGUAGE sql BEGIN ATOMIC DELETE FROM orders; END")

    assert with_calls((*made, *parse("CALL app.tidy()")), {})[-1] == op.Delete(ORDERS)


def test_a_call_through_a_block_is_followed() -> None:
    made = parse("CREATE FUNCTION tidy() RETURNS void LANGUAGE plpgsql AS 'BEGIN DROP TABLE orders; END'")

    assert with_calls((*made, *parse("DO $$ BEGIN PERFORM tidy(); END $$")), {})[-1] == op.DropTable(ORDERS)


def test_a_function_that_calls_itself_is_followed_once() -> None:
    made = parse("CREATE FUNCTION f() RETURNS void LANGUAGE sql AS 'DELETE FROM orders; SELECT f()'")

    followed = with_calls((*made, *parse("SELECT f()")), {})

    assert [type(operation) for operation in followed].count(op.Delete) == 1


def test_a_called_function_of_another_language_is_a_gap() -> None:
    made = parse("CREATE FUNCTION f() RETURNS void LANGUAGE c AS 'library', 'symbol'")

    last = with_calls((*made, *parse("SELECT f()")), {})[-1]

    assert last == op.DoBlock("", gaps=("it is written in c",), function=QualifiedName("f"))


def test_nobody_calls_the_function_of_a_trigger() -> None:
    (made,) = parse(
        "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.n := 1; RETURN NEW; END $$"
    )

    assert isinstance(made, op.CreateFunction)
    assert made.runs == op.Body()
