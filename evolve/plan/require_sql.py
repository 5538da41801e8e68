"""The SQL of `op.require_backfill`: one DO block that raises unless the last run of a backfill is settled.

It asks what `evolve.backfill.dependencies.unsettled` asks, so that plain `alembic upgrade head`, and a script made by
`alembic upgrade --sql`, stop where a plan's gate would.
"""

from __future__ import annotations

from evolve.plan.gate_sql import MARKER, SHUT
from evolve.sql.names import literal


def require_block(name: str, rows: str | None = None) -> str:
    """
    Args:
        name: of the backfill.
        rows: `table` or `table WHERE predicate`: what it is for. Where it has never run and there is no such row, as in
            a new database, nothing is required.
    """
    none_left = "false" if rows is None else f"NOT EXISTS (SELECT FROM {rows}\n    )"
    body = f"""{MARKER}
DECLARE
  evolve_name text := {_text(name)};
  evolve_run jsonb;
  evolve_why text;
  evolve_fix text;
  evolve_twice boolean := false;
BEGIN
  IF EXISTS (
    SELECT FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
    WHERE n.nspname = 'evolve' AND c.relname = 'backfill_run'
  ) THEN
    -- Read as JSON: an older journal has fewer columns.
    SELECT pg_catalog.to_jsonb(r) INTO evolve_run
      FROM evolve.backfill_run AS r WHERE r.name = evolve_name ORDER BY r.run_id DESC LIMIT 1;
  END IF;
  IF evolve_run IS NULL THEN
    IF {none_left} THEN
      RETURN;
    END IF;
    evolve_why := 'it has never run here';
    evolve_fix := 'evolve backfill run ' || evolve_name;
  ELSIF evolve_run ->> 'state' <> 'done' THEN
    evolve_why := 'it is ' || (evolve_run ->> 'state');
    IF evolve_run ->> 'state' IN ('cancelled', 'undone') AND coalesce((evolve_run ->> 'adds_up')::boolean, true) THEN
      -- Rows that it has written, and that kept that, would be written a second time, to another value.
      evolve_twice := EXISTS (
        SELECT FROM evolve.backfill_range AS g
        WHERE g.run_id = (evolve_run ->> 'run_id')::bigint AND g.changed > 0
      ) AND (evolve_run ->> 'state' = 'cancelled' OR EXISTS (
        SELECT FROM evolve.backfill_reject AS j
        WHERE j.run_id = (evolve_run ->> 'run_id')::bigint
          AND pg_catalog.to_jsonb(j) ->> 'kind' = 'conflict' AND pg_catalog.to_jsonb(j) ->> 'resolved_at' IS NULL));
    END IF;
    evolve_fix := CASE
      WHEN evolve_run ->> 'state' = 'undoing' THEN 'evolve backfill undo ' || evolve_name
      WHEN evolve_run ->> 'state' NOT IN ('cancelled', 'undone') THEN 'evolve backfill resume ' || evolve_name
      WHEN NOT evolve_twice THEN 'evolve backfill run ' || evolve_name || ' --restart'
      WHEN evolve_run ->> 'state' = 'cancelled' AND (evolve_run ->> 'journal')::boolean
      THEN 'evolve backfill undo ' || evolve_name
      ELSE 'evolve backfill status ' || evolve_name END;
  ELSIF (evolve_run ->> 'rejects')::bigint > 0 AND coalesce((evolve_run #>> '{{verify,misses}}')::bigint, 1) > 0 THEN
    evolve_why := 'rows that it could not write: ' || (evolve_run ->> 'rejects');
    evolve_fix := 'evolve backfill retry-rejects ' || evolve_name;
  ELSIF (evolve_run #>> '{{verify,misses}}')::bigint > 0 THEN
    evolve_why := 'rows that its verification found wrong: ' || (evolve_run #>> '{{verify,misses}}');
    evolve_fix := CASE WHEN coalesce((evolve_run ->> 'adds_up')::boolean, true)
      THEN 'evolve backfill status ' || evolve_name
      ELSE 'evolve backfill run ' || evolve_name || ' --restart' END;
  ELSIF evolve_run ->> 'verify' IS NULL AND (evolve_run ->> 'verifiable')::boolean THEN
    evolve_why := 'it has not been verified';
    evolve_fix := 'evolve backfill verify ' || evolve_name;
  END IF;
  IF evolve_why IS NOT NULL THEN
    RAISE EXCEPTION USING ERRCODE = {_text(SHUT)},
      MESSAGE = 'backfill ' || evolve_name || ' is required here: ' || evolve_why,
      HINT = 'run: ' || evolve_fix || '; then see: evolve backfill status ' || evolve_name;
  END IF;
END"""  # noqa: S608 - of the revision
    tag, number = "$evolve$", 0
    while tag in body:
        number += 1
        tag = f"$evolve{number}$"
    return f"DO {tag}{body}{tag}"


def _text(value: str) -> str:
    return literal(value).strip()
