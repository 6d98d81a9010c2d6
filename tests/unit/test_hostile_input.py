"""Headers, dbmigration.toml and Secrets of any shape: a clear refusal that shows nothing, or a reading; never another exception."""

import tempfile
from contextlib import suppress
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from dbmigration.errors import DbmigrationError
from dbmigration.migrations.config import read_config
from dbmigration.migrations.folder import read_set
from dbmigration.postgres.conninfo import ConnInfo

words = st.sampled_from(
    [
        *("Migration", "Purpose", "Depends on", "Dependencies", "Environment", "Environments", "Transaction", "Date", "Author"),
        *(":", "--", "/*", "*/", "001", "002_b.sql", "none", "production", "all", ",", "=", "[", "]", '"', "'"),
        *("\n", "\r\n", " ", "\t", "\x1b[2J", "\u202e", "\x00", "\ufeff"),
    ]
)
scripts = st.lists(words | st.text(max_size=8), max_size=40).map("".join)
tables = st.sampled_from(["history", "lint", "seeds", "layout", "environments", "ignore", "schema", "table", "fail_on", "a.b", '"x"'])
values = st.sampled_from(
    ["1", '"x"', "true", "[]", '["a", 1]', "{}", "{a = 1}", "1979-05-27", '"\\u001b[2J"', "nan", "9" * 400, '"""\n"""', "[[1]]"]
)
configs = st.lists(
    st.tuples(tables, values).map(lambda pair: f"{pair[0]} = {pair[1]}") | tables.map(lambda name: f"[{name}]") | scripts, max_size=8
)


@settings(max_examples=300, deadline=None)
@given(scripts, st.sampled_from(["001_a.sql", "rollback-001.sql", "verify-001.sql", "seed-x.sql"]))
def test_a_header_of_any_shape_is_read_or_refused(text: str, name: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "001_a.sql").write_text("SELECT 1;")
        (Path(folder) / name).write_bytes(text.encode(errors="replace"))
        with suppress(DbmigrationError):
            read_set(Path(folder))


@settings(max_examples=300, deadline=None)
@given(configs)
def test_a_configuration_of_any_shape_is_read_or_refused(lines: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "dbmigration.toml").write_bytes("\n".join(lines).encode(errors="replace"))
        with suppress(DbmigrationError):
            read_config(Path(folder))


parts = st.text(max_size=12) | st.sampled_from(
    ["localhost", "5432", "db", "a@b", "[::1]", "/tmp", "%", "%zz", "\n", "\x00", "é", "a,b", "' or 1=1", "sslmode=x"]
)
MARK = "S3cretMark"
uris = st.tuples(st.sampled_from(["postgresql://", "postgres://", "http://", "", "postgresql:/"]), parts, parts, parts, parts, parts).map(
    lambda p: f"{p[0]}{p[1]}:{MARK}{p[2]}@{p[3]}:{p[4]}/{p[5]}"
)


@settings(max_examples=400, deadline=None)
@given(
    st.dictionaries(st.sampled_from(["host", "port", "dbname", "user", "username", "junk"]), parts, max_size=5),
    st.none() | uris | parts,
    st.none() | parts.map(lambda text: MARK + text),
)
def test_a_secret_of_any_shape_is_a_connection_or_a_refusal_without_a_value(
    keys: dict[str, str], uri: str | None, password: str | None
) -> None:
    given_keys = {**keys, **({"uri": uri} if uri is not None else {}), **({"password": password} if password is not None else {})}
    with tempfile.TemporaryDirectory() as folder:
        for name, value in given_keys.items():
            (Path(folder) / name).write_bytes(value.encode(errors="replace"))
        found, said = connection(Path(folder))
        assert MARK not in said
        if found is not None:
            # A password that was not encoded may become part of a user's or a database's name, which libpq itself shows.
            assert found.password is None or MARK not in repr(found).replace(found.parameters.get("user", ""), "").replace(
                found.parameters.get("dbname", ""), ""
            )


def connection(folder: Path) -> tuple[ConnInfo | None, str]:
    """What the Secret is taken for, or what is said of it."""
    try:
        return ConnInfo.from_secret(folder), ""
    except DbmigrationError as refused:
        return None, str(refused)
