"""Which roles files count on: a private server has none of them, and makes them."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from dbmigration.migrations import tree
from dbmigration.migrations.model import MigrationFile
from dbmigration.migrations.script import read_statements
from dbmigration.migrations.statements import Statement

_NAMES_A_ROLE: Final = re.compile(
    rb"\b(?:grant|revoke|owner\s+to|authorization|set\s+(?:local\s+|session\s+)?role|create\s+policy|alter\s+policy|for\s+(?:role|user)"
    rb"|reassign\s+owned|drop\s+owned)\b",
    re.IGNORECASE,
)
_MAKES_A_ROLE: Final = re.compile(rb"\bcreate\s+(?:role|user|group)\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Roles:
    """`named` by a statement of the files or of their rollback scripts, and `made` by one; bodies of functions are not looked into."""

    named: frozenset[str]
    made: frozenset[str]

    @property
    def wanted(self) -> tuple[str, ...]:
        """Those that have to be there before the first file."""
        return tuple(sorted(name for name in self.named - self.made if not name.startswith("pg_")))


def roles_of(files: Iterable[MigrationFile]) -> Roles:
    """Raises as `read_statements` does."""
    named, made = set[str](), set[str]()
    for file in files:
        for script in (file, file.rollback):
            if script is not None:
                for part in read_statements(script.path, script.part):
                    if isinstance(part, Statement):
                        _look(part.sql, named, made)
    return Roles(frozenset(named), frozenset(made))


def _look(sql: bytes, named: set[str], made: set[str]) -> None:
    if not (_NAMES_A_ROLE.search(sql) or _MAKES_A_ROLE.search(sql)):
        return
    node = tree.parse_one(sql)
    if node is None:
        return
    from postgast import find_nodes
    from postgast import pg_query_pb2 as pb

    kind = node.WhichOneof("node")
    if kind == "create_role_stmt":
        made.add(node.create_role_stmt.role)
    named.update(spec.rolename for spec in find_nodes(node, pb.RoleSpec) if spec.rolename)
    if kind == "grant_role_stmt":
        named.update(role.access_priv.priv_name for role in node.grant_role_stmt.granted_roles)
    if kind == "variable_set_stmt" and node.variable_set_stmt.name == "role":
        named.update(text.sval for text in find_nodes(node, pb.String) if text.sval != "none")
