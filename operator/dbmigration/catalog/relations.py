"""Tables and all that belongs to a table, a view or a sequence."""

from typing import Final

from dbmigration.catalog.model import POSITION
from dbmigration.catalog.select import COMMENT, Select, grants, join_comment, of_user

_SAME_KINDS = "r.relkind IN ('r', 'p', 'v', 'm', 'f')"
_KEY = "r.kind || ' ' || r.name"
_OPTIONS = "array_to_string(ARRAY(SELECT unnest({}) ORDER BY 1), ', ')"

TABLES: Final = Select(
    kind="r.kind",
    name="r.name",
    # A partition goes with its table.
    on="coalesce((SELECT p.kind || ' ' || p.name FROM pg_inherits AS i JOIN relation AS p ON p.oid = i.inhparent "
    "WHERE i.inhrelid = r.oid AND r.relispartition), 'schema ' || r.space)",
    parts={
        "definition": "CASE WHEN r.relkind IN ('v', 'm') THEN pg_get_viewdef(r.oid) END",
        "owner": "r.relowner::regrole",
        "persistence": "CASE r.relpersistence WHEN 'u' THEN 'unlogged' END",
        "partitioned by": "CASE WHEN r.relkind = 'p' THEN pg_get_partkeydef(r.oid) END",
        "partition": "pg_get_expr(r.relpartbound, r.oid)",
        "inherits": "(SELECT string_agg(inhparent::regclass::text, ', ' ORDER BY inhseqno) FROM pg_inherits "
        "WHERE inhrelid = r.oid AND NOT r.relispartition)",
        "of type": "nullif(r.reloftype, 0)::regtype",
        "row security": "CASE WHEN r.relforcerowsecurity THEN 'forced' WHEN r.relrowsecurity THEN 'on' END",
        "replica identity": "CASE WHEN r.relkind IN ('r', 'p') THEN "
        "CASE r.relreplident WHEN 'n' THEN 'nothing' WHEN 'f' THEN 'full' WHEN 'i' THEN 'index' END END",
        "access method": "(SELECT am.amname FROM pg_am AS am WHERE am.oid = r.relam AND am.amname <> 'heap')",
        "tablespace": "(SELECT spcname FROM pg_tablespace WHERE oid = r.reltablespace)",
        "options": f"nullif({_OPTIONS.format('r.reloptions')}, '')",
        "server": "(SELECT s.srvname FROM pg_foreign_table AS f JOIN pg_foreign_server AS s ON s.oid = f.ftserver WHERE f.ftrelid = r.oid)",
        **grants("r.relacl", "r", "r.relowner"),
        **COMMENT,
    },
    source=f"FROM relation AS r {join_comment('pg_class', 'r.oid')} WHERE {_SAME_KINDS}",
    always="definition",
    always_of=("view", "materialized view"),
)

COLUMNS: Final = Select(
    kind="'column'",
    name="r.name || '.' || quote_ident(a.attname)",
    on=_KEY,
    parts={
        # A view's columns are in its definition; here only what is said of them beside it.
        "type": "CASE WHEN r.relkind NOT IN ('v', 'm') THEN format_type(a.atttypid, a.atttypmod) END",
        "not null": "CASE WHEN a.attnotnull THEN 'NOT NULL' END",
        # A default has no variables, and 0 spares it the names of all columns of the table: for 400 columns 0.15 s.
        "default": "CASE WHEN a.attgenerated = '' THEN pg_get_expr(d.adbin, 0) END",
        "generated": "CASE a.attgenerated WHEN 's' THEN pg_get_expr(d.adbin, d.adrelid) || ' STORED' "
        "WHEN 'v' THEN pg_get_expr(d.adbin, d.adrelid) || ' VIRTUAL' END",
        "identity": "CASE a.attidentity WHEN 'a' THEN 'ALWAYS' WHEN 'd' THEN 'BY DEFAULT' END",
        "collation": "CASE WHEN a.attcollation <> t.typcollation THEN nullif(a.attcollation, 0)::regcollation END",
        "storage": "CASE WHEN a.attstorage <> t.typstorage THEN a.attstorage END",
        "compression": "nullif(a.attcompression, '')",
        "statistics": "CASE WHEN a.attstattarget >= 0 THEN a.attstattarget END",
        "options": f"nullif({_OPTIONS.format('a.attoptions')}, '')",
        POSITION: "CASE WHEN r.relkind NOT IN ('v', 'm') THEN a.attnum END",
        **grants("a.attacl", "c", "r.relowner"),
        **COMMENT,
    },
    source=f"""FROM pg_attribute AS a
        JOIN relation AS r ON r.oid = a.attrelid AND {_SAME_KINDS}
        JOIN pg_type AS t ON t.oid = a.atttypid
        LEFT JOIN pg_attrdef AS d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
        {join_comment("pg_class", "a.attrelid", "a.attnum")}
        WHERE a.attnum > 0 AND NOT a.attisdropped AND NOT (r.relispartition AND a.attinhcount > 0)
            AND (r.relkind NOT IN ('v', 'm') OR comment.description IS NOT NULL OR a.attacl IS NOT NULL)""",
)

CONSTRAINTS: Final = Select(
    kind="'constraint'",
    name="r.name || '.' || quote_ident(c.conname)",
    on=_KEY,
    parts={"definition": "pg_get_constraintdef(c.oid)", **COMMENT},
    # NOT NULL is a part of its column; it has a row of its own here since 18, which matters only while it is not validated.
    always="definition",
    source=f"""FROM pg_constraint AS c
        JOIN relation AS r ON r.oid = c.conrelid
        {join_comment("pg_constraint", "c.oid")}
        WHERE (c.contype IN ('c', 'f', 'p', 'u', 'x') OR c.contype = 'n' AND NOT c.convalidated)
            AND c.conparentid = 0 AND NOT (r.relispartition AND c.coninhcount > 0)""",
)

INDEXES: Final = Select(
    kind="'index'",
    name="r.space || '.' || quote_ident(c.relname)",
    # What a constraint made goes with the constraint.
    on="coalesce('constraint ' || r.name || '.' || quote_ident(k.conname), " + _KEY + ")",
    parts={
        "definition": "pg_get_indexdef(c.oid)",
        "state": "CASE WHEN NOT i.indisvalid THEN 'INVALID' WHEN NOT i.indisready OR NOT i.indislive THEN 'not ready' END",
        "clustered": "CASE WHEN i.indisclustered THEN 'yes' END",
        "replica identity": "CASE WHEN i.indisreplident THEN 'yes' END",
        "tablespace": "(SELECT spcname FROM pg_tablespace WHERE oid = c.reltablespace)",
        **COMMENT,
    },
    always="definition",
    source=f"""FROM pg_index AS i
        JOIN pg_class AS c ON c.oid = i.indexrelid
        JOIN relation AS r ON r.oid = i.indrelid
        LEFT JOIN pg_constraint AS k ON k.conindid = c.oid AND k.contype IN ('p', 'u', 'x')
        {join_comment("pg_class", "c.oid")}
        WHERE NOT c.relispartition""",
)

TRIGGERS: Final = Select(
    there=of_user("pg_trigger", "NOT tgisinternal"),
    kind="'trigger'",
    name="r.name || '.' || quote_ident(t.tgname)",
    on=_KEY,
    parts={
        "definition": "pg_get_triggerdef(t.oid)",
        "fires": "CASE t.tgenabled WHEN 'D' THEN 'never' WHEN 'R' THEN 'on a replica' WHEN 'A' THEN 'always' END",
        **COMMENT,
    },
    always="definition",
    source=f"""FROM pg_trigger AS t JOIN relation AS r ON r.oid = t.tgrelid {join_comment("pg_trigger", "t.oid")}
        WHERE NOT t.tgisinternal AND t.tgparentid = 0""",
)

RULES: Final = Select(
    there=of_user("pg_rewrite", "rulename <> '_RETURN'"),
    kind="'rule'",
    name="r.name || '.' || quote_ident(w.rulename)",
    on=_KEY,
    parts={
        "definition": "pg_get_ruledef(w.oid)",
        "fires": "CASE w.ev_enabled WHEN 'D' THEN 'never' WHEN 'R' THEN 'on a replica' WHEN 'A' THEN 'always' END",
        **COMMENT,
    },
    always="definition",
    source=f"""FROM pg_rewrite AS w JOIN relation AS r ON r.oid = w.ev_class {join_comment("pg_rewrite", "w.oid")}
        WHERE w.rulename <> '_RETURN'""",
)

POLICIES: Final = Select(
    there=of_user("pg_policy"),
    kind="'policy'",
    name="r.name || '.' || quote_ident(p.polname)",
    on=_KEY,
    parts={
        "command": "CASE p.polcmd WHEN 'r' THEN 'SELECT' WHEN 'a' THEN 'INSERT' WHEN 'w' THEN 'UPDATE' WHEN 'd' THEN 'DELETE' "
        "ELSE 'ALL' END",
        "restrictive": "CASE WHEN NOT p.polpermissive THEN 'yes' END",
        "roles": """(SELECT string_agg(CASE WHEN role = 0 THEN 'PUBLIC' ELSE role::regrole::text END, ', '
            ORDER BY role::regrole::text COLLATE "C") FROM unnest(p.polroles) AS role)""",
        "using": "pg_get_expr(p.polqual, p.polrelid)",
        "with check": "pg_get_expr(p.polwithcheck, p.polrelid)",
        **COMMENT,
    },
    source=f"FROM pg_policy AS p JOIN relation AS r ON r.oid = p.polrelid {join_comment('pg_policy', 'p.oid')}",
)

STATISTICS: Final = Select(
    there=of_user("pg_statistic_ext"),
    kind="'statistics'",
    name="s.name || '.' || quote_ident(x.stxname)",
    on=_KEY,
    parts={"definition": "pg_get_statisticsobjdef(x.oid)", **COMMENT},
    always="definition",
    source=f"""FROM pg_statistic_ext AS x JOIN space AS s ON s.oid = x.stxnamespace JOIN relation AS r ON r.oid = x.stxrelid
        {join_comment("pg_statistic_ext", "x.oid")}""",
)

SEQUENCES: Final = Select(
    kind="'sequence'",
    name="r.name",
    # The sequence of a serial or identity column goes with the column.
    on="CASE WHEN d.objid IS NULL THEN 'schema ' || r.space ELSE 'column ' || t.name || '.' || quote_ident(a.attname) END",
    parts={
        "type": "format_type(q.seqtypid, NULL)",
        "start": "q.seqstart",
        "increment": "q.seqincrement",
        "minimum": "q.seqmin",
        "maximum": "q.seqmax",
        "cache": "nullif(q.seqcache, 1)",
        "cycle": "CASE WHEN q.seqcycle THEN 'yes' END",
        # It has to be its table's owner.
        "owner": "CASE WHEN d.objid IS NULL THEN r.relowner::regrole END",
        "persistence": "CASE r.relpersistence WHEN 'u' THEN 'unlogged' END",
        **grants("r.relacl", "s", "r.relowner"),
        **COMMENT,
    },
    source=f"""FROM relation AS r
        JOIN pg_sequence AS q ON q.seqrelid = r.oid
        LEFT JOIN pg_depend AS d ON d.classid = 'pg_class'::regclass AND d.objid = r.oid AND d.deptype IN ('a', 'i')
            AND d.refclassid = 'pg_class'::regclass AND d.refobjsubid > 0
        LEFT JOIN relation AS t ON t.oid = d.refobjid
        LEFT JOIN pg_attribute AS a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
        {join_comment("pg_class", "r.oid")}
        WHERE r.relkind = 'S' AND (d.objid IS NULL OR t.oid IS NOT NULL)""",
)

SELECTS: Final = (TABLES, COLUMNS, CONSTRAINTS, INDEXES, TRIGGERS, RULES, POLICIES, STATISTICS, SEQUENCES)
