"""Schemas, functions, types, extensions and whatever else a schema can hold."""

from typing import Final

from dbmigration.catalog.select import BY_NAME, COMMENT, USER_OIDS, Select, grants, join_comment, not_a_member, of_user

SCHEMAS: Final = Select(
    kind="'schema'",
    name="s.name",
    parts={"owner": "s.nspowner::regrole", **grants("s.nspacl", "n", "s.nspowner"), **COMMENT},
    source=f"FROM space AS s {join_comment('pg_namespace', 's.oid')} WHERE {not_a_member('pg_namespace', 's.oid')}",
)

FUNCTIONS: Final = Select(
    there=of_user("pg_proc"),
    kind="CASE p.prokind WHEN 'p' THEN 'procedure' WHEN 'a' THEN 'aggregate' ELSE 'function' END",
    name="p.oid::regprocedure::text",
    on="'schema ' || s.name",
    parts={
        "definition": """CASE WHEN p.prokind <> 'a' THEN pg_get_functiondef(p.oid) ELSE
            (SELECT format('%s of state %s with %s, final %s, combine %s, initial %s, moving %s %s %s, sort %s, parallel %s',
                pg_get_function_result(p.oid), format_type(g.aggtranstype, NULL), g.aggtransfn::regprocedure, g.aggfinalfn, g.aggcombinefn,
                quote_nullable(g.agginitval), g.aggmtransfn, g.aggminvtransfn, g.aggmfinalfn, g.aggsortop::regoperator, p.proparallel)
            FROM pg_aggregate AS g WHERE g.aggfnoid = p.oid) END""",
        "owner": "p.proowner::regrole",
        **grants("p.proacl", "f", "p.proowner"),
        **COMMENT,
    },
    always="definition",
    source=f"""FROM pg_proc AS p JOIN space AS s ON s.oid = p.pronamespace {join_comment("pg_proc", "p.oid")}
        WHERE {not_a_member("pg_proc", "p.oid")}""",
)

TYPES: Final = Select(
    kind="CASE t.typtype WHEN 'e' THEN 'enum' WHEN 'd' THEN 'domain' WHEN 'c' THEN 'composite type' WHEN 'r' THEN 'range type' "
    "ELSE 'type' END",
    name="s.name || '.' || quote_ident(t.typname)",
    on="'schema ' || s.name",
    parts={
        "values": "(SELECT string_agg(quote_literal(enumlabel), ', ' ORDER BY enumsortorder) FROM pg_enum WHERE enumtypid = t.oid)",
        "columns": """CASE WHEN t.typtype = 'c' THEN (SELECT coalesce(string_agg(quote_ident(attname) || ' '
            || format_type(atttypid, atttypmod), ', ' ORDER BY attnum), '')
            FROM pg_attribute WHERE attrelid = t.typrelid AND attnum > 0 AND NOT attisdropped) END""",
        "type": "CASE WHEN t.typtype = 'd' THEN format_type(t.typbasetype, t.typtypmod) END",
        "not null": "CASE WHEN t.typnotnull THEN 'NOT NULL' END",
        "default": "t.typdefault",
        "collation": "CASE WHEN t.typtype = 'd' AND t.typcollation <> b.typcollation THEN t.typcollation::regcollation END",
        "range of": "(SELECT format_type(rngsubtype, NULL) FROM pg_range WHERE rngtypid = t.oid)",
        "owner": "t.typowner::regrole",
        **grants("t.typacl", "T", "t.typowner"),
        **COMMENT,
    },
    # A table's row type and the array and multirange types come and go with what they are of.
    source=f"""FROM pg_type AS t
        JOIN space AS s ON s.oid = t.typnamespace
        LEFT JOIN pg_type AS b ON b.oid = t.typbasetype
        LEFT JOIN pg_class AS c ON c.oid = t.typrelid
        {join_comment("pg_type", "t.oid")}
        WHERE t.typtype IN ('e', 'd', 'c', 'r', 'b') AND (t.typrelid = 0 OR c.relkind = 'c')
            AND NOT EXISTS (SELECT FROM pg_type AS e WHERE e.typarray = t.oid) AND {not_a_member("pg_type", "t.oid")}""",
)

DOMAIN_CONSTRAINTS: Final = Select(
    there=of_user("pg_constraint", "contypid <> 0"),
    kind="'constraint'",
    name="s.name || '.' || quote_ident(t.typname) || '.' || quote_ident(c.conname)",
    on="'domain ' || s.name || '.' || quote_ident(t.typname)",
    parts={"definition": "pg_get_constraintdef(c.oid)", **COMMENT},
    always="definition",
    source=f"""FROM pg_constraint AS c
        JOIN pg_type AS t ON t.oid = c.contypid
        JOIN space AS s ON s.oid = t.typnamespace
        {join_comment("pg_constraint", "c.oid")}
        WHERE c.contype = 'c' AND {not_a_member("pg_type", "t.oid")}""",
)

EXTENSIONS: Final = Select(
    there=of_user("pg_extension"),
    kind="'extension'",
    name="quote_ident(e.extname)",
    parts={"version": "e.extversion", "schema": "e.extnamespace::regnamespace"},
    source=f"FROM pg_extension AS e WHERE e.oid >= {USER_OIDS}",
)

DEFAULT_PRIVILEGES: Final = Select(
    there=of_user("pg_default_acl"),
    kind="'default privileges'",
    name="""format('of %s%s on %s', d.defaclrole::regrole, ' in schema ' || nullif(d.defaclnamespace, 0)::regnamespace::text,
        CASE d.defaclobjtype WHEN 'r' THEN 'tables' WHEN 'S' THEN 'sequences' WHEN 'f' THEN 'functions' WHEN 'T' THEN 'types'
        WHEN 'n' THEN 'schemas' ELSE 'large objects' END)""",
    parts={
        "grants": """(SELECT string_agg(line, E'\\n' ORDER BY line COLLATE "C") FROM (
            SELECT CASE WHEN grantee = 0 THEN 'PUBLIC' ELSE grantee::regrole::text END || '=' || string_agg(privilege_type
                || CASE WHEN is_grantable THEN ' WITH GRANT OPTION' ELSE '' END, ', ' ORDER BY privilege_type, is_grantable) AS line
            FROM aclexplode(d.defaclacl) GROUP BY grantee) AS lines)""",
    },
    source="FROM pg_default_acl AS d",
)

EVENT_TRIGGERS: Final = Select(
    there=of_user("pg_event_trigger"),
    kind="'event trigger'",
    name="quote_ident(e.evtname)",
    parts={
        "definition": "format('%s %s %s', e.evtevent, e.evtfoid::regprocedure, e.evttags)",
        "fires": "CASE e.evtenabled WHEN 'D' THEN 'never' WHEN 'R' THEN 'on a replica' WHEN 'A' THEN 'always' END",
        "owner": "e.evtowner::regrole",
        **COMMENT,
    },
    source=f"""FROM pg_event_trigger AS e {join_comment("pg_event_trigger", "e.oid")}
        WHERE {not_a_member("pg_event_trigger", "e.oid")}""",
)

PUBLICATIONS: Final = Select(
    there=of_user("pg_publication"),
    kind="'publication'",
    name="quote_ident(p.pubname)",
    parts={
        "publishes": "concat_ws(', ', CASE WHEN p.pubinsert THEN 'insert' END, CASE WHEN p.pubupdate THEN 'update' END, "
        "CASE WHEN p.pubdelete THEN 'delete' END, CASE WHEN p.pubtruncate THEN 'truncate' END, "
        "CASE WHEN p.pubviaroot THEN 'through the root' END)",
        "tables": """CASE WHEN p.puballtables THEN 'all' ELSE (SELECT string_agg(prrelid::regclass::text, ', '
            ORDER BY prrelid::regclass::text COLLATE "C") FROM pg_publication_rel WHERE prpubid = p.oid) END""",
        "owner": "p.pubowner::regrole",
        **COMMENT,
    },
    source=f"FROM pg_publication AS p {join_comment('pg_publication', 'p.oid')}",
)

FOREIGN_SERVERS: Final = Select(
    there=of_user("pg_foreign_server"),
    kind="'foreign server'",
    name="quote_ident(f.srvname)",
    parts={
        "definition": "format('%s %s %s', w.fdwname, f.srvtype, f.srvversion)",
        # Some wrappers keep keys here: what they are is not written down, only whether they changed.
        "options": "CASE WHEN f.srvoptions IS NOT NULL THEN 'md5 ' || md5(f.srvoptions::text) END",
        "owner": "f.srvowner::regrole",
        **grants("f.srvacl", "S", "f.srvowner"),
        **COMMENT,
    },
    source=f"""FROM pg_foreign_server AS f JOIN pg_foreign_data_wrapper AS w ON w.oid = f.srvfdw
        {join_comment("pg_foreign_server", "f.oid")} WHERE {not_a_member("pg_foreign_server", "f.oid")}""",
)


def _known_by_name(catalog: str) -> Select:
    """Rare kinds: that they are there is all that is written down."""
    return Select(
        there=of_user(catalog),
        kind="i.type",
        name="i.identity",
        on="'schema ' || i.schema",
        parts={},
        source=f"""FROM {catalog} AS o CROSS JOIN LATERAL pg_identify_object('{catalog}'::regclass, o.oid, 0) AS i
            WHERE o.oid >= {USER_OIDS} AND {not_a_member(catalog, "o.oid")}""",
    )


SELECTS: Final = (
    SCHEMAS,
    FUNCTIONS,
    TYPES,
    DOMAIN_CONSTRAINTS,
    EXTENSIONS,
    DEFAULT_PRIVILEGES,
    EVENT_TRIGGERS,
    PUBLICATIONS,
    FOREIGN_SERVERS,
    *(_known_by_name(catalog) for catalog in BY_NAME),
)
