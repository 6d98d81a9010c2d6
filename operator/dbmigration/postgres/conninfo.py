"""Where the database is and who we are there, without ever showing the password.

Parameters are libpq's (PostgreSQL manual, 34.1.2). What is not given comes from libpq's own defaults, PG* variables included.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from psycopg import Error, pq
from psycopg.conninfo import conninfo_to_dict

from dbmigration.api.reasons import Reason
from dbmigration.errors import DbmigrationError, Transient, Usage

_HOST = re.compile(r"[A-Za-z0-9._:%\[\]-]*|[/@][^@]*")
"""A name, an address, or a folder of Unix sockets (`/…`, or `@…` for Linux's abstract ones)."""

_KEYS: Mapping[str, tuple[str, ...]] = {
    "uri": ("uri", "url", "DATABASE_URL"),
    "host": ("host", "hostname", "PGHOST"),
    "port": ("port", "PGPORT"),
    "dbname": ("dbname", "database", "PGDATABASE"),
    "user": ("user", "username", "PGUSER"),
    "password": ("password", "PGPASSWORD"),
}
"""The well-known keys of a Secret, tried in this order. CloudNativePG writes uri, host, port, dbname, username and password."""


class SecretKeyNames(Protocol):
    """Which keys of a Secret hold what, as the user named them; None: the well-known names are tried."""

    @property
    def uri(self) -> str | None: ...
    @property
    def host(self) -> str | None: ...
    @property
    def port(self) -> str | None: ...
    @property
    def dbname(self) -> str | None: ...
    @property
    def user(self) -> str | None: ...
    @property
    def password(self) -> str | None: ...


@dataclass(frozen=True, slots=True, repr=False)
class ConnInfo:
    """libpq's connection parameters. Its repr and str name host, port, dbname and user only."""

    parameters: Mapping[str, str]

    @classmethod
    def from_dsn(cls, dsn: str) -> "ConnInfo":
        """From a URI or from key=value words, as libpq takes them. Raises Usage, with no part of the text in its message."""

        def refuse(why: str) -> DbmigrationError:
            return Usage(Reason.SPEC_INVALID, f"the connection string is no good: {why}")

        return cls(_parse(dsn, refuse))

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> "ConnInfo":
        """From DATABASE_URL, else from the PG* variables that libpq reads. Raises Usage when none of them names a database."""
        if environ.get("DATABASE_URL"):
            return cls.from_dsn(environ["DATABASE_URL"])
        parameters = {keyword: environ[name] for keyword, name in _variables().items() if environ.get(name)}
        if not parameters.keys() & {"host", "hostaddr", "dbname", "user", "service"}:
            raise Usage(Reason.SPEC_INVALID, "no database was named: give --dsn, or set DATABASE_URL or PGHOST, PGDATABASE and PGUSER")
        return cls(parameters)

    @classmethod
    def from_secret(
        cls, directory: Path, keys: SecretKeyNames | None = None, *, tls_mode: str | None = None, ca_file: Path | None = None
    ) -> "ConnInfo":
        """From the folder where kubelet mounted a Secret.

        A key that the user named must be there. With none named, a URI is taken first, then host, port, dbname, user and password. A line
        end at the end of a value is dropped: `echo` put it there. `tls_mode` and `ca_file` are libpq's sslmode and sslrootcert and win.
        Raises Transient SECRET_MISSING and SECRET_INVALID, which name keys and never a value.
        """
        read = _SecretFolder(directory)
        named = {what: getattr(keys, what) for what in _KEYS if keys is not None and getattr(keys, what) is not None}
        found = {what: read.one(named[what]) if what in named else read.first(names) for what, names in _KEYS.items()}

        def refuse(why: str) -> DbmigrationError:
            return Transient(Reason.SECRET_INVALID, f"the Secret's connection data are no good: {why}")

        fields = {what: value for what, value in found.items() if what != "uri" and value}
        required = ["host", "dbname", "user", "password"]
        if found["uri"] and ("uri" in named or not named.keys() - {"password"}):
            parameters = fields | _parse(found["uri"], refuse)
            required.remove("password")  # a certificate may stand for it
        else:
            parameters = fields
        missing = [what for what in required if what not in parameters]
        if missing:
            raise refuse(
                f"no key for {', '.join(missing)} among {', '.join(read.names)}; expected a uri, or host, dbname, user and password"
            )
        _check(parameters, refuse)
        if tls_mode is not None:
            parameters["sslmode"] = tls_mode
        if ca_file is not None:
            parameters["sslrootcert"] = str(ca_file)
        return cls(parameters)

    @property
    def password(self) -> str | None:
        return self.parameters.get("password")

    def libpq_environment(self) -> dict[str, str]:
        """The same connection as PG* variables, the password among them (`backup.access` keeps it out of a child's environment)."""
        variables = _variables()
        return {variables[keyword]: value for keyword, value in self.parameters.items() if keyword in variables}

    def __repr__(self) -> str:
        shown = ((name, self.parameters.get(name)) for name in ("host", "port", "dbname", "user"))
        return f"ConnInfo({', '.join(f'{name}={value}' for name, value in shown if value is not None)})"


class _SecretFolder:
    """kubelet writes one file for each key, and dotfiles of its own."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.names = sorted(p.name for p in directory.iterdir() if not p.name.startswith(".")) if directory.is_dir() else []
        if not self.names:
            raise Transient(Reason.SECRET_MISSING, "the Secret is missing or has no keys")

    def one(self, name: str) -> str:
        if name not in self.names:
            raise Transient(Reason.SECRET_INVALID, f"the Secret has no key {name}; it has {', '.join(self.names)}")
        try:
            return (self._directory / name).read_bytes().decode().rstrip("\r\n")
        except UnicodeDecodeError:
            raise Transient(Reason.SECRET_INVALID, f"key {name} of the Secret is not UTF-8 text") from None

    def first(self, names: tuple[str, ...]) -> str | None:
        return next((self.one(name) for name in names if name in self.names), None)


def _parse(text: str, refuse: Callable[[str], DbmigrationError]) -> dict[str, str]:
    """libpq's own reading. Its messages quote what they could not read, which may be a part of a password: none of them gets out."""
    scheme = re.match(r"([A-Za-z][A-Za-z0-9+.:-]*)://", text)
    if scheme and scheme[1] not in ("postgresql", "postgres"):
        raise refuse("a URI has to begin with postgresql:// or postgres://")
    try:
        parameters = {name: str(value) for name, value in conninfo_to_dict(text).items() if value is not None}
    except Error:
        raise refuse(f"libpq cannot read it; {_ENCODE}" if scheme else "libpq cannot read it") from None
    _check(parameters, refuse)
    return parameters


_ENCODE = "characters like @ : / ? # % in a user or password of a URI have to be percent-encoded"


def _check(parameters: Mapping[str, str], refuse: Callable[[str], DbmigrationError]) -> None:
    """A password that was not encoded slides into host or port, and libpq's connection errors name those."""
    if not all(_HOST.fullmatch(host) for host in parameters.get("host", "").split(",")):
        raise refuse(f"the host is not a host's name; {_ENCODE}")
    if not all(re.fullmatch(r"[0-9]{0,5}", port) for port in parameters.get("port", "").split(",")):
        raise refuse(f"the port is not a number; {_ENCODE}")
    if parameters.get("dbname") == "*":
        raise refuse("its dbname is *: name one database")
    if any("\0" in value for value in parameters.values()):
        raise refuse("it holds a NUL byte")


def _variables() -> dict[str, str]:
    """libpq's keywords with their environment variables (PGHOST …)."""
    defaults = pq.Conninfo.get_defaults()
    return {d.keyword.decode(): d.envvar.decode() for d in defaults if d.envvar is not None}
