"""Where a database says what is there, only those earlier files are parsed that matter, and nothing is found otherwise for that."""

from pathlib import Path

import pytest

from dbmigration.lint import Catalog, Relation, TableFacts, check, checking
from dbmigration.lint.relevance import named_by, relevant
from dbmigration.migrations.folder import read_set
from dbmigration.migrations.model import MigrationFile, MigrationSet

FILES = {
    "001_types.sql": "CREATE DOMAIN app.email AS varchar(50) CHECK (VALUE LIKE '%@%');\nCREATE TYPE app.mood AS ENUM ('a', 'b');",
    "002_people.sql": "CREATE TABLE app.persons (id bigint PRIMARY KEY, mail app.email, name varchar(10), born date);",
    "003_other.sql": "CREATE TABLE app.other (id bigint PRIMARY KEY, note text);\nCREATE INDEX other_note ON app.other (note);",
    "004_rename.sql": "ALTER TABLE app.persons RENAME TO people;",
    "005_check.sql": "ALTER TABLE app.people ADD CONSTRAINT born_there CHECK (born IS NOT NULL) NOT VALID;",
    "006_validate.sql": "ALTER TABLE app.people VALIDATE CONSTRAINT born_there;",
    "007_quoted.sql": 'CREATE TABLE app."Odd ""name""" (id int, size numeric(8,2));',
    "008_function.sql": "CREATE FUNCTION app.fixed() RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT 1';",
    "009_wider.sql": "ALTER TABLE app.people ALTER name TYPE varchar(20), ALTER mail TYPE text, ALTER born SET NOT NULL;",
    "010_narrow.sql": 'ALTER TABLE app.people ALTER name TYPE varchar(5);\nALTER TABLE app."Odd ""name""" ALTER size TYPE numeric(10,3);',
    "011_default.sql": "ALTER TABLE app.other ADD x int DEFAULT app.fixed();\nALTER TABLE app.other ADD CONSTRAINT named UNIQUE (note);",
    "012_again.sql": "CREATE TABLE app.other (id int);\nUPDATE app.people SET nobody = 1 WHERE id = 1;",
    "013_back.sql": "ALTER TABLE app.people RENAME TO persons;\nDROP INDEX app.other_note;",
    "014_last.sql": "ALTER TABLE app.persons ALTER name TYPE varchar(30), ALTER mail TYPE app.email;",
}
MEDIUM = TableFacts(1_000_000, 100_000_000)
CATALOG = Catalog({Relation("app", name): MEDIUM for name in ("persons", "people", "other", 'Odd "name"')})


@pytest.fixture
def files(tmp_path: Path) -> MigrationSet:
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    return read_set(tmp_path)


@pytest.mark.parametrize("name", FILES)
def test_the_findings_are_those_of_reading_everything(files: MigrationSet, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pending = [file for file in files.files if file.name == name]
    quick = check(files, pending, catalog=CATALOG)
    monkeypatch.setattr(checking, "relevant", lambda earlier, _: {file.name for file in earlier})
    assert quick == check(files, pending, catalog=CATALOG)
    assert quick, "a set without findings would prove nothing"


@pytest.mark.parametrize(
    ("pending", "matter"),
    [
        ("003_other.sql", ["001"]),
        ("006_validate.sql", ["001", "002", "004", "005"]),
        ("010_narrow.sql", ["001", "002", "004", "005", "006", "007", "009"]),
        ("011_default.sql", ["001", "003", "008"]),
    ],
)
def test_files_about_other_tables_are_not_parsed(files: MigrationSet, pending: str, matter: list[str]) -> None:
    (chosen,) = (file for file in files.files if file.name == pending)
    earlier: list[MigrationFile] = [file for file in files.files if file.number < chosen.number]
    assert sorted(name[:3] for name in relevant(earlier, named_by([chosen]))) == matter


def test_a_name_at_the_border_of_two_blocks_is_found(tmp_path: Path) -> None:
    head = "CREATE TABLE app.people (id int);\n"
    (tmp_path / "001_big.sql").write_text("-- " + "x" * (1024 * 1024 - 10) + "\n" + head)
    (tmp_path / "002_pending.sql").write_text("DROP TABLE app.people;")
    big, pending = read_set(tmp_path).files
    assert relevant([big], named_by([pending])) == {"001_big.sql"}
