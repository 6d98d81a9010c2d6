"""dbmigration.toml."""

from pathlib import Path

import pytest

from dbmigration.api.reasons import Reason
from dbmigration.errors import Permanent
from dbmigration.migrations.config import parse_config, read_config
from dbmigration.migrations.model import DEFAULT_ENVIRONMENTS, HistoryTable, SetConfig


def test_a_folder_without_the_file_has_the_defaults(tmp_path: Path) -> None:
    assert read_config(tmp_path) == SetConfig(history=None, environments=DEFAULT_ENVIRONMENTS)


def test_history_and_environments_are_read() -> None:
    text = b'\xef\xbb\xbfenvironments = ["dev", "prod-eu"]\r\n[history]\nschema = "platform"\ntable = "Migrations"\n'
    assert parse_config(text) == SetConfig(HistoryTable("platform", "Migrations"), ("dev", "prod-eu"))


@pytest.mark.parametrize(
    ("text", "table"),
    [
        ('[history]\nschema = "platform"', HistoryTable("platform", "schema_migrations")),
        ('[history]\ntable = "done"', HistoryTable("dbmigration", "done")),
    ],
)
def test_half_a_history_table_is_completed_by_the_default(text: str, table: HistoryTable) -> None:
    assert parse_config(text.encode()).history == table


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ('environment = ["dev"]', "environment"),
        ('[history]\nname = "x"', "history.name"),
        ('[lint]\nfail = "error"', "lint"),
        ('[lint]\nfail_on = "note"', "lint.fail_on"),
        ('history = "platform.schema_migrations"', "history"),
        ('[history]\nschema = ""', "history.schema"),
        ("[history]\ntable = 1", "history.table"),
        (f'[history]\ntable = "{"é" * 32}"', "history.table"),
        ('environments = "production"', "environments"),
        ("environments = []", "environments"),
        ("environments = [1]", "environments"),
        ('environments = ["Production"]', "Production"),
        ('environments = ["a", "a"]', "environments"),
    ],
)
def test_an_unknown_key_or_wrong_value_is_refused_by_name(text: str, named: str) -> None:
    with pytest.raises(Permanent) as caught:
        parse_config(text.encode())
    assert (caught.value.reason, caught.value.place.file) == (Reason.SOURCE_INVALID, "dbmigration.toml")
    assert named in caught.value.message


@pytest.mark.parametrize(("text", "line"), [(b'a = 1\n[history\nschema = "x"', 2), (b"a = \xff", None)])
def test_what_is_no_toml_is_refused_with_its_line(text: bytes, line: int | None) -> None:
    with pytest.raises(Permanent) as caught:
        parse_config(text)
    assert (caught.value.reason, caught.value.place.line) == (Reason.SOURCE_INVALID, line)


def test_a_config_that_cannot_be_read_is_no_default(tmp_path: Path) -> None:
    (tmp_path / "dbmigration.toml").mkdir()
    with pytest.raises(Permanent) as caught:
        read_config(tmp_path)
    assert caught.value.reason is Reason.SOURCE_INVALID
