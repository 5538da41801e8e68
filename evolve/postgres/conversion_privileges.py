"""What the role of this session may not do that a conversion of a table has to: asked before anything is touched."""

from __future__ import annotations

from evolve.partition.inventory import Inventory
from evolve.partition.obstacles import Obstacle
from evolve.postgres.connect import Connection


def missing_privileges(connection: Connection, inventory: Inventory) -> tuple[Obstacle, ...]:
    # ACCESS SHARE on catalogs only.
    rows = connection.execute(
        _MISSING,
        {
            "oid": inventory.oid,
            "targets": [foreign.target for foreign in inventory.foreign_keys],
            "sources": [foreign.source for foreign in inventory.inbound],
            "views": [view.name for view in inventory.views],
        },
    ).fetchall()
    return tuple(Obstacle(str(what), str(fix)) for what, fix in rows)


_MISSING = """
WITH t AS (
    SELECT c.*, n.nspname FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace WHERE c.oid = %(oid)s
),
owned (what, owner) AS (
    SELECT 'it', relowner FROM t
    UNION ALL
    SELECT DISTINCT 'the table ' || name || ', whose foreign keys point at it,', relowner
      FROM unnest(%(sources)s::text[]) AS name JOIN pg_class AS c ON c.oid = name::regclass
    UNION ALL
    SELECT 'the view ' || name, relowner
      FROM unnest(%(views)s::text[]) AS name JOIN pg_class AS c ON c.oid = name::regclass
    UNION ALL
    SELECT 'the publication ' || quote_ident(p.pubname), p.pubowner
      FROM pg_publication AS p JOIN pg_publication_rel AS r ON r.prpubid = p.oid WHERE r.prrelid = %(oid)s
)
SELECT format('%%s belongs to %%I, and %%I may not act for that role', what, pg_get_userbyid(owner), current_user),
       format('run it as %%1$I, or GRANT %%1$I TO %%2$I', pg_get_userbyid(owner), current_user)
  FROM owned WHERE NOT pg_has_role(owner, 'USAGE')
UNION ALL
SELECT format('%%I may not create tables in schema %%I', r.role, nspname),
       format('GRANT CREATE ON SCHEMA %%I TO %%I', nspname, r.role)
  FROM t, (SELECT current_user AS role UNION SELECT pg_get_userbyid(relowner) FROM t) AS r
 WHERE NOT has_schema_privilege(r.role, t.relnamespace, 'CREATE')
UNION ALL
SELECT DISTINCT format('%%I may not refer to %%s, at which its foreign keys point', current_user, name),
       format('GRANT REFERENCES ON %%s TO %%I', name, current_user)
  FROM unnest(%(targets)s::text[]) AS name WHERE NOT has_table_privilege(name::regclass, 'REFERENCES')
UNION ALL
SELECT format('its row security is forced upon its owner as well, and would hide rows from %%I', current_user),
       'run it as a role with BYPASSRLS'
  FROM t WHERE relrowsecurity AND relforcerowsecurity
   AND NOT EXISTS (SELECT FROM pg_roles WHERE rolname = current_user AND (rolsuper OR rolbypassrls))
"""
