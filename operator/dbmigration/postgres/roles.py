"""Roles and tablespaces of one server, made on another that nobody else uses: what a dump of one database counts on and does not have."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

from dbmigration.errors import DbmigrationError
from dbmigration.postgres.quote import identifier, literal
from dbmigration.postgres.session import Session
from dbmigration.postgres.temporary import setting_words

_ATTRIBUTES: Final = ("SUPERUSER", "INHERIT", "CREATEROLE", "CREATEDB", "LOGIN", "REPLICATION", "BYPASSRLS")
_MEANINGS: Final = ("DateStyle", "IntervalStyle", "TimeZone", "default_text_search_config", "default_toast_compression")
_PRELOADS: Final = ("session_preload_libraries", "local_preload_libraries")
"""A library that is not there would keep the role from connecting."""


def bootstrap_superuser(session: Session) -> str:
    """Who made the server with initdb. The objects of every template are theirs."""
    found: str = session.query("SELECT rolname FROM pg_catalog.pg_roles WHERE oid = 10")[0][0]
    return found


def copy_roles(of: Session, to: Session, say: Callable[[str], None]) -> int:
    """Make the roles of a server with attributes, memberships, settings and rights on parameters; never a password. Returns how many.

    `to` is a superuser's session on a server that has its bootstrap superuser alone, of the same name. What cannot be carried over, like a
    setting of a library that is not there, is said, and whoever needs it fails there. Raises what `Session.query` raises of `of`.
    """
    rows = of.query(
        """SELECT rolname, ARRAY[rolsuper, rolinherit, rolcreaterole, rolcreatedb, rolcanlogin, rolreplication, rolbypassrls], rolconnlimit
        FROM pg_catalog.pg_roles WHERE oid <> 10 AND NOT pg_catalog.starts_with(rolname, 'pg_') ORDER BY 1"""
    )
    for name, has, limit in rows:
        words = " ".join(word if had else f"NO{word}" for word, had in zip(_ATTRIBUTES, has, strict=True))
        _try(to, f"CREATE ROLE {identifier(name)} WITH {words} CONNECTION LIMIT {limit:d}", say)
    _copy_memberships(of, to, say)
    for role, stored in of.query(
        """SELECT CASE WHEN setrole = 0 THEN NULL ELSE pg_catalog.pg_get_userbyid(setrole) END, pg_catalog.unnest(setconfig)
        FROM pg_catalog.pg_db_role_setting WHERE setdatabase = 0"""
    ):
        if stored.partition("=")[0] not in _PRELOADS:
            _try(to, f"ALTER ROLE {'ALL' if role is None else identifier(role)} SET {setting_words(stored)}", say)
    if of.server.major >= 15:
        _copy_parameter_rights(of, to, say)
    return len(rows)


def _copy_memberships(of: Session, to: Session, say: Callable[[str], None]) -> None:
    """In the order in which they were given: from PostgreSQL 16 on a grantor needs a membership of their own."""
    newer = of.server.major >= 16
    rows = of.query(
        f"""SELECT pg_catalog.pg_get_userbyid(roleid), pg_catalog.pg_get_userbyid(member), pg_catalog.pg_get_userbyid(grantor),
            admin_option, {"inherit_option, set_option" if newer else "NULL, NULL"}
        FROM pg_catalog.pg_auth_members WHERE NOT pg_catalog.starts_with(pg_catalog.pg_get_userbyid(member), 'pg_')
        ORDER BY {"oid" if newer else "1, 2"}"""
    )
    for role, member, grantor, admin, inherit, may_set in rows:
        grant = f"GRANT {identifier(role)} TO {identifier(member)}"
        if newer:
            grant += f" WITH ADMIN {admin}, INHERIT {inherit}, SET {may_set} GRANTED BY {identifier(grantor)}"
        elif admin:
            grant += " WITH ADMIN OPTION"
        _try(to, grant, say)


def _copy_parameter_rights(of: Session, to: Session, say: Callable[[str], None]) -> None:
    for name, grantee, privilege, grantable in of.query(
        """SELECT p.parname, CASE WHEN a.grantee = 0 THEN NULL ELSE pg_catalog.pg_get_userbyid(a.grantee) END, a.privilege_type,
            a.is_grantable
        FROM pg_catalog.pg_parameter_acl AS p, LATERAL pg_catalog.aclexplode(p.paracl) AS a WHERE a.grantee <> 10"""
    ):
        whom = "PUBLIC" if grantee is None else identifier(grantee)
        _try(to, f"GRANT {privilege} ON PARAMETER {name} TO {whom}{' WITH GRANT OPTION' if grantable else ''}", say)


def copy_tablespaces(of: Session, to: Session, folder: Path, say: Callable[[str], None]) -> None:
    """The same names, in folders below `folder`, which server and caller see under one path. Raises OSError."""
    rows = of.query(
        """SELECT spcname, pg_catalog.pg_get_userbyid(spcowner) FROM pg_catalog.pg_tablespace
        WHERE NOT pg_catalog.starts_with(spcname, 'pg_') ORDER BY 1"""
    )
    for number, (name, owner) in enumerate(rows):
        place = folder / f"tablespace-{number}"
        place.mkdir(mode=0o700)
        if os.geteuid() == 0:
            whose = folder.stat()
            os.chown(place, whose.st_uid, whose.st_gid)
        _try(to, f"CREATE TABLESPACE {identifier(name)} OWNER {identifier(owner)} LOCATION {literal(str(place))}", say)
        for grantee, grantable in of.query(
            """SELECT CASE WHEN a.grantee = 0 THEN NULL ELSE pg_catalog.pg_get_userbyid(a.grantee) END, a.is_grantable
            FROM pg_catalog.pg_tablespace AS t, LATERAL pg_catalog.aclexplode(t.spcacl) AS a
            WHERE t.spcname = %s AND a.grantee <> t.spcowner""",
            (name,),
        ):
            whom = "PUBLIC" if grantee is None else identifier(grantee)
            _try(to, f"GRANT CREATE ON TABLESPACE {identifier(name)} TO {whom}{' WITH GRANT OPTION' if grantable else ''}", say)


def copy_extension_owners(of: Session, to: Session) -> None:
    """Whose the extensions are: no dump says that, and only an owner may drop one. `to` is a superuser's, in the other database."""
    to.query("SET allow_system_table_mods = on")  # there is no command for it
    for name, owner in of.query("SELECT extname, pg_catalog.pg_get_userbyid(extowner) FROM pg_catalog.pg_extension"):
        to.query(
            """UPDATE pg_catalog.pg_extension SET extowner = r.oid FROM pg_catalog.pg_roles AS r
            WHERE extname = %s AND r.rolname = %s AND extowner <> r.oid""",
            (name, owner),
        )


def copy_meanings(of: Session, to: Session, say: Callable[[str], None]) -> None:
    """Settings of the whole server that decide what the same statement does."""
    for name, value in of.query("SELECT name, setting FROM pg_catalog.pg_settings WHERE name = ANY (%s)", (list(_MEANINGS),)):
        _try(to, f"ALTER SYSTEM SET {name} TO {literal(value)}", say)
    to.query("SELECT pg_catalog.pg_reload_conf()")


def _try(to: Session, order: str, say: Callable[[str], None]) -> None:
    try:
        to.query(order)
    except DbmigrationError as error:
        if to.connection.closed:
            raise
        say(f"WARNING: not carried over ({error.message}): {order}")
