"""What lint wants to know of a live database: which relations there are, how big they are, their columns and indexes. One query.

Sizes are what VACUUM, ANALYZE and the statistics left behind, because asking for a file's size waits for whoever holds the table's
ACCESS EXCLUSIVE lock. Measured are only tables that are asked for and that nobody analyzed yet, and none that somebody locks right now.
"""

from typing import TYPE_CHECKING, Any, Final

from dbmigration.lint.catalog import Catalog, TableFacts
from dbmigration.lint.names import Relation

if TYPE_CHECKING:
    from dbmigration.postgres.session import Session

_RELATIONS: Final = """
WITH given AS (
    SELECT %s::text[] AS names
), locked AS MATERIALIZED (
    SELECT relation FROM pg_catalog.pg_locks
    WHERE mode = 'AccessExclusiveLock' AND relation IS NOT NULL
        AND database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database())
), pages AS (
    SELECT x.indrelid AS oid, sum(i.relpages) AS indexes
    FROM pg_catalog.pg_index AS x JOIN pg_catalog.pg_class AS i ON i.oid = x.indexrelid GROUP BY 1
)
SELECT c.oid, h.inhparent, n.nspname::text, c.relname::text, c.relkind IN ('r', 'p', 'm'),
    CASE WHEN c.relkind = 'p' THEN 0 ELSE greatest(c.reltuples, nullif(pg_catalog.pg_stat_get_live_tuples(c.oid), 0))::bigint END,
    CASE WHEN c.reltuples < 0 AND c.relkind IN ('r', 'm') AND c.oid NOT IN (SELECT relation FROM locked)
              AND (asked.wholly OR c.relispartition)
         THEN coalesce(pg_catalog.pg_total_relation_size(c.oid), 0)
         ELSE (c.relpages + coalesce(t.relpages, 0) + coalesce(p.indexes, 0))
              * pg_catalog.current_setting('block_size')::bigint END::bigint,
    CASE WHEN asked.wholly THEN
        ARRAY(SELECT a.attname::text FROM pg_catalog.pg_attribute AS a
              WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum) END,
    CASE WHEN asked.wholly THEN (SELECT pg_catalog.json_agg(ARRAY(
            SELECT coalesce(a.attname::text, '')
            FROM pg_catalog.unnest(x.indkey::smallint[]) WITH ORDINALITY AS k (attnum, place)
            LEFT JOIN pg_catalog.pg_attribute AS a ON a.attrelid = x.indrelid AND a.attnum = k.attnum
            WHERE k.place <= x.indnkeyatts ORDER BY k.place))
     FROM pg_catalog.pg_index AS x WHERE x.indrelid = c.oid AND x.indisvalid AND x.indpred IS NULL) END
FROM pg_catalog.pg_class AS c
    JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
    CROSS JOIN LATERAL (SELECT names IS NULL OR c.relname::text = ANY (names) AS wholly FROM given) AS asked
    LEFT JOIN pg_catalog.pg_inherits AS h ON h.inhrelid = c.oid AND c.relispartition
    LEFT JOIN pg_catalog.pg_class AS t ON t.oid = c.reltoastrelid
    LEFT JOIN pages AS p ON p.oid = c.oid
WHERE c.relkind IN ('r', 'p', 'm', 'v', 'S', 'f') AND n.nspname NOT IN ('information_schema', 'dbmigration') AND n.nspname !~ '^pg_'
"""


def read_catalog(session: "Session", names: frozenset[str] | None = None) -> Catalog:
    """The database as it is now. `names` (without schemas): what is to be known wholly, None for all.

    Raises what `Session.query` raises.
    """
    tables: dict[Relation, TableFacts] = {}
    others: set[Relation] = set()
    by_oid: dict[int, Relation] = {}
    parents: dict[int, int] = {}
    for oid, parent, schema, name, is_table, rows, size, columns, indexes in session.query(
        _RELATIONS, (sorted(names) if names is not None else None,)
    ):
        relation = Relation(schema, name)
        if not is_table:
            others.add(relation)
            continue
        by_oid[oid] = relation
        if parent is not None:
            parents[oid] = parent
        tables[relation] = TableFacts(rows, size, None if columns is None else tuple(columns), _indexes(indexes))
    return Catalog(_with_partitions(tables, by_oid, parents), frozenset(others), names)


def _indexes(found: Any) -> tuple[tuple[str, ...], ...]:
    return tuple(tuple(index) for index in found or ())


def _with_partitions(tables: dict[Relation, TableFacts], names: dict[int, Relation], parents: dict[int, int]) -> dict[Relation, TableFacts]:
    """A partitioned table has no rows of its own: it gets its partitions' sum, through all levels."""
    total = dict(tables)
    for oid in parents:
        part = tables[names[oid]]
        above = parents.get(oid)
        while above is not None and above in names:
            whole = total[names[above]]
            total[names[above]] = TableFacts(whole.rows + max(part.rows, 0), whole.bytes + part.bytes, whole.columns, whole.indexes)
            above = parents.get(above)
    return total
