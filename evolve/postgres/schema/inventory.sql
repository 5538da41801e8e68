-- All that hangs on one table, as one JSON value. ACCESS SHARE on catalogs only; needs an empty search_path, so that every name
-- in a definition is qualified. Works on PostgreSQL 14 to 18: what is newer than 14 is read through to_jsonb.
WITH t AS (
    SELECT c.*, n.nspname FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace WHERE c.oid = %(oid)s
),
acl AS (
    SELECT 'T' AS kind, ''::text AS of, a.* FROM t, aclexplode(t.relacl) AS a
    UNION ALL
    SELECT 'C', quote_ident(c.attname), a.*
      FROM t JOIN pg_attribute AS c ON c.attrelid = t.oid AND c.attnum > 0 AND NOT c.attisdropped,
           aclexplode(c.attacl) AS a
),
dependents AS (
    SELECT DISTINCT d.classid, d.objid, d.refobjsubid, d.deptype
      FROM t JOIN pg_depend AS d
        ON (d.refclassid = 'pg_class'::regclass AND d.refobjid = t.oid)
        OR (d.refclassid = 'pg_type'::regclass AND d.refobjid IN (
                SELECT y.oid FROM pg_type AS y WHERE y.oid = t.reltype
                UNION ALL SELECT y.typarray FROM pg_type AS y WHERE y.oid = t.reltype))
),
view_rules AS (
    SELECT DISTINCT r.oid AS rule, v.oid AS view, v.relkind
      FROM dependents AS d JOIN pg_rewrite AS r ON d.classid = 'pg_rewrite'::regclass AND r.oid = d.objid
      JOIN pg_class AS v ON v.oid = r.ev_class, t
     WHERE v.oid <> t.oid
)
SELECT jsonb_build_object(
    'schema', t.nspname, 'name', t.relname, 'oid', t.oid::bigint, 'kind', t.relkind, 'persistence', t.relpersistence,
    'access_method', coalesce((SELECT amname FROM pg_am WHERE oid = t.relam), 'heap'),
    'partition', t.relispartition, 'typed', t.reloftype <> 0,
    'owner', quote_ident(pg_get_userbyid(t.relowner)),
    'comment', obj_description(t.oid, 'pg_class'),
    'options', (
        SELECT coalesce(jsonb_agg(o ORDER BY o), '[]')
          FROM (SELECT unnest(t.reloptions) AS o
                UNION ALL
                SELECT 'toast.' || unnest(x.reloptions) FROM pg_class AS x WHERE x.oid = t.reltoastrelid) AS _),
    'tablespace', (SELECT quote_ident(spcname) FROM pg_tablespace WHERE oid = t.reltablespace),
    'replica_identity', t.relreplident,
    'row_security', t.relrowsecurity, 'forced_row_security', t.relforcerowsecurity,
    'columns', (
        SELECT coalesce(jsonb_agg(jsonb_build_object(
            'name', a.attname, 'type', format_type(a.atttypid, a.atttypmod),
            'type_schema', (SELECT n.nspname FROM pg_type AS y JOIN pg_namespace AS n ON n.oid = y.typnamespace
                             WHERE y.oid = a.atttypid),
            'not_null', a.attnotnull,
            'identity', CASE a.attidentity WHEN 'a' THEN 'always' WHEN 'd' THEN 'by default' END,
            'generated', CASE a.attgenerated WHEN 's' THEN 'stored' WHEN 'v' THEN 'virtual' END,
            'statistics', CASE WHEN a.attstattarget >= 0 THEN a.attstattarget END,
            'options', coalesce(to_jsonb(a.attoptions), '[]'),
            'collation', (
                SELECT 'C' FROM pg_collation AS l JOIN pg_database AS d ON d.datname = current_database()
                 WHERE l.oid = a.attcollation
                   AND (l.collname IN ('C', 'POSIX')
                        -- Before 15 every database has the collations of the C library.
                        OR l.collname = 'default' AND d.datcollate IN ('C', 'POSIX')
                           AND coalesce(to_jsonb(d)->>'datlocprovider', 'c') = 'c'))) ORDER BY a.attnum), '[]')
          FROM pg_attribute AS a WHERE a.attrelid = t.oid AND a.attnum > 0 AND NOT a.attisdropped),
    'keys', (
        SELECT coalesce(jsonb_agg(jsonb_build_object(
            'name', k.conname, 'primary', k.contype = 'p',
            'columns', (SELECT jsonb_agg(a.attname ORDER BY p.place)
                          FROM unnest(k.conkey) WITH ORDINALITY AS p (num, place)
                          JOIN pg_attribute AS a ON a.attrelid = t.oid AND a.attnum = p.num),
            'definition', pg_get_constraintdef(k.oid),
            'plain', NOT k.condeferrable AND i.indnatts = i.indnkeyatts
                     AND coalesce((to_jsonb(k) ->> 'conperiod')::boolean, false) IS FALSE
                     AND coalesce((to_jsonb(i) ->> 'indnullsnotdistinct')::boolean, false) IS FALSE,
            'deferrable', k.condeferrable,
            'comment', obj_description(k.oid, 'pg_constraint'),
            'options', coalesce(to_jsonb(x.reloptions), '[]'),
            'tablespace', (SELECT quote_ident(spcname) FROM pg_tablespace WHERE oid = x.reltablespace)) ORDER BY k.conname), '[]')
          FROM pg_constraint AS k JOIN pg_index AS i ON i.indexrelid = k.conindid JOIN pg_class AS x ON x.oid = k.conindid
         WHERE k.conrelid = t.oid AND k.contype IN ('p', 'u')),
    'checks', (
        SELECT coalesce(jsonb_agg(jsonb_build_object(
            'name', k.conname, 'validated', k.convalidated, 'inherited', NOT k.connoinherit,
            'comment', obj_description(k.oid, 'pg_constraint')) ORDER BY k.conname), '[]')
          FROM pg_constraint AS k WHERE k.conrelid = t.oid AND k.contype = 'c'),
    'exclusions', (
        SELECT coalesce(jsonb_agg(quote_ident(k.conname) ORDER BY k.conname), '[]')
          FROM pg_constraint AS k WHERE k.conrelid = t.oid AND k.contype = 'x'),
    'foreign_keys', (
        SELECT coalesce(jsonb_agg(jsonb_build_object(
            'name', k.conname, 'source', k.conrelid::regclass::text, 'target', k.confrelid::regclass::text,
            'definition', regexp_replace(pg_get_constraintdef(k.oid), ' NOT VALID$', ''),
            'validated', k.convalidated, 'comment', obj_description(k.oid, 'pg_constraint')) ORDER BY k.conname), '[]')
          FROM pg_constraint AS k WHERE k.conrelid = t.oid AND k.contype = 'f' AND k.conparentid = 0),
    'inbound', (
        SELECT coalesce(jsonb_agg(jsonb_build_object(
            'name', k.conname, 'source', k.conrelid::regclass::text, 'target', k.confrelid::regclass::text,
            'definition', regexp_replace(pg_get_constraintdef(k.oid), ' NOT VALID$', ''),
            'validated', k.convalidated, 'comment', obj_description(k.oid, 'pg_constraint'),
            'keys', (SELECT jsonb_agg(a.attname ORDER BY p.place)
                       FROM unnest(k.confkey) WITH ORDINALITY AS p (num, place)
                       JOIN pg_attribute AS a ON a.attrelid = t.oid AND a.attnum = p.num),
            'partitioned', (SELECT s.relkind = 'p' OR s.relispartition FROM pg_class AS s WHERE s.oid = k.conrelid))
            ORDER BY k.conrelid::regclass::text, k.conname), '[]')
          FROM pg_constraint AS k WHERE k.confrelid = t.oid AND k.contype = 'f' AND k.conparentid = 0),
    'indexes', (
        SELECT coalesce(jsonb_agg(jsonb_build_object(
            'name', x.relname, 'unique', i.indisunique, 'valid', i.indisvalid AND i.indisready AND i.indislive,
            'columns', CASE WHEN i.indexprs IS NULL THEN
                (SELECT jsonb_agg(a.attname ORDER BY p.place)
                   FROM unnest(i.indkey::int2[]) WITH ORDINALITY AS p (num, place)
                   JOIN pg_attribute AS a ON a.attrelid = t.oid AND a.attnum = p.num
                  WHERE p.place <= i.indnkeyatts) END,
            'definition', substr(pg_get_indexdef(x.oid), length(
                'CREATE ' || CASE WHEN i.indisunique THEN 'UNIQUE ' ELSE '' END || 'INDEX ' || quote_ident(x.relname)
                || CASE WHEN t.relkind = 'p' THEN ' ON ONLY ' ELSE ' ON ' END || t.oid::regclass::text || ' ') + 1),
            'partial', i.indpred IS NOT NULL,
            'tablespace', (SELECT quote_ident(spcname) FROM pg_tablespace WHERE oid = x.reltablespace),
            'where', coalesce(' WHERE ' || pg_get_expr(i.indpred, i.indrelid), ''),
            'comment', obj_description(x.oid, 'pg_class')) ORDER BY x.relname), '[]')
          FROM pg_index AS i JOIN pg_class AS x ON x.oid = i.indexrelid
         WHERE i.indrelid = t.oid AND NOT EXISTS (
            SELECT FROM pg_constraint AS k WHERE k.conindid = i.indexrelid AND k.contype IN ('p', 'u', 'x'))),
    'triggers', (
        SELECT coalesce(jsonb_agg(jsonb_build_object(
            'name', g.tgname, 'definition', pg_get_triggerdef(g.oid), 'enabled', g.tgenabled,
            'row', g.tgtype & 1 <> 0, 'before', g.tgtype & 66 <> 0,
            'transition', g.tgoldtable IS NOT NULL OR g.tgnewtable IS NOT NULL,
            'comment', obj_description(g.oid, 'pg_trigger')) ORDER BY g.tgname), '[]')
          FROM pg_trigger AS g WHERE g.tgrelid = t.oid AND NOT g.tgisinternal),
    'policies', (
        SELECT coalesce(jsonb_agg(jsonb_build_object(
            'name', p.polname,
            'definition', concat_ws(' ',
                CASE WHEN p.polpermissive THEN 'AS PERMISSIVE' ELSE 'AS RESTRICTIVE' END,
                'FOR ' || CASE p.polcmd WHEN 'r' THEN 'SELECT' WHEN 'a' THEN 'INSERT' WHEN 'w' THEN 'UPDATE'
                                        WHEN 'd' THEN 'DELETE' ELSE 'ALL' END,
                'TO ' || (SELECT string_agg(CASE WHEN r = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(r)) END, ', ')
                            FROM unnest(p.polroles) AS r),
                'USING (' || pg_get_expr(p.polqual, t.oid) || ')',
                'WITH CHECK (' || pg_get_expr(p.polwithcheck, t.oid) || ')'),
            'comment', obj_description(p.oid, 'pg_policy')) ORDER BY p.polname), '[]')
          FROM pg_policy AS p WHERE p.polrelid = t.oid),
    'grants', (
        SELECT coalesce(jsonb_agg(jsonb_build_object(
            'privilege', a.privilege_type || CASE a.kind WHEN 'C' THEN ' (' || a.of || ')' ELSE '' END,
            'grantee', CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END,
            'grantable', a.is_grantable) ORDER BY a.kind, a.grantee, a.of, a.privilege_type), '[]')
          FROM acl AS a WHERE a.grantee <> t.relowner),
    'default_grantees', (
        SELECT coalesce(jsonb_agg(DISTINCT CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END), '[]')
          FROM pg_default_acl AS f, aclexplode(f.defaclacl) AS a
         WHERE f.defaclobjtype = 'r' AND f.defaclnamespace IN (0, t.relnamespace)
           AND pg_get_userbyid(f.defaclrole) = current_user AND a.grantee NOT IN (f.defaclrole, t.relowner)),
    'default_sequence_grantees', (
        SELECT coalesce(jsonb_agg(DISTINCT CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END), '[]')
          FROM pg_default_acl AS f, aclexplode(f.defaclacl) AS a
         WHERE f.defaclobjtype = 'S' AND f.defaclnamespace IN (0, t.relnamespace)
           AND pg_get_userbyid(f.defaclrole) = current_user AND a.grantee NOT IN (f.defaclrole, t.relowner)),
    'extension', (
        SELECT quote_ident(e.extname) FROM pg_depend AS d JOIN pg_extension AS e ON e.oid = d.refobjid
         WHERE d.classid = 'pg_class'::regclass AND d.objid = t.oid AND d.refclassid = 'pg_extension'::regclass
           AND d.deptype = 'e'),
    'lost', (
        SELECT coalesce(jsonb_agg(o ORDER BY o), '[]') FROM (
            SELECT 'the mark that CLUSTER left on index ' || x.relname AS o
              FROM pg_index AS i JOIN pg_class AS x ON x.oid = i.indexrelid WHERE i.indrelid = t.oid AND i.indisclustered
            UNION ALL
            SELECT DISTINCT 'statistics targets of expressions in index ' || x.relname
              FROM pg_index AS i JOIN pg_class AS x ON x.oid = i.indexrelid JOIN pg_attribute AS a ON a.attrelid = x.oid
             WHERE i.indrelid = t.oid AND a.attstattarget >= 0
            UNION ALL
            SELECT 'that its owner gave up privileges on it'
             WHERE t.relacl IS NOT NULL AND EXISTS (
                SELECT FROM aclexplode(acldefault('r', t.relowner)) AS d WHERE d.grantee = t.relowner AND NOT EXISTS (
                    SELECT FROM aclexplode(t.relacl) AS a
                     WHERE a.grantee = t.relowner AND a.privilege_type = d.privilege_type))
            UNION ALL
            SELECT 'the comment on its row type' WHERE obj_description(t.reltype, 'pg_type') IS NOT NULL) AS _),
    'sequences', (
        SELECT coalesce(jsonb_agg(jsonb_build_object(
            'name', s.relname, 'schema', sn.nspname, 'column', a.attname, 'identity', d.deptype = 'i',
            'settings', format('START WITH %%s INCREMENT BY %%s MINVALUE %%s MAXVALUE %%s CACHE %%s %%s',
                q.seqstart, q.seqincrement, q.seqmin, q.seqmax, q.seqcache,
                CASE WHEN q.seqcycle THEN 'CYCLE' ELSE 'NO CYCLE' END),
            'increment', q.seqincrement, 'cache', q.seqcache, 'comment', obj_description(s.oid, 'pg_class'),
            'grants', (
                SELECT coalesce(jsonb_agg(jsonb_build_object(
                    'privilege', g.privilege_type,
                    'grantee', CASE g.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(g.grantee)) END,
                    'grantable', g.is_grantable) ORDER BY g.grantee, g.privilege_type), '[]')
                  FROM aclexplode(s.relacl) AS g WHERE g.grantee <> s.relowner)) ORDER BY s.relname), '[]')
          FROM pg_depend AS d JOIN pg_class AS s ON s.oid = d.objid AND s.relkind = 'S'
          JOIN pg_namespace AS sn ON sn.oid = s.relnamespace JOIN pg_sequence AS q ON q.seqrelid = s.oid
          JOIN pg_attribute AS a ON a.attrelid = t.oid AND a.attnum = d.refobjsubid
         WHERE d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass AND d.refobjid = t.oid
           AND d.deptype IN ('a', 'i')),
    'views', (
        SELECT coalesce(jsonb_agg(jsonb_build_object(
            'name', v.view::regclass::text, 'owner', quote_ident(pg_get_userbyid(c.relowner)),
            'definition', pg_get_viewdef(v.view), 'options', coalesce(to_jsonb(c.reloptions), '[]'),
            'needs_key', EXISTS (
                SELECT FROM pg_depend AS k WHERE k.classid = 'pg_rewrite'::regclass AND k.objid = v.rule
                   AND k.refclassid = 'pg_constraint'::regclass
                   AND k.refobjid IN (SELECT oid FROM pg_constraint WHERE conrelid = t.oid)))
            ORDER BY v.view::regclass::text), '[]')
          FROM view_rules AS v JOIN pg_class AS c ON c.oid = v.view WHERE v.relkind = 'v'),
    'publications', (
        SELECT coalesce(jsonb_agg(jsonb_build_object(
            'name', quote_ident(p.pubname),
            'scope', CASE WHEN p.puballtables THEN 'all' WHEN r.oid IS NOT NULL THEN 'table' ELSE 'schema' END,
            'columns', CASE WHEN to_jsonb(r) ->> 'prattrs' IS NOT NULL THEN to_jsonb(v) -> 'attnames' END,
            'condition', to_jsonb(v) ->> 'rowfilter',
            'via_root', p.pubviaroot) ORDER BY p.pubname), '[]')
          FROM pg_publication_tables AS v JOIN pg_publication AS p USING (pubname)
          LEFT JOIN pg_publication_rel AS r ON r.prpubid = p.oid AND r.prrelid = t.oid
         WHERE v.schemaname = t.nspname AND v.tablename = t.relname),
    'parents', (
        SELECT coalesce(jsonb_agg(h.inhparent::regclass::text ORDER BY h.inhparent::regclass::text), '[]') FROM pg_inherits AS h WHERE h.inhrelid = t.oid),
    'children', (
        SELECT coalesce(jsonb_agg(h.inhrelid::regclass::text ORDER BY h.inhrelid::regclass::text), '[]') FROM pg_inherits AS h WHERE h.inhparent = t.oid),
    'statistics', (
        SELECT coalesce(jsonb_agg(quote_ident(n.nspname) || '.' || quote_ident(e.stxname) ORDER BY e.stxname), '[]')
          FROM pg_statistic_ext AS e JOIN pg_namespace AS n ON n.oid = e.stxnamespace WHERE e.stxrelid = t.oid),
    'others', (
        SELECT coalesce(jsonb_agg(o ORDER BY o), '[]') FROM (
            SELECT DISTINCT coalesce(
                (SELECT CASE v.relkind WHEN 'm' THEN 'materialized view ' ELSE 'rule of ' END || v.view::regclass::text
                   FROM view_rules AS v WHERE d.classid = 'pg_rewrite'::regclass AND v.rule = d.objid),
                pg_describe_object(d.classid, d.objid, 0)) AS o
              FROM dependents AS d
             WHERE d.deptype <> 'i'
               -- Before 15 a generated column depends on its table itself, and not its expression.
               AND NOT (d.classid = 'pg_class'::regclass AND d.objid = t.oid)
               AND NOT (d.classid = 'pg_class'::regclass AND d.objid IN (SELECT indexrelid FROM pg_index WHERE indrelid = t.oid))
               AND NOT (d.classid = 'pg_class'::regclass AND EXISTS (
                    SELECT FROM pg_class AS s WHERE s.oid = d.objid AND (s.relkind = 'S' AND d.deptype = 'a' OR s.relispartition)))
               AND NOT (d.classid = 'pg_class'::regclass AND EXISTS (
                    SELECT FROM pg_inherits AS h WHERE h.inhparent = t.oid AND h.inhrelid = d.objid))
               AND d.classid NOT IN ('pg_attrdef'::regclass, 'pg_publication_rel'::regclass, 'pg_statistic_ext'::regclass)
               AND NOT (d.classid = 'pg_constraint'::regclass AND EXISTS (
                    SELECT FROM pg_constraint AS k WHERE k.oid = d.objid AND (k.conrelid = t.oid OR k.confrelid = t.oid)))
               AND NOT (d.classid = 'pg_trigger'::regclass AND EXISTS (
                    SELECT FROM pg_trigger AS g WHERE g.oid = d.objid AND g.tgrelid = t.oid))
               AND NOT (d.classid = 'pg_policy'::regclass AND EXISTS (
                    SELECT FROM pg_policy AS p WHERE p.oid = d.objid AND p.polrelid = t.oid))
               AND NOT (d.classid = 'pg_rewrite'::regclass AND EXISTS (
                    SELECT FROM view_rules AS v WHERE v.rule = d.objid AND v.relkind = 'v'))
            UNION ALL
            SELECT 'security label of provider ' || l.provider FROM pg_seclabel AS l
             WHERE l.classoid = 'pg_class'::regclass AND l.objoid = t.oid
            UNION ALL
            SELECT 'subscription ' || quote_ident(s.subname) FROM pg_subscription_rel AS r JOIN pg_subscription AS s ON s.oid = r.srsubid
             WHERE r.srrelid = t.oid) AS _)
)
FROM t
