"""The SQL of `op.convert_table` and `op.unconvert_table`: DO blocks that raise unless a table is partitioned, or plain.

They ask the server's catalogs and the journal of conversions, so that plain `alembic upgrade head`, and a script of
`alembic upgrade --sql`, stop where the engine has work to do.
"""

from __future__ import annotations

from collections.abc import Sequence

from evolve.plan.gate_sql import MARKER, SHUT
from evolve.sql.names import QualifiedName, literal

OWNER = '"evolve: owner"'
"""Stands in statements for the owner, who differs from database to database."""

_METHODS = {"range": "r", "list": "l", "hash": "h"}


def converted_block(
    table: QualifiedName, plan: str, method: str, key: Sequence[str], command: str, empty: Sequence[str]
) -> str:
    """
    Args:
        plan: id of the conversion's plan.
        method: "range", "list" or "hash".
        key: columns of the partition key.
        command: begins the conversion.
        empty: statements that partition the table where it has no row; the last one drops the old table. Without any,
            an empty table is converted by the engine, too.
    """
    columns = ", ".join(_text(name) for name in key)
    wanted = f"{method.upper()} ({', '.join(key)})"
    listed = ",\n      ".join(_text(statement) for statement in empty[:-1])
    at_once = f"""
    IF NOT EXISTS (SELECT FROM {table.full})
       AND NOT EXISTS (SELECT FROM pg_catalog.pg_publication_rel AS r WHERE r.prrelid = evolve_table) THEN
      -- ACCESS EXCLUSIVE on a table without rows; looked at again under the lock.
      LOCK TABLE {table.full} IN ACCESS EXCLUSIVE MODE;
      IF NOT EXISTS (SELECT FROM {table.full}) THEN
        SELECT pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(c.relowner)) INTO evolve_owner
          FROM pg_catalog.pg_class AS c WHERE c.oid = evolve_table;
        FOREACH evolve_statement IN ARRAY ARRAY[
      {listed}
        ] LOOP
          EXECUTE pg_catalog.replace(evolve_statement, {_text(OWNER)}, evolve_owner);
        END LOOP;
{_privileges(table)}
        EXECUTE {_text(empty[-1] if empty else "")};
        RETURN;
      END IF;
    END IF;"""  # noqa: S608 - of the revision
    body = f"""
  IF evolve_state IN ('running', 'swapped back') OR (evolve_state = 'swapped' AND NOT evolve_whole) THEN
    evolve_why := 'its conversion is under way (' || evolve_state || ')'
      || CASE WHEN evolve_plan <> {_text(plan)} THEN ', by another plan: ' || evolve_plan ELSE '' END;
    evolve_fix := {_text(f"evolve partition convert {table.shell} --resume")};
  ELSIF evolve_kind = 'p' AND evolve_method = {_text(_METHODS.get(method, method))}
        AND evolve_key = ARRAY[{columns}]::text[] THEN
    RETURN;
  ELSIF evolve_kind = 'p' THEN
    evolve_why := 'it is partitioned by ' || pg_catalog.pg_get_partkeydef(evolve_table);
    evolve_fix := 'evolve partition undo, or correct this revision';
  ELSE{at_once if empty else ""}
    evolve_why := 'it holds rows or is published, and those are moved outside of a revision';
    evolve_fix := {_text(command)};
  END IF;"""
    return _block(table, f"partitioned by {wanted} here (plan {plan})", body)


def _privileges(table: QualifiedName) -> str:
    """Statements that give the new table the privileges of the old one, and no others, taken out of this database."""
    role = (
        "CASE a.grantee WHEN 0 THEN 'PUBLIC' "
        "ELSE pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(a.grantee)) END"
    )
    # Without a percent sign, which drivers take for their own in a script.
    return f"""\
        FOR evolve_statement IN
          WITH counter AS (
            SELECT d.refobjid AS of, d.refobjsubid, t.attname, d.objid FROM pg_catalog.pg_depend AS d
              JOIN pg_catalog.pg_attribute AS t ON t.attrelid = d.refobjid AND t.attnum = d.refobjsubid
              JOIN pg_catalog.pg_class AS c ON c.oid = d.objid AND c.relkind = 'S'
             WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.deptype = 'i'
          ), pair (kind, old, new) AS (
            SELECT 'TABLE', evolve_table, {_oid(table)}
            UNION ALL
            SELECT 'TABLE', NULL, i.inhrelid FROM pg_catalog.pg_inherits AS i WHERE i.inhparent = {_oid(table)}
            UNION ALL
            SELECT 'SEQUENCE', b.objid, n.objid FROM counter AS b JOIN counter AS n USING (attname)
             WHERE b.of = evolve_table AND n.of = {_oid(table)}
          )
          SELECT 'REVOKE ALL ON ' || p.kind || ' ' || p.new::pg_catalog.regclass || ' FROM ' || {role}
            FROM pair AS p JOIN pg_catalog.pg_class AS c ON c.oid = p.new, pg_catalog.aclexplode(c.relacl) AS a
           WHERE a.grantee <> c.relowner
          UNION
          SELECT 'GRANT ' || a.privilege_type
              || CASE WHEN g.name <> '' THEN ' (' || pg_catalog.quote_ident(g.name) || ')' ELSE '' END
              || ' ON ' || p.kind || ' ' || p.new::pg_catalog.regclass || ' TO ' || {role}
              || CASE WHEN a.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END
            FROM pair AS p JOIN pg_catalog.pg_class AS c ON c.oid = p.old, LATERAL (
              SELECT c.relacl AS acl, '' AS name
              UNION ALL
              SELECT t.attacl, t.attname::text FROM pg_catalog.pg_attribute AS t
               WHERE t.attrelid = p.old AND p.kind = 'TABLE' AND t.attnum > 0 AND NOT t.attisdropped
            ) AS g, pg_catalog.aclexplode(g.acl) AS a
           WHERE a.grantee <> c.relowner
           ORDER BY 1 DESC
        LOOP
          EXECUTE evolve_statement;
        END LOOP;"""  # noqa: S608 - of the revision


def _oid(table: QualifiedName) -> str:
    return f"pg_catalog.to_regclass({_text(table.full)})::oid"


def plain_block(table: QualifiedName) -> str:
    """The way back. A table without rows may stay partitioned: the revisions before take it as it is."""
    body = f"""
  IF evolve_state IN ('running', 'swapped back') OR (evolve_state = 'swapped' AND evolve_track = 'back') THEN
    evolve_why := 'its conversion is under way (' || evolve_state || ')';
    evolve_fix := {_text(f"evolve partition convert {table.shell} --rollback")};
  ELSIF evolve_state = 'swapped' THEN
    evolve_why := 'its conversion can be undone, and has not been';
    evolve_fix := {_text(f"evolve partition undo {table.shell} --run")};
  ELSIF evolve_kind = 'r' OR NOT EXISTS (SELECT FROM {table.full}) THEN
    RETURN;
  ELSE
    evolve_why := 'the table that it was has been let go';
    evolve_fix := 'nothing: stay at this revision, or rebuild the table by hand';
  END IF;"""
    return _block(table, "a plain table here", body)


def _block(table: QualifiedName, required: str, decision: str) -> str:
    body = f"""{MARKER}
DECLARE
  evolve_table oid := pg_catalog.to_regclass({_text(table.full)});
  evolve_kind text;
  evolve_method text;
  evolve_key text[];
  evolve_state text;
  evolve_track text;
  evolve_plan text;
  evolve_whole boolean;
  evolve_owner text;
  evolve_statement text;
  evolve_why text;
  evolve_fix text;
BEGIN
  SELECT c.relkind, p.partstrat, ARRAY(
      SELECT a.attname::text FROM pg_catalog.unnest(p.partattrs::int2[]) WITH ORDINALITY AS k (num, place)
        JOIN pg_catalog.pg_attribute AS a ON a.attrelid = c.oid AND a.attnum = k.num ORDER BY k.place)
    INTO evolve_kind, evolve_method, evolve_key
    FROM pg_catalog.pg_class AS c LEFT JOIN pg_catalog.pg_partitioned_table AS p ON p.partrelid = c.oid
   WHERE c.oid = evolve_table;
  IF evolve_kind IS NULL THEN
    RAISE EXCEPTION USING ERRCODE = {_text(SHUT)}, MESSAGE = {_text(f'there is no table "{table.plain}"')};
  END IF;
  IF pg_catalog.to_regclass('evolve.partition_step') IS NOT NULL THEN
    SELECT v.state, v.track, coalesce(v.plan ->> 'plan_id', ''), NOT EXISTS (
        SELECT FROM evolve.partition_step AS s
         WHERE s.conversion_id = v.conversion_id AND s.track = 'forward' AND s.done_at IS NULL)
      INTO evolve_state, evolve_track, evolve_plan, evolve_whole
      FROM evolve.partition_conversion AS v
     WHERE v.table_schema = {_text(table.schema)} AND v.table_name = {_text(table.name)}
       AND v.recipe IN ('copy', 'attach')
     ORDER BY v.conversion_id DESC LIMIT 1;
  END IF;{decision}
  RAISE EXCEPTION USING ERRCODE = {_text(SHUT)},
    MESSAGE = {_text(f'"{table.plain}" must be {required}: ')} || evolve_why,
    HINT = 'run: ' || evolve_fix || '; then see: ' || {_text(f"evolve partition status {table.shell}")};
END"""  # noqa: S608 - of the revision
    tag, number = "$evolve$", 0
    while tag in body:
        number += 1
        tag = f"$evolve{number}$"
    return f"DO {tag}{body}{tag}"


def _text(value: str) -> str:
    return literal(value).strip()
