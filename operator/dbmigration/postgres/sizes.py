"""How much is in a table: an estimate from the catalog, and a count where that costs next to nothing."""

from collections.abc import Sequence
from dataclasses import dataclass

from dbmigration.postgres.quote import identifier, literal
from dbmigration.postgres.session import Session

COUNTED_BYTES = 8 * 1024 * 1024
"""Up to this size a table is counted: milliseconds, and reltuples is -1 for a small table until it is first analyzed."""


@dataclass(frozen=True, slots=True)
class TableSize:
    """`rows`: pg_class.reltuples (manual 53.11), an estimate, with partitions and heirs; None: never analyzed. `bytes` with indexes and
    TOAST.

    `name` is schema-qualified and quoted; `columns` are those that the table has.
    """

    name: str
    rows: int | None
    bytes: int
    columns: tuple[str, ...]

    @property
    def countable(self) -> bool:
        return self.bytes <= COUNTED_BYTES


_SIZES = """
WITH RECURSIVE named AS (
    SELECT n.number, pg_catalog.to_regclass(n.name)::oid AS root FROM pg_catalog.unnest(%s::text[]) WITH ORDINALITY AS n (name, number)
), family AS (
    SELECT number, root, root AS member FROM named WHERE root IS NOT NULL
    UNION
    SELECT f.number, f.root, i.inhrelid FROM family AS f JOIN pg_catalog.pg_inherits AS i ON i.inhparent = f.member
)
SELECT f.number, pg_catalog.format('%%I.%%I', n.nspname, r.relname),
    CASE WHEN pg_catalog.bool_or(c.reltuples < 0 AND c.relkind <> 'p') THEN NULL
        ELSE pg_catalog.sum(greatest(c.reltuples, 0)) FILTER (WHERE c.relkind <> 'p')::bigint END,
    pg_catalog.sum(pg_catalog.pg_total_relation_size(c.oid))::bigint,
    (SELECT pg_catalog.array_agg(a.attname::text) FROM pg_catalog.pg_attribute AS a
        WHERE a.attrelid = r.oid AND a.attnum > 0 AND NOT a.attisdropped)
FROM family AS f
JOIN pg_catalog.pg_class AS c ON c.oid = f.member
JOIN pg_catalog.pg_class AS r ON r.oid = f.root
JOIN pg_catalog.pg_namespace AS n ON n.oid = r.relnamespace
WHERE c.relkind IN ('r', 'p', 'm', 'f')
GROUP BY f.number, n.nspname, r.relname, r.oid
"""


def table_sizes(session: Session, names: Sequence[str]) -> dict[str, TableSize]:
    """By the name given, as SQL has it: quoted, with or without its schema. A table that is not there is left out."""
    rows = session.query(_SIZES, (list(names),))
    return {names[number - 1]: TableSize(name, count, size, tuple(columns or ())) for number, name, count, size, columns in rows}


def column_values(session: Session, table: TableSize, column: str = "") -> int | None:
    """How many rows there are, or how many of them have a value in `column`; None when there is no such column.

    Waits no longer for a lock than the session's lock_timeout. Raises as `Session.query` does.
    """
    if column and column not in table.columns:
        return None
    what = identifier(column) if column else "*"
    return int(session.query(f"SELECT pg_catalog.count({what}) FROM {table.name}")[0][0])


def schema_tables(session: Session, schemas: Sequence[str]) -> list[tuple[str, str]]:
    """(schema, name) of every table of these schemas, partitions left out: they count with their parent."""
    return [
        (schema, name)
        for schema, name in session.query(
            """SELECT n.nspname, c.relname FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
            WHERE n.nspname = ANY (%s) AND c.relkind IN ('r', 'p') AND NOT c.relispartition ORDER BY 1, 2""",
            (list(schemas),),
        )
    ]


def row_counts(session: Session) -> dict[str, int]:
    """The number of rows of each table, counted, by its quoted name; ours and the system's are left out. For small databases."""
    names = session.query(
        """SELECT pg_catalog.format('%I.%I', n.nspname, c.relname) FROM pg_catalog.pg_class AS c
        JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
        WHERE c.relkind = 'r' AND n.nspname NOT IN ('information_schema', 'dbmigration') AND n.nspname !~ '^pg_' ORDER BY 1"""
    )
    if not names:
        return {}
    counts = " UNION ALL ".join(f"SELECT {literal(name)}::text, pg_catalog.count(*) FROM {name}" for (name,) in names)
    return dict(session.query(counts))


def database_bytes(session: Session) -> int:
    """What the session's database takes on its server's disk."""
    size: int = session.query("SELECT pg_catalog.pg_database_size(pg_catalog.current_database())")[0][0]
    return size
