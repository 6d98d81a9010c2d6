"""Index builds that stop writers, and foreign keys that nothing finds by."""

from collections.abc import Iterator

from dbmigration.lint import operations as op
from dbmigration.lint.context import Context
from dbmigration.lint.definitions import ConstraintKind, Object
from dbmigration.lint.finding import Severity
from dbmigration.lint.model import Model
from dbmigration.lint.names import Relation
from dbmigration.lint.rule import NO_VERIFY, Hit, operation_rule, set_rule


@operation_rule(
    Severity.WARNING, "An index of an existing table is built without CONCURRENTLY", op.CreateIndex, roles=NO_VERIFY, by_size=True
)
def create_index_not_concurrently(index: op.CreateIndex, c: Context) -> Iterator[Hit]:
    if index.concurrently or index.only or c.is_new(index.table):
        return
    known = c.table(index.table)
    if known is not None and known.partitioned:
        yield Hit(
            f"nobody can write to {index.table} while its partitions are indexed: CREATE INDEX ON ONLY it, CREATE INDEX CONCURRENTLY on "
            "each partition, then ALTER INDEX … ATTACH PARTITION",
            table=index.table,
        )
        return
    yield Hit(
        f"nobody can write to {index.table} while this index is built: CREATE INDEX CONCURRENTLY, in a file of its own",
        table=index.table,
    )


@operation_rule(Severity.WARNING, "An index is dropped without CONCURRENTLY", op.Drop)
def drop_index_not_concurrently(drop: op.Drop, c: Context) -> Iterator[Hit]:
    if drop.kind is not Object.INDEX or drop.concurrently:
        return
    owner = c.model.index_table.get(drop.name.name)
    if owner is not None and c.is_new(owner):
        return
    table = f" of {owner}" if owner is not None else ""
    yield Hit(
        f"DROP INDEX waits for every query{table} to end, and every later one waits behind it: "
        "DROP INDEX CONCURRENTLY, in a file of its own"
    )


@operation_rule(Severity.WARNING, "REINDEX without CONCURRENTLY", op.Reindex, roles=NO_VERIFY, by_size=True)
def reindex_not_concurrently(reindex: op.Reindex, c: Context) -> Iterator[Hit]:
    if reindex.concurrently:
        return
    table = c.model.index_table.get(reindex.name.name) if reindex.kind == "index" else reindex.name if reindex.kind == "table" else None
    if table is not None and c.is_new(table):
        return
    yield Hit(
        f"nobody can write, and queries that would use the index cannot even plan, while {reindex.kind} {reindex.name} is reindexed: "
        "REINDEX … CONCURRENTLY (PostgreSQL 12)",
        table=table,
    )


@operation_rule(Severity.WARNING, "A materialized view is refreshed without CONCURRENTLY", op.Refresh, roles=NO_VERIFY)
def refresh_not_concurrently(refresh: op.Refresh, c: Context) -> Iterator[Hit]:
    if not refresh.concurrently and not c.is_new(refresh.name):
        yield Hit(
            f"nobody can read {refresh.name} while it is filled anew: "
            "REFRESH MATERIALIZED VIEW CONCURRENTLY, which wants a unique index on it"
        )


@set_rule(Severity.WARNING, "A foreign key whose columns no index begins with")
def foreign_key_without_index(model: Model) -> Iterator[tuple[str, Hit]]:
    for table, placed in model.all_constraints():
        constraint = placed.constraint
        if constraint.kind is not ConstraintKind.FOREIGN_KEY or not constraint.columns or table.temporary:
            continue
        if table.file is None and not all(column in table.columns for column in constraint.columns):
            continue  # the column was there before the set, and so may be its index
        if not table.covers(constraint.columns) and not _covered_in_catalog(model, table.name, constraint.columns):
            yield (
                placed.file,
                Hit(
                    f"no index of {table.name} begins with {', '.join(constraint.columns)}: each DELETE or key UPDATE in "
                    f"{constraint.references} reads all of {table.name}, and joins have nothing to go by",
                    line=placed.line,
                    table=table.name,
                ),
            )


def _covered_in_catalog(model: Model, name: Relation, columns: tuple[str, ...]) -> bool:
    facts = model.catalog.facts(name) if model.catalog is not None else None
    indexes = (facts.indexes if facts is not None else None) or ()
    return any(set(index[: len(columns)]) == set(columns) for index in indexes)
