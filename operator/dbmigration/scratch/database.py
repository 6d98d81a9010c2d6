"""A database that is made for one piece of work and dropped whatever becomes of it."""

import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from dbmigration.api.reasons import Reason
from dbmigration.errors import DbmigrationError, Permanent
from dbmigration.postgres.conninfo import ConnInfo
from dbmigration.postgres.quote import identifier, literal
from dbmigration.postgres.session import Session, connect
from dbmigration.postgres.settings import Settings

PREFIX: Final = "dbmigration_scratch_"

_LISTS: Final = frozenset({"search_path", "temp_tablespaces", "session_preload_libraries", "local_preload_libraries"})
"""Settings that are stored as they are written: a list of names (GUC_LIST_QUOTE)."""


@dataclass(frozen=True, slots=True)
class ScratchServer:
    """Where scratch databases may be made: `conninfo` names a database to give the orders from, which is not touched itself.

    `shared`: others use the server, so files that reach beyond their database are not for it.
    """

    conninfo: ConnInfo
    shared: bool


@contextmanager
def scratch_database(server: ScratchServer, say: Callable[[str], None]) -> Iterator[ConnInfo]:
    """A new database, with encoding, locale and settings of the one that the server's connection names; dropped at the end.

    What an earlier command left because it was killed is dropped first. `say` hears of it, and of a database that could not be dropped.
    Raises Permanent PERMISSION_DENIED where the role may not create databases, and what `session.connect` raises.
    """
    name = PREFIX + secrets.token_hex(6)
    with _orders(server.conninfo, name) as session:
        _drop_leftovers(session, say)
        try:
            _create(session, name, say)
            yield ConnInfo({**server.conninfo.parameters, "dbname": name})
        finally:
            _drop(session, server.conninfo, name, say)


def _orders(conninfo: ConnInfo, name: str) -> Session:
    """The session that makes and drops it. Its name tells others that the database is in use, even between two connections to it."""
    return connect(conninfo, application_name=name, settings=Settings())


def _create(session: Session, name: str, say: Callable[[str], None]) -> None:
    newer = "d.datlocprovider::text, " + ("d.datlocale" if session.server.major >= 17 else "d.daticulocale")
    provider = newer if session.server.major >= 15 else "'c', NULL"
    encoding, collate, ctype, kind, locale = session.query(
        f"""SELECT pg_catalog.pg_encoding_to_char(d.encoding), d.datcollate, d.datctype, {provider}
        FROM pg_catalog.pg_database AS d WHERE d.datname = pg_catalog.current_database()"""
    )[0]
    words = [f"CREATE DATABASE {identifier(name)} TEMPLATE template0 ENCODING {literal(encoding)}"]
    words.append(f"LC_COLLATE {literal(collate)} LC_CTYPE {literal(ctype)}")
    if kind == "i":
        words.append(f"LOCALE_PROVIDER icu ICU_LOCALE {literal(locale)}")
    elif kind == "b":
        words.append(f"LOCALE_PROVIDER builtin BUILTIN_LOCALE {literal(locale)}")
    try:
        session.query(" ".join(words))
    except DbmigrationError as error:
        if error.place.sqlstate != "42501":
            raise
        raise Permanent(
            Reason.PERMISSION_DENIED,
            f"role {session.server.user} may not create a scratch database: ALTER ROLE … CREATEDB, or name another server with "
            "--scratch-dsn, or use a private one with --private",
        ) from None
    for setting, value in _settings(session):
        shown = value if setting in _LISTS else literal(value)
        try:
            session.query(f"ALTER DATABASE {identifier(name)} SET {setting} TO {shown}")
        except DbmigrationError as error:
            if error.place.sqlstate != "42501":
                raise
            say(f"{setting} of the database does not hold in the scratch database: role {session.server.user} may not set it")


def _settings(session: Session) -> list[tuple[str, str]]:
    """What ALTER DATABASE … SET says for everybody who connects: files may count on its search_path."""
    rows = session.query(
        """SELECT pg_catalog.unnest(s.setconfig) FROM pg_catalog.pg_db_role_setting AS s
        JOIN pg_catalog.pg_database AS d ON d.oid = s.setdatabase
        WHERE d.datname = pg_catalog.current_database() AND s.setrole = 0"""
    )
    return [(setting, value) for setting, _, value in (row[0].partition("=") for row in rows)]


def _drop(session: Session, conninfo: ConnInfo, name: str, say: Callable[[str], None]) -> None:
    """Whatever happens: what was the matter before is the error that counts. A session that was lost is replaced once."""
    try:
        try:
            session.query(_drop_statement(name))
        except DbmigrationError:
            if not session.connection.closed:
                raise
            with _orders(conninfo, name) as again:
                again.query(_drop_statement(name))
    except DbmigrationError as error:
        say(f"the scratch database could not be dropped ({error.message}): {_drop_statement(name)}")


def _drop_statement(name: str) -> str:
    return f"DROP DATABASE IF EXISTS {identifier(name)} WITH (FORCE)"


def _drop_leftovers(session: Session, say: Callable[[str], None]) -> None:
    """Ours by name and owner, and no session is there that carries the name."""
    rows = session.query(
        """SELECT d.datname FROM pg_catalog.pg_database AS d
        WHERE pg_catalog.starts_with(d.datname::text, %s) AND pg_catalog.pg_get_userbyid(d.datdba) = session_user
            AND NOT EXISTS (SELECT FROM pg_catalog.pg_stat_activity AS a WHERE a.application_name = d.datname OR a.datname = d.datname)""",
        (PREFIX,),
    )
    for (name,) in rows:
        say(f"dropping {name}, which an earlier command left")
        session.query(_drop_statement(name))
