"""How one kind of object is read out of the catalog: a SELECT whose rows are (kind, name, on, parts)."""

from collections.abc import Mapping
from typing import Final, NamedTuple

from dbmigration.migrations.model import HistoryTable
from dbmigration.postgres.quote import literal
from dbmigration.postgres.schema import SCHEMA

USER_OIDS = 16384
"""FirstNormalObjectId (access/transam.h): what has a lower oid came with initdb."""

BY_NAME: Final = (
    "pg_operator",
    "pg_opclass",
    "pg_opfamily",
    "pg_cast",
    "pg_conversion",
    "pg_collation",
    "pg_ts_config",
    "pg_ts_dict",
    "pg_ts_parser",
    "pg_ts_template",
    "pg_language",
    "pg_am",
    "pg_foreign_data_wrapper",
    "pg_transform",
)
"""Catalogs of rare kinds: that an object is there is all that is written down."""


class Select(NamedTuple):
    """SQL expressions over `source`: `kind` in words, the qualified `name`, `on` the identity of what it belongs to (NULL: nothing).

    `parts` maps a part's name to an expression of type text, NULL where the object has nothing to say there. `always`: the part that
    every object has, of every kind or of `always_of`: without it the object was dropped while we looked. `there` is an SQL condition: False
    proves that there is no such object, and is much cheaper than to plan a branch that finds none.
    """

    kind: str
    name: str
    source: str
    parts: Mapping[str, str]
    on: str = "NULL"
    always: str | None = None
    always_of: tuple[str, ...] = ()
    there: str = "true"

    def is_gone(self, kind: str, parts: Mapping[str, str]) -> bool:
        return self.always is not None and self.always not in parts and (not self.always_of or kind in self.always_of)

    def to_sql(self, number: int) -> str:
        """A branch of the UNION; `number` tells its rows, whose parts are an array in the order of `parts`."""
        parts = ", ".join(f"({expression})::text" for expression in self.parts.values())
        return f"SELECT {number}, {self.kind}::text, {self.name}::text, {self.on}::text, ARRAY[{parts}]::text[] {self.source}"


def query(selects: Mapping[int, Select], table: HistoryTable) -> str:
    """One statement for all of them, by their numbers. It sets nothing: the caller's search_path must be empty."""
    branches = "\nUNION ALL\n".join(select.to_sql(number) for number, select in selects.items())
    return f"WITH {_common(table)}\n{branches}"


def _common(table: HistoryTable) -> str:
    """`member`: what belongs to an extension or a type. `space`: schemas that are not the system's. `relation`: what pg_class has.

    Each is used by many branches, so each is computed once.
    """
    return f"""
    member AS MATERIALIZED (
        SELECT classid, objid FROM pg_depend
        WHERE deptype = 'e' OR deptype = 'i' AND classid IN ('pg_proc'::regclass, 'pg_cast'::regclass)
    ),
    space AS MATERIALIZED (
        SELECT n.oid, quote_ident(n.nspname) AS name, n.nspowner, n.nspacl
        FROM pg_namespace AS n WHERE n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', '{SCHEMA}')
    ),
    relation AS MATERIALIZED (
        SELECT c.oid, s.name || '.' || quote_ident(c.relname) AS name, s.name AS space,
            CASE c.relkind WHEN 'v' THEN 'view' WHEN 'm' THEN 'materialized view' WHEN 'f' THEN 'foreign table' WHEN 'S' THEN 'sequence'
                WHEN 'c' THEN 'composite type' ELSE 'table' END AS kind,
            c.relkind, c.relowner, c.relacl, c.reloptions, c.relispartition, c.relpersistence, c.relrowsecurity, c.relforcerowsecurity,
            c.relreplident, c.relpartbound, c.reltablespace, c.relam, c.reloftype
        FROM pg_class AS c
        JOIN space AS s ON s.oid = c.relnamespace
        LEFT JOIN member AS m ON m.classid = 'pg_class'::regclass AND m.objid = c.oid
        WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S', 'c') AND m.objid IS NULL
            AND NOT (s.name = quote_ident({literal(table.schema)}) AND c.relname = {literal(table.table)})
    )"""


def of_user(catalog: str, condition: str = "true") -> str:
    """A condition for `Select.there`: the catalog has a row that did not come with initdb."""
    return f"EXISTS (SELECT FROM {catalog} WHERE oid >= {USER_OIDS} AND {condition})"


def not_a_member(catalog: str, oid: str) -> str:
    """A condition: the object is nobody's member, and no inner part of another (a range type's constructors and casts)."""
    return f"NOT EXISTS (SELECT FROM member AS m WHERE m.classid = '{catalog}'::regclass AND m.objid = {oid})"


def join_comment(catalog: str, oid: str, column: str = "0") -> str:
    """A join that makes `comment.description` of it; joined, because a subquery for each of 10,000 columns takes its time."""
    return (
        f"LEFT JOIN pg_description AS comment ON comment.classoid = '{catalog}'::regclass AND comment.objoid = {oid}"
        f" AND comment.objsubid = {column}"
    )


COMMENT: Mapping[str, str] = {"comment": "comment.description"}


def grants(acl: str, kind: str, owner: str) -> dict[str, str]:
    """What rights differ from those that PostgreSQL gives by itself: a line for each role, "-role" what was taken from it.

    So a right granted that is there by default is no difference, and neither is another owner. `kind` as in acldefault().
    """
    rows = "grantee, privilege_type, is_grantable"
    default = f"aclexplode(acldefault('{kind}', {owner}))"
    right = "privilege_type || CASE WHEN is_grantable THEN ' WITH GRANT OPTION' ELSE '' END"
    role = "CASE WHEN grantee = 0 THEN 'PUBLIC' ELSE grantee::regrole::text END"
    difference = f"""
        SELECT '' AS sign, * FROM (SELECT {rows} FROM aclexplode({acl}) EXCEPT SELECT {rows} FROM {default}) AS given
        UNION ALL SELECT '-', * FROM (SELECT {rows} FROM {default} EXCEPT SELECT {rows} FROM aclexplode({acl})) AS taken"""
    lines = f"""SELECT sign || {role} || '=' || string_agg({right}, ', ' ORDER BY privilege_type, is_grantable) AS line
        FROM ({difference}) AS difference GROUP BY sign, grantee"""
    # Compared with COLLATE "C", so that two databases of different locales say the same.
    aggregated = f"""SELECT string_agg(line, E'\\n' ORDER BY line COLLATE "C") FROM ({lines}) AS lines"""
    return {"grants": f"CASE WHEN {acl} IS NOT NULL THEN ({aggregated}) END"}
