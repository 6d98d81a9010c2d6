"""A database that is made for one piece of work under a name of its own, and dropped whatever becomes of it, unless it is given a name."""

import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final, NamedTuple

from dbmigration.api.reasons import Reason
from dbmigration.errors import DbmigrationError, Permanent
from dbmigration.postgres.conninfo import ConnInfo
from dbmigration.postgres.quote import identifier, literal
from dbmigration.postgres.session import Session, connect
from dbmigration.postgres.settings import Settings

_LISTS: Final = frozenset({"search_path", "temp_tablespaces", "session_preload_libraries", "local_preload_libraries"})
"""Settings that are stored as they are written: a list of names (GUC_LIST_QUOTE)."""


class Definition(NamedTuple):
    """How to make a database: what follows its name in CREATE DATABASE, and what follows SET in ALTER DATABASE."""

    options: str
    settings: Sequence[str] = ()


class Temporary:
    """A database under a temporary name. `conninfo` leads into it; orders about it come from a session in another database.

    That session has the temporary name as its application name, which tells others that the database is in use.
    """

    def __init__(self, conninfo: ConnInfo, name: str) -> None:
        self.name = name
        self.conninfo = ConnInfo({**conninfo.parameters, "dbname": name})
        self.renamed = False
        self._outside = conninfo
        self._session = self._connect()

    @property
    def orders(self) -> Session:
        """A session outside of it; a new one where the last was lost. Raises what `connect` raises."""
        if self._session.connection.closed:
            self._session.close()
            self._session = self._connect()
        return self._session

    def size(self) -> int:
        """Bytes on the server's disk."""
        rows: list[tuple[int]] = self.orders.query("SELECT pg_catalog.pg_database_size(%s)", (self.name,))
        return rows[0][0]

    def identity(self) -> str:
        """System identifier and oid, as `Server.identity` has them: the same under its final name."""
        rows: list[tuple[int]] = self.orders.query("SELECT oid::bigint FROM pg_catalog.pg_database WHERE datname = %s", (self.name,))
        return f"{self.orders.server.identity.partition('/')[0]}/{rows[0][0]}"

    def describe(self, comment: str) -> None:
        """Its comment, which keeps with it under its final name."""
        self.orders.query(f"COMMENT ON DATABASE {identifier(self.name)} IS {literal(comment)}")

    def keep_as(self, name: str) -> None:
        """Its final name: from now on it stays. Nobody may be connected to it. Raises what the server says against it."""
        self.orders.query(f"ALTER DATABASE {identifier(self.name)} RENAME TO {identifier(name)}")

    def rename(self, name: str) -> None:
        """Another name; it is dropped under that one. Nobody may be connected to it. Raises what the server says against it."""
        self.keep_as(name)
        self.name, self.renamed = name, True
        self.conninfo = ConnInfo({**self.conninfo.parameters, "dbname": name})

    def close(self) -> None:
        self._session.close()

    def _connect(self) -> Session:
        return connect(self._outside, application_name=self.name, settings=Settings())


@contextmanager
def temporary_database(
    conninfo: ConnInfo,
    prefix: str,
    definition: Callable[[Session], Definition],
    say: Callable[[str], None],
    *,
    denied: str,
    private: bool = False,
) -> Iterator[Temporary]:
    """A new database on the server that `conninfo` names, whose own database is not touched; dropped at the end unless it was kept.

    Its name is `prefix` and twelve hexadecimal digits. What an earlier command left under that prefix because it was killed is dropped
    first. `definition` is asked with a session in the database that `conninfo` names. `say` hears of what was dropped, of settings that
    could not be carried over and of a database that could not be dropped. `private`: only its owner and superusers may connect to it.

    Raises Permanent PERMISSION_DENIED with `denied` as the remedy where the role may not create databases, and what `session.connect`
    raises.
    """
    made = Temporary(conninfo, prefix + secrets.token_hex(6))
    try:
        drop_leftovers(made.orders, prefix, say)
        try:
            _create(made, definition(made.orders), say, denied)
            if private:
                made.orders.query(f"REVOKE CONNECT ON DATABASE {identifier(made.name)} FROM PUBLIC")
            yield made
        finally:
            _drop(made, say)
    finally:
        made.close()


def definition_of(session: Session) -> Definition:
    """Encoding, locale and settings (those for everybody) of the database that the session is in."""
    newer = "d.datlocprovider::text, " + ("d.datlocale" if session.server.major >= 17 else "d.daticulocale")
    provider = newer if session.server.major >= 15 else "'c', NULL"
    encoding, collate, ctype, kind, locale = session.query(
        f"""SELECT pg_catalog.pg_encoding_to_char(d.encoding), d.datcollate, d.datctype, {provider}
        FROM pg_catalog.pg_database AS d WHERE d.datname = pg_catalog.current_database()"""
    )[0]
    words = [f"TEMPLATE template0 ENCODING {literal(encoding)}", f"LC_COLLATE {literal(collate)} LC_CTYPE {literal(ctype)}"]
    if kind == "i":
        words.append(f"LOCALE_PROVIDER icu ICU_LOCALE {literal(locale)}")
    elif kind == "b":
        words.append(f"LOCALE_PROVIDER builtin BUILTIN_LOCALE {literal(locale)}")
    return Definition(" ".join(words), _settings(session))


def _settings(session: Session) -> list[str]:
    """What ALTER DATABASE … SET says for everybody who connects: files may count on its search_path."""
    rows = session.query(
        """SELECT pg_catalog.unnest(s.setconfig) FROM pg_catalog.pg_db_role_setting AS s
        JOIN pg_catalog.pg_database AS d ON d.oid = s.setdatabase
        WHERE d.datname = pg_catalog.current_database() AND s.setrole = 0"""
    )
    return [setting_words(row[0]) for row in rows]


def setting_words(stored: str) -> str:
    """What follows SET, of a setting as pg_db_role_setting has it ("name=value")."""
    setting, _, value = stored.partition("=")
    return f"{setting} TO {value if setting in _LISTS else literal(value)}"


def _create(made: Temporary, definition: Definition, say: Callable[[str], None], denied: str) -> None:
    session, name = made.orders, identifier(made.name)
    try:
        session.query(f"CREATE DATABASE {name} {definition.options}")
    except DbmigrationError as error:
        if "locale" in error.message:
            raise Permanent(
                Reason.RESTORE_FAILED,
                f"a database like that of the backup cannot be made on this server: {error.message}. Add the locale to its system or image "
                "(localedef)",
            ) from None
        if error.place.sqlstate != "42501":
            raise
        raise Permanent(Reason.PERMISSION_DENIED, f"role {session.server.user} may not create a database: {denied}") from None
    for setting in definition.settings:
        try:
            session.query(f"ALTER DATABASE {name} SET {setting}")
        except DbmigrationError as error:
            if error.place.sqlstate != "42501":
                raise
            what = setting.partition(" ")[0]
            say(f"{what} of the database does not hold in the new one: role {session.server.user} may not set it")


def _drop(made: Temporary, say: Callable[[str], None]) -> None:
    """Whatever happens: what was the matter before is the error that counts. A session that was lost is replaced once.

    A database that was kept has another name by now, and this finds nothing.
    """
    drop = _drop_statement(made.name)
    try:
        session = made.orders
        try:
            session.query(drop)
        except DbmigrationError:
            if not session.connection.closed:
                raise
            made.orders.query(drop)
    except DbmigrationError as error:
        # Under another name it may be that of a database elsewhere, which nobody shall drop for having read this.
        say(f"the temporary database could not be dropped ({error.message})" + ("" if made.renamed else f": {drop}"))


def _drop_statement(name: str) -> str:
    return f"DROP DATABASE IF EXISTS {identifier(name)} WITH (FORCE)"


def drop_leftovers(session: Session, prefix: str, say: Callable[[str], None]) -> None:
    """Drop the databases that killed commands left: ours by name and owner, and no session is there that carries the name.

    Raises what `Session.query` raises.
    """
    rows = session.query(
        """SELECT d.datname FROM pg_catalog.pg_database AS d
        WHERE pg_catalog.starts_with(d.datname::text, %s) AND pg_catalog.pg_get_userbyid(d.datdba) = session_user
            AND NOT EXISTS (SELECT FROM pg_catalog.pg_stat_activity AS a WHERE a.application_name = d.datname OR a.datname = d.datname)""",
        (prefix,),
    )
    for (name,) in rows:
        say(f"dropping {name}, which an earlier command left")
        session.query(_drop_statement(name))
