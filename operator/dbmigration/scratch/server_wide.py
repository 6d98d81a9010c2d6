"""What in a file reaches beyond its own database: on a server that others use it would change more than a scratch database.

Roles, databases, tablespaces and settings of the server belong to every database of it (manual, 23.1); replication and programs reach
further still. What a function of the file does when something calls it is judged by its words, since it may be called in the next line.
"""

import re
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Final

from dbmigration.api.reasons import Reason
from dbmigration.errors import Permanent, Place
from dbmigration.migrations import tree
from dbmigration.migrations.mask import mask_literals
from dbmigration.migrations.model import MigrationFile, Script
from dbmigration.migrations.script import read_statements
from dbmigration.migrations.statements import Statement

if TYPE_CHECKING:
    from postgast.pg_query_pb2 import Node

_KINDS: Final = {
    "createdb_stmt": "CREATE DATABASE",
    "dropdb_stmt": "DROP DATABASE",
    "alter_database_stmt": "ALTER DATABASE",
    "alter_database_set_stmt": "ALTER DATABASE",
    "alter_database_refresh_coll_stmt": "ALTER DATABASE",
    "alter_system_stmt": "ALTER SYSTEM",
    "create_role_stmt": "CREATE ROLE",
    "alter_role_stmt": "ALTER ROLE",
    "alter_role_set_stmt": "ALTER ROLE",
    "drop_role_stmt": "DROP ROLE",
    "grant_role_stmt": "GRANT or REVOKE of a role",
    "create_table_space_stmt": "CREATE TABLESPACE",
    "drop_table_space_stmt": "DROP TABLESPACE",
    "alter_table_space_options_stmt": "ALTER TABLESPACE",
    "create_subscription_stmt": "CREATE SUBSCRIPTION",
    "alter_subscription_stmt": "ALTER SUBSCRIPTION",
    "drop_subscription_stmt": "DROP SUBSCRIPTION",
    "drop_owned_stmt": "DROP OWNED",
    "reassign_owned_stmt": "REASSIGN OWNED",
}

_ON_AN_OBJECT: Final = {
    "grant_stmt": ("objtype", "GRANT or REVOKE"),
    "comment_stmt": ("objtype", "COMMENT"),
    "sec_label_stmt": ("objtype", "SECURITY LABEL"),
    "alter_owner_stmt": ("object_type", "ALTER … OWNER"),
    "rename_stmt": ("rename_type", "ALTER … RENAME"),
}
"""Commands that are server-wide on some kinds of objects only, and the field that says on which."""

_FUNCTIONS: Final = (
    "pg_terminate_backend",
    "pg_cancel_backend",
    "pg_reload_conf",
    "pg_rotate_logfile",
    "pg_switch_wal",
    "pg_create_restore_point",
    "pg_promote",
    "pg_create_physical_replication_slot",
    "pg_create_logical_replication_slot",
    "pg_copy_logical_replication_slot",
    "pg_copy_physical_replication_slot",
    "pg_drop_replication_slot",
    "pg_replication_origin_create",
    "pg_replication_origin_drop",
    "dblink",
    "dblink_exec",
    "dblink_connect",
    "dblink_send_query",
    "lo_export",
    "pg_file_write",
)
_CALL: Final = re.compile(rb"\b(?:" + "|".join(_FUNCTIONS).encode() + rb")\s*\(", re.IGNORECASE)

_WORTH_PARSING: Final = frozenset({b"CREATE", b"ALTER", b"DROP", b"GRANT", b"REVOKE", b"COMMENT", b"SECURITY", b"REASSIGN", b"COPY", b"DO"})
_FIRST_WORD: Final = re.compile(rb"(?:\s|--[^\n]*(?:\n|$)|/\*.*?\*/)*([A-Za-z]+)", re.DOTALL)

_IN_A_BODY: Final = re.compile(
    r"\b(?:(?:create|alter|drop)\s+(?:role|user(?!\s+mapping)|group|database|tablespace|subscription)\b"
    r"|alter\s+system\b|(?:drop|reassign)\s+owned\b|to\s+program\b|(?:" + "|".join(_FUNCTIONS) + r")\s*\()",
    re.IGNORECASE,
)

_BEYOND_THE_SERVER: Final = re.compile(
    r"SUBSCRIPTION|DBLINK|\bPROGRAM\b|COPY to a file|LO_EXPORT|PG_FILE_WRITE|CREATE\s+TABLESPACE", re.IGNORECASE
)
"""Among what `_reaches` says."""

_DYNAMIC: Final = re.compile(r"\bexecute\b(?:'(?:[^']|'')*'|[^;'])*", re.IGNORECASE)
"""An EXECUTE of PL/pgSQL up to its semicolon."""


def refuse_server_wide(files: Iterable[MigrationFile], command: str = "dbmigration test") -> None:
    """Raises Permanent REHEARSAL_UNSAFE with file and line for the first statement of the files, or of their scripts, that is.

    `command` is what was asked for, and has --private.
    """
    for file in files:
        for script in (file, file.rollback, file.verify):
            if script is None:
                continue
            for line, what in server_wide(script):
                raise Permanent(
                    Reason.REHEARSAL_UNSAFE,
                    f"{what} touches the whole server, and the scratch database would be on a server that others use: "
                    f"`{command} --private` starts one for it",
                    place=Place(script.name, line),
                )


def server_wide(script: MigrationFile | Script, *, own: bool = False) -> Iterator[tuple[int, str]]:
    """(line, command) of each statement that reaches beyond its database. `own`: beyond its server, for that is for this alone.

    Subscriptions, dblink and programs talk to others; files and folders of the server's machine are not those of another.
    """
    for part in read_statements(script.path, script.part):
        if isinstance(part, Statement):
            for what in _reaches(part.sql):
                if not own or _BEYOND_THE_SERVER.search(what):
                    yield part.line, what
                    break


def _reaches(sql: bytes) -> Iterator[str]:
    word = _FIRST_WORD.match(sql)
    calls = _CALL.search(sql)
    if not calls and (word is None or word[1].upper() not in _WORTH_PARSING):
        return
    node = tree.parse_one(sql)
    if node is None:
        yield from (found[0].upper() for found in _IN_A_BODY.finditer(mask_literals(sql.decode("utf-8", "replace"), limit=None)))
        return
    yield from _by_kind(node)
    if calls:
        yield from _by_call(node)


def _by_kind(node: "Node") -> Iterator[str]:
    kind = node.WhichOneof("node") or ""
    if kind in _KINDS:
        yield _KINDS[kind]
    elif kind in _ON_AN_OBJECT:
        field, command = _ON_AN_OBJECT[kind]
        shared = _on_a_shared_object(getattr(getattr(node, kind), field), command)
        yield from (shared,) if shared else ()
    elif kind == "copy_stmt" and (node.copy_stmt.is_program or (node.copy_stmt.filename and not node.copy_stmt.is_from)):
        yield "COPY to a file or a program of the server"
    elif kind in ("do_stmt", "create_function_stmt"):
        for found in _in_body(_body(node)):
            yield f"{found[0].upper().rstrip('( ')} in the body of {'DO' if kind == 'do_stmt' else 'a function'}"


def _on_a_shared_object(object_type: int, command: str) -> str | None:
    from postgast import pg_query_pb2 as pb

    shared = {
        pb.OBJECT_DATABASE: "DATABASE",
        pb.OBJECT_ROLE: "ROLE",
        pb.OBJECT_TABLESPACE: "TABLESPACE",
        pb.OBJECT_PARAMETER_ACL: "PARAMETER",
        pb.OBJECT_SUBSCRIPTION: "SUBSCRIPTION",
    }
    return f"{command} on a {shared[object_type]}" if object_type in shared else None


def _by_call(node: "Node") -> Iterator[str]:
    return (f"{name}()" for name in _FUNCTIONS if tree.calls(node, name))


def _in_body(code: str) -> "Iterator[re.Match[str]]":
    """In what the code says itself and in what it puts together for EXECUTE; a message that only names a command is none."""
    yield from _IN_A_BODY.finditer(mask_literals(code, limit=None))
    for text in _DYNAMIC.findall(code):
        yield from _IN_A_BODY.finditer(text)


def _body(node: "Node") -> str:
    """The code without its comments."""
    code = tree.do_body(node)
    if code is None:
        from postgast import find_nodes, pg_query_pb2

        texts = [option for option in node.create_function_stmt.options if option.def_elem.defname == "as"]
        code = "\n".join(part.sval for option in texts for part in find_nodes(option, pg_query_pb2.String))
    return re.sub(r"--[^\n]*|/\*.*?\*/", " ", code, flags=re.DOTALL)
