"""Statements that no transaction can hold: what to note before one runs, and whether it happened when nobody saw its end.

Only the catalog is asked. Where it cannot tell, nothing is guessed: OUTCOME_UNKNOWN.
"""

from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Any

from dbmigration.migrations import tree
from dbmigration.postgres.quote import identifier, literal
from dbmigration.postgres.session import Session

Note = Mapping[str, Any]
"""What was noted of a statement, kept as JSON in its progress row. `what` is a `What`."""


class What(StrEnum):
    """Kinds of statements that differ in how their outcome is found out."""

    CREATE_INDEX = "create index concurrently"
    DROP_INDEX = "drop index concurrently"
    REINDEX = "reindex"
    DETACH = "detach partition concurrently"
    CREATE_DATABASE = "create database"
    DROP_DATABASE = "drop database"
    CREATE_TABLESPACE = "create tablespace"
    DROP_TABLESPACE = "drop tablespace"
    CREATE_SUBSCRIPTION = "create subscription"
    DROP_SUBSCRIPTION = "drop subscription"
    ADD_VALUE = "alter type add value"
    END_PREPARED = "commit or rollback prepared"
    AGAIN = "may run again"
    """VACUUM, ANALYZE, CLUSTER, ALTER SYSTEM, CHECKPOINT, ALTER DATABASE SET TABLESPACE, a refresh of a subscription: running it twice is
    running it once."""
    PROCEDURE = "procedure"
    """CALL and DO: they may have committed a part of their work, even when they fail."""
    OTHER = "other"


class Outcome(StrEnum):
    HAPPENED = "happened"
    RUN_AGAIN = "run again"
    UNKNOWN = "unknown"


_LEAVES_TRACES = frozenset({What.CREATE_INDEX, What.DROP_INDEX, What.REINDEX, What.DETACH, What.PROCEDURE})

_EXISTS: Mapping[What, tuple[str, bool]] = {
    What.CREATE_DATABASE: ("SELECT FROM pg_catalog.pg_database WHERE datname = %s", True),
    What.DROP_DATABASE: ("SELECT FROM pg_catalog.pg_database WHERE datname = %s", False),
    What.CREATE_TABLESPACE: ("SELECT FROM pg_catalog.pg_tablespace WHERE spcname = %s", True),
    What.DROP_TABLESPACE: ("SELECT FROM pg_catalog.pg_tablespace WHERE spcname = %s", False),
    What.CREATE_SUBSCRIPTION: ("SELECT FROM pg_catalog.pg_subscription WHERE subname = %s", True),
    What.DROP_SUBSCRIPTION: ("SELECT FROM pg_catalog.pg_subscription WHERE subname = %s", False),
    What.END_PREPARED: ("SELECT FROM pg_catalog.pg_prepared_xacts WHERE gid = %s", False),
}
"""Where a name is looked up, and whether the statement makes it be there."""


def note(session: Session, sql: bytes) -> dict[str, Any]:
    """What has to be known before the statement runs. Names mean what they mean under the session's present search_path."""
    node = tree.parse_one(sql)
    if node is None:
        return {"what": What.OTHER.value}  # the server will say what is wrong
    kind = node.WhichOneof("node") or ""
    read = _READERS.get(kind)
    found = read(session, getattr(node, kind)) if read is not None else {"what": What.OTHER}
    return {key: value.value if isinstance(value, What) else value for key, value in found.items()}


def waits_for_others(noted: Note) -> bool:
    """Whether the statement is a CONCURRENTLY one: it waits for transactions that began before it without keeping anybody out, and a lock
    timeout there leaves an INVALID index behind, so it runs without one. REINDEX alone does keep others out.
    """
    what = What(noted["what"])
    return what in (What.CREATE_INDEX, What.DROP_INDEX, What.DETACH) or (what is What.REINDEX and noted["concurrently"])


def fails_as_a_whole(noted: Note) -> bool:
    """Whether an error of the server means that nothing happened."""
    return What(noted["what"]) not in _LEAVES_TRACES


def settle(session: Session, noted: Note) -> Outcome:
    """What became of a statement whose end nobody recorded; remains that would hinder its next try are removed.

    Runs outside a transaction, with the lock held: the session that ran the statement is gone.
    """
    what = What(noted["what"])
    if what in _EXISTS:
        query, makes = _EXISTS[what]
        return Outcome.HAPPENED if bool(session.query(query, (noted["name"],))) is makes else Outcome.RUN_AGAIN
    if what is What.CREATE_INDEX:
        remains = new_indexes(session, noted)
        if any(valid for _, valid in remains):
            return Outcome.HAPPENED
        _drop_indexes(session, [name for name, _ in remains])
        return Outcome.RUN_AGAIN
    if what is What.REINDEX:
        _drop_indexes(session, [name for name, valid in new_indexes(session, noted) if not valid])
        return Outcome.RUN_AGAIN
    if what is What.DROP_INDEX:
        there = noted["index"] is None or session.query("SELECT FROM pg_catalog.pg_class WHERE oid = %s", (noted["index"],))
        return Outcome.RUN_AGAIN if there else Outcome.HAPPENED
    if what is What.DETACH:
        return _settle_detach(session, noted)
    if what is What.ADD_VALUE:
        found = session.query("SELECT FROM pg_catalog.pg_enum WHERE enumtypid = %s AND enumlabel = %s", (noted["type"], noted["value"]))
        return Outcome.HAPPENED if found else Outcome.RUN_AGAIN
    return Outcome.RUN_AGAIN if what is What.AGAIN else Outcome.UNKNOWN


def invalid_indexes(session: Session, noted: Note) -> list[str]:
    """Indexes that the statement left INVALID, or that it was to make and that were INVALID before: IF NOT EXISTS says nothing of that."""
    if What(noted["what"]) not in (What.CREATE_INDEX, What.REINDEX):
        return []
    return [name for name, valid in new_indexes(session, noted, named_too=True) if not valid]


def new_indexes(session: Session, noted: Note, *, named_too: bool = False) -> list[tuple[str, bool]]:
    """(name, valid) of the indexes that the statement made or left behind; with `named_too` also the one that it names.

    Of REINDEX CONCURRENTLY these are name_ccnew, and name_ccold, which is the index from before under another name. What another session
    is building right now is not the statement's.
    """
    table, name = noted["table"], noted["name"]
    what = What(noted["what"])
    if what is What.CREATE_INDEX and table is None:
        return []
    rows = session.query(
        """
        SELECT pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(c.relname), i.indisvalid
        FROM pg_catalog.pg_index AS i
        JOIN pg_catalog.pg_class AS c ON c.oid = i.indexrelid
        JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
        JOIN pg_catalog.pg_class AS t ON t.oid = i.indrelid AND t.relkind <> 'p'
        WHERE (%s::bigint IS NULL OR i.indrelid::bigint = %s::bigint) AND (%s::text IS NULL OR c.relname = %s::text)
            AND (NOT %s OR NOT i.indisvalid AND c.relname ~ '_cc(new|old)[0-9]*$')
            AND (%s OR i.indexrelid::bigint <> ALL (%s::bigint[]))
            AND NOT EXISTS (SELECT FROM pg_catalog.pg_stat_progress_create_index AS p
                WHERE p.relid = i.indrelid AND p.datname = pg_catalog.current_database())
        ORDER BY 1
        """,
        (table, table, name, name, what is What.REINDEX, named_too and name is not None, noted["before"]),
    )
    return [(name, valid) for name, valid in rows]


def _drop_indexes(session: Session, names: list[str]) -> None:
    """That of a TOAST table only who may look into its schema can drop, and few roles may: it is left, and said."""
    for name in names:
        toast = name.startswith("pg_toast.")
        if toast and session.query("SELECT pg_catalog.has_schema_privilege('pg_toast', 'USAGE')") == [(False,)]:
            session.warn(f"a run that was cut off left {name} INVALID; a superuser can drop it: DROP INDEX {name}")
        else:
            session.query(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")


def _settle_detach(session: Session, noted: Note) -> Outcome:
    """A detachment that was cut off between its two transactions is only pending, and has to be finished in words of its own."""
    rows = session.query(
        """SELECT inhdetachpending, inhparent::regclass::text, inhrelid::regclass::text
        FROM pg_catalog.pg_inherits WHERE inhparent = %s AND inhrelid = %s""",
        (noted["parent"], noted["child"]),
    )
    if not rows:
        return Outcome.HAPPENED
    pending, parent, child = rows[0]
    if not pending:
        return Outcome.RUN_AGAIN
    session.query(f"ALTER TABLE {parent} DETACH PARTITION {child} FINALIZE")
    return Outcome.HAPPENED


def _oid(session: Session, relation: Any) -> int | None:
    """The oid of a RangeVar, or None."""
    names = [part for part in (relation.schemaname, relation.relname) if part]
    return _looked_up(session, "to_regclass", names)


def _looked_up(session: Session, function: str, names: list[str]) -> int | None:
    """The oid of what a maybe qualified name means, by one of the to_reg… functions."""
    rows = session.query(f"SELECT pg_catalog.{function}(%s)::oid::bigint", (".".join(identifier(name) for name in names),))
    return None if rows[0][0] is None else int(rows[0][0])


def _read_create_index(session: Session, node: Any) -> dict[str, Any]:
    if not node.concurrent:
        return {"what": What.OTHER}
    table = _oid(session, node.relation)
    rows = session.query("SELECT indexrelid::bigint FROM pg_catalog.pg_index WHERE indrelid = %s", (table,))
    return {"what": What.CREATE_INDEX, "table": table, "name": node.idxname or None, "before": [row[0] for row in rows]}


def _read_reindex(session: Session, node: Any) -> dict[str, Any]:
    """What has such a name already is somebody else's, or of an earlier try."""
    rows = session.query("SELECT oid::bigint FROM pg_catalog.pg_class WHERE relkind = 'i' AND relname ~ '_cc(new|old)[0-9]*$'")
    concurrently = any(parameter.def_elem.defname == "concurrently" for parameter in node.params)
    return {"what": What.REINDEX, "table": None, "name": None, "before": [row[0] for row in rows], "concurrently": concurrently}


def _read_drop(session: Session, node: Any) -> dict[str, Any]:
    if not node.concurrent:
        return {"what": What.OTHER}
    names = [part.string.sval for part in node.objects[0].list.items]
    return {"what": What.DROP_INDEX, "index": _looked_up(session, "to_regclass", names)}


def _read_alter_table(session: Session, node: Any) -> dict[str, Any]:
    for command in node.cmds:
        partition = getattr(command.alter_table_cmd, "def").partition_cmd
        if partition.concurrent:
            return {"what": What.DETACH, "parent": _oid(session, node.relation), "child": _oid(session, partition.name)}
    return {"what": What.OTHER}


def _read_add_value(session: Session, node: Any) -> dict[str, Any]:
    if not node.new_val or node.old_val:
        return {"what": What.OTHER}
    names = [part.string.sval for part in node.type_name]
    return {"what": What.ADD_VALUE, "type": _looked_up(session, "to_regtype", names), "value": node.new_val}


def _read_alter_subscription(_session: Session, node: Any) -> dict[str, Any]:
    """Only a refresh that changes nothing else may run twice: ADD PUBLICATION would fail the second time."""
    from postgast import pg_query_pb2 as pb

    return {"what": What.AGAIN if node.kind == pb.ALTER_SUBSCRIPTION_REFRESH else What.OTHER}


def _read_transaction(_session: Session, node: Any) -> dict[str, Any]:
    return {"what": What.END_PREPARED, "name": node.gid} if node.gid else {"what": What.OTHER}


def _named(what: What, attribute: str) -> Callable[[Session, Any], dict[str, Any]]:
    return lambda _session, node: {"what": what, "name": getattr(node, attribute)}


def _plainly(what: What) -> Callable[[Session, Any], dict[str, Any]]:
    return lambda _session, _node: {"what": what}


_READERS: Mapping[str, Callable[[Session, Any], dict[str, Any]]] = {
    "index_stmt": _read_create_index,
    "reindex_stmt": _read_reindex,
    "drop_stmt": _read_drop,
    "alter_table_stmt": _read_alter_table,
    "alter_enum_stmt": _read_add_value,
    "createdb_stmt": _named(What.CREATE_DATABASE, "dbname"),
    "dropdb_stmt": _named(What.DROP_DATABASE, "dbname"),
    "create_table_space_stmt": _named(What.CREATE_TABLESPACE, "tablespacename"),
    "drop_table_space_stmt": _named(What.DROP_TABLESPACE, "tablespacename"),
    "create_subscription_stmt": _named(What.CREATE_SUBSCRIPTION, "subname"),
    "drop_subscription_stmt": _named(What.DROP_SUBSCRIPTION, "subname"),
    "vacuum_stmt": _plainly(What.AGAIN),
    "cluster_stmt": _plainly(What.AGAIN),
    "alter_system_stmt": _plainly(What.AGAIN),
    "check_point_stmt": _plainly(What.AGAIN),
    "alter_database_stmt": _plainly(What.AGAIN),
    "alter_subscription_stmt": _read_alter_subscription,
    "transaction_stmt": _read_transaction,
    "call_stmt": _plainly(What.PROCEDURE),
    "do_stmt": _plainly(What.PROCEDURE),
}


def way_out(name: str, statement: int) -> str:
    """What a person runs after having looked whether the statement happened."""
    where = f"WHERE migration_name = {literal(name)} AND statement = {statement}"
    return f"if it did, UPDATE dbmigration.progress SET state = 'done' {where}; if not, DELETE FROM dbmigration.progress {where}"
