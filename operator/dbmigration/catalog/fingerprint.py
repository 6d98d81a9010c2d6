"""A number that changes with every change of the schema, and is read a hundred times faster than the schema.

Every row of the system catalogs that describes an object carries the transaction that wrote it (xmin) and its place (ctid): DDL cannot
change an object without writing its row anew. Statistics that VACUUM, ANALYZE and index builds write in place do not count, since they
change neither. The other way round it proves nothing: TRUNCATE or a restored dump write new rows for the same schema. So an equal
fingerprint means an equal schema, and another one means: look closely.
"""

from collections.abc import Mapping
from typing import Final

from dbmigration.catalog.select import BY_NAME, USER_OIDS
from dbmigration.migrations.model import HistoryTable
from dbmigration.postgres.quote import literal
from dbmigration.postgres.schema import SCHEMA

# Temporary objects of other sessions come and go; what is ours is written by every run.
_OF_RELATION: Final = "c.oid IN (SELECT oid FROM relation)"
_CATALOGS: Final[Mapping[str, str]] = {
    "pg_namespace": "c.oid IN (SELECT oid FROM space)",
    "pg_class": _OF_RELATION,
    # The system's columns of a table are the same for all tables, and six of them.
    "pg_attribute": "c.attnum > 0 AND c.attrelid IN (SELECT oid FROM relation)",
    "pg_attrdef": "c.adrelid IN (SELECT oid FROM relation)",
    "pg_index": "c.indrelid IN (SELECT oid FROM relation)",
    "pg_inherits": "c.inhrelid IN (SELECT oid FROM relation)",
    "pg_trigger": "c.tgrelid IN (SELECT oid FROM relation)",
    "pg_rewrite": "c.ev_class IN (SELECT oid FROM relation)",
    "pg_policy": "c.polrelid IN (SELECT oid FROM relation)",
    "pg_sequence": "c.seqrelid IN (SELECT oid FROM relation)",
    "pg_constraint": "c.connamespace IN (SELECT oid FROM space) AND (c.conrelid = 0 OR c.conrelid IN (SELECT oid FROM relation))",
    "pg_type": "c.typnamespace IN (SELECT oid FROM space) AND c.oid >= {USER_OIDS}",
    "pg_proc": "c.pronamespace IN (SELECT oid FROM space) AND c.oid >= {USER_OIDS}",
    "pg_statistic_ext": "c.stxnamespace IN (SELECT oid FROM space)",
    "pg_enum": "c.oid >= {USER_OIDS}",
    "pg_range": "c.rngtypid >= {USER_OIDS}",
    "pg_aggregate": "c.aggfnoid::oid >= {USER_OIDS}",
    "pg_description": "c.objoid >= {USER_OIDS} OR c.classoid = 'pg_catalog.pg_namespace'::pg_catalog.regclass",
    "pg_publication_rel": "true",
    "pg_extension": "c.oid >= {USER_OIDS}",
    "pg_event_trigger": "c.oid >= {USER_OIDS}",
    "pg_publication": "c.oid >= {USER_OIDS}",
    "pg_foreign_server": "c.oid >= {USER_OIDS}",
    "pg_default_acl": "true",
    # Of the rare kinds a snapshot knows only that they are there, and that shows in what they depend on: one catalog for fourteen.
    "pg_depend": "c.objid >= {USER_OIDS} AND c.classid IN ("
    + ", ".join(f"'pg_catalog.{name}'::pg_catalog.regclass" for name in BY_NAME)
    + ")",
}


def fingerprint(table: HistoryTable) -> str:
    """An SQL expression of type text. It names its catalogs in full: the search_path may be anything."""
    sums = ",\n".join(
        f"(SELECT count(*) || '/' || coalesce(sum(hashtext(c.ctid::text || c.xmin::text)::bigint), 0) FROM pg_catalog.{catalog} AS c "
        f"WHERE {condition.replace('{USER_OIDS}', str(USER_OIDS))})"
        for catalog, condition in _CATALOGS.items()
    )
    return f"""(
        WITH space AS MATERIALIZED (
            SELECT n.oid FROM pg_catalog.pg_namespace AS n WHERE n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', '{SCHEMA}')
        ),
        history AS MATERIALIZED (
            SELECT c.oid FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
            WHERE n.nspname = {literal(table.schema)} AND c.relname = {literal(table.table)}
        ),
        relation AS MATERIALIZED (
            SELECT c.oid FROM pg_catalog.pg_class AS c WHERE c.relnamespace IN (SELECT oid FROM space)
                AND c.oid NOT IN (SELECT oid FROM history)
                AND c.oid NOT IN (SELECT i.indexrelid FROM pg_catalog.pg_index AS i WHERE i.indrelid IN (SELECT oid FROM history))
        )
        SELECT pg_catalog.md5(concat_ws(' ', {sums}))
    )"""
