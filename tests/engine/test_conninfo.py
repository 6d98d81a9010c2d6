"""Connection data that are no good: refused by name of the key, and no part of a value gets into a message."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from dbmigration.api.reasons import Reason
from dbmigration.errors import DbmigrationError, Transient, Usage
from dbmigration.postgres.conninfo import ConnInfo
from tests.engine.test_session import secret

GOOD = {"host": "db", "dbname": "app", "username": "u", "password": "hush"}


@dataclass(frozen=True)
class Keys:
    """As a resource names them."""

    uri: str | None = None
    host: str | None = None
    port: str | None = None
    dbname: str | None = None
    user: str | None = None
    password: str | None = None


def refused(directory: Path, keys: Keys | None = None) -> DbmigrationError:
    with pytest.raises(Transient) as caught:
        ConnInfo.from_secret(directory, keys)
    return caught.value


def test_a_secret_that_is_not_there_or_empty_is_secret_missing(tmp_path: Path) -> None:
    assert refused(tmp_path / "nowhere").reason is Reason.SECRET_MISSING
    assert refused(secret(tmp_path / "empty", {})).reason is Reason.SECRET_MISSING


@pytest.mark.parametrize("missing", ["host", "dbname", "username", "password"])
def test_a_missing_key_is_named(tmp_path: Path, missing: str) -> None:
    error = refused(secret(tmp_path / "s", {key: value for key, value in GOOD.items() if key != missing}))
    assert error.reason is Reason.SECRET_INVALID
    assert missing.removesuffix("name" if missing == "username" else "") in error.message
    assert "hush" not in error.message


@pytest.mark.parametrize(
    "uri",
    [
        "postgresql://u:hu@sh@db/app",
        "postgresql://u:hu/sh@db/app",
        "postgresql://u:hu%zzsh@db/app",
        "postgresql://u:hu?sh@db:port/app",
        "postgresql://u:hush@db:99999999/app",
        "jdbc:postgresql://db/app?password=hush",
        "postgresql+psycopg://u:hush@db/app",
        "hush",
        "host=db password='hush",
        "postgresql://u:hush@db/*",
        "postgresql://u:hush@/app",
    ],
)
def test_a_uri_that_is_no_good_is_refused_without_a_part_of_it(tmp_path: Path, uri: str) -> None:
    error = refused(secret(tmp_path / "s", {"uri": uri}))
    assert error.reason is Reason.SECRET_INVALID
    assert not any(part in f"{error} {error!r} {error.__cause__!r}" for part in ("hush", "hu@", "hu/", "zzsh", "sh@"))
    if not uri.endswith("@/app"):
        with pytest.raises(Usage) as caught:
            ConnInfo.from_dsn(uri)
        assert not any(part in f"{caught.value}" for part in ("hush", "hu@", "hu/", "zzsh", "sh@"))


def test_named_keys_win_and_have_to_be_there(tmp_path: Path) -> None:
    directory = secret(tmp_path / "s", GOOD | {"uri": "postgresql://x:y@z/w", "other": "elsewhere", "link": "postgresql://a:b@c/d"})
    assert ConnInfo.from_secret(directory).parameters["host"] == "z"
    assert ConnInfo.from_secret(directory, Keys(host="other")).parameters == {
        "host": "elsewhere",
        "dbname": "app",
        "user": "u",
        "password": "hush",
    }
    assert ConnInfo.from_secret(directory, Keys(uri="link")).parameters["host"] == "c"
    error = refused(directory, Keys(host="absent"))
    assert (error.reason, "absent" in error.message) == (Reason.SECRET_INVALID, True)


def test_a_password_beside_a_uri_without_one_is_used(tmp_path: Path) -> None:
    directory = secret(tmp_path / "s", {"uri": "postgresql://u@db/app", "password": "hush\n"})
    assert ConnInfo.from_secret(directory).password == "hush"


def test_tls_mode_and_authority_win_over_the_uri(tmp_path: Path) -> None:
    directory = secret(tmp_path / "s", {"uri": "postgresql://u:p@db/app?sslmode=disable"})
    parameters = ConnInfo.from_secret(directory, tls_mode="verify-full", ca_file=Path("/ca/ca.crt")).parameters
    assert (parameters["sslmode"], parameters["sslrootcert"]) == ("verify-full", "/ca/ca.crt")


def test_values_that_are_no_text_are_refused(tmp_path: Path) -> None:
    directory = secret(tmp_path / "s", GOOD)
    (directory / "..data" / "password").write_bytes(b"\xff\xfe")
    assert refused(directory).reason is Reason.SECRET_INVALID


def test_an_environment_that_names_no_database_is_a_usage_error() -> None:
    with pytest.raises(Usage):
        ConnInfo.from_environment({"HOME": "/root", "PGSSLMODE": "require"})
    assert ConnInfo.from_environment({"PGDATABASE": "app", "PGSSLMODE": "require"}).parameters == {"dbname": "app", "sslmode": "require"}


def test_the_environment_for_a_child_says_the_same_and_nothing_else() -> None:
    conninfo = ConnInfo.from_dsn("postgresql://u:p%40ss@db:5433/app?sslmode=require&connect_timeout=3")
    assert conninfo.libpq_environment() == {
        "PGHOST": "db",
        "PGPORT": "5433",
        "PGUSER": "u",
        "PGPASSWORD": "p@ss",
        "PGDATABASE": "app",
        "PGSSLMODE": "require",
        "PGCONNECT_TIMEOUT": "3",
    }
