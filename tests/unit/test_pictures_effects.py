"""What a migration does, from its text alone: what is left of it when it is over."""

from pathlib import Path

import pytest

from dbmigration.migrations.folder import read_set
from dbmigration.pictures.effects import ColumnEffect, Effects, IndexEffect, Thing, effects_of

BEFORE = """
CREATE TABLE app.users (id bigint PRIMARY KEY, name text, age int);
CREATE TYPE app.mood AS ENUM ('glad');
CREATE INDEX users_name ON app.users (name);
"""


def effects(folder: Path, sql: str, before: str = BEFORE) -> Effects:
    (folder / "001_before.sql").write_text(before)
    (folder / "002_file.sql").write_text(sql)
    return [made for _, made in effects_of(read_set(folder).files)][1]


def test_a_new_table_is_shown_as_it_stands_at_the_files_end(tmp_path: Path) -> None:
    made = effects(
        tmp_path,
        """
        CREATE TABLE app.orders (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
          "User" bigint NOT NULL REFERENCES app.users (id), code text UNIQUE);
        ALTER TABLE app.orders ADD total numeric(12,2) NOT NULL DEFAULT 0;
        ALTER TABLE app.orders DROP COLUMN code;
        CREATE UNIQUE INDEX orders_low ON app.orders (lower(note), "User");
        """,
    )
    assert made.creates == (Thing("table", "app.orders"),)
    assert made.changes == ()
    (table,) = made.tables
    assert table.columns == (
        ColumnEffect("id", "bigint", ("PK",)),
        ColumnEffect('"User"', "bigint", ("not null", "FK → users.id")),
        ColumnEffect("total", "numeric(12, 2)", ("not null",)),
    )
    assert table.indexes == (IndexEffect("orders_low", ("", "User"), unique=True),)
    assert table.complete


@pytest.mark.parametrize(
    ("sql", "verb", "what"),
    [
        ("ALTER TABLE app.users ADD region text NOT NULL DEFAULT ''", "adds column", "`region` (text, not null)"),
        ("ALTER TABLE app.users ADD boss bigint REFERENCES app.users", "adds column", "`boss` (bigint, FK → users)"),
        ("ALTER TABLE app.users DROP age", "drops column", "`age`"),
        ("ALTER TABLE app.users ALTER age TYPE bigint", "changes the type of", "`age` to bigint"),
        ("ALTER TABLE app.users ALTER age SET NOT NULL", "forbids null in", "`age`"),
        ("ALTER TABLE app.users ALTER age DROP NOT NULL", "allows null in", "`age`"),
        ("ALTER TABLE app.users ADD CONSTRAINT old CHECK (age > 0) NOT VALID", "adds", "check constraint `old`, not valid yet"),
        ("ALTER TABLE app.users ADD FOREIGN KEY (age) REFERENCES app.ages", "adds", "foreign key (age) → `app.ages`"),
        ("ALTER TABLE app.users DROP CONSTRAINT users_pkey", "drops constraint", "`users_pkey`"),
        ("ALTER TABLE app.users VALIDATE CONSTRAINT old", "validates constraint", "`old`"),
        ("ALTER TABLE app.users SET UNLOGGED", "is rewritten by", "`SET UNLOGGED`"),
        ("ALTER TABLE app.users ENABLE ROW LEVEL SECURITY", "changes", "other settings"),
        ("ALTER TABLE app.users ATTACH PARTITION app.part DEFAULT", "attaches partition", "`app.part`"),
        ("ALTER TABLE app.users DETACH PARTITION app.part", "detaches partition", "`app.part`"),
        ("ALTER TABLE app.users RENAME age TO years", "renames column", "`age` to `years`"),
        ("ALTER TABLE app.users RENAME TO people", "is renamed to", "`app.people`"),
        ("ALTER TABLE app.users SET SCHEMA hr", "moves to schema", "`hr`"),
    ],
)
def test_what_becomes_of_a_table_that_was_there(tmp_path: Path, sql: str, verb: str, what: str) -> None:
    assert effects(tmp_path, f"{sql};").changes == (("app.users", ((verb, what),)),)


def test_types_change_too(tmp_path: Path) -> None:
    made = effects(tmp_path, "ALTER TYPE app.mood ADD VALUE 'sad'; ALTER DOMAIN app.age ADD CHECK (VALUE > 0);")
    assert made.changes == (("app.mood", (("adds value", "`sad`"),)), ("app.age", (("adds", "a constraint"),)))
    assert made.transactional


def test_a_column_that_is_there_already_is_not_added(tmp_path: Path) -> None:
    assert effects(tmp_path, "ALTER TABLE app.users ADD COLUMN IF NOT EXISTS age int;").changes == ()


def test_what_a_file_makes_and_drops_again_is_not_said(tmp_path: Path) -> None:
    made = effects(
        tmp_path,
        """
        CREATE TABLE app.step (id int);
        CREATE INDEX ON app.step (id);
        INSERT INTO app.step VALUES (1);
        DROP TABLE app.step;
        CREATE TEMPORARY TABLE scratch (id int);
        CREATE INDEX ON scratch (id);
        ALTER TABLE scratch ADD x int;
        INSERT INTO scratch VALUES (1);
        DROP TABLE scratch;
        """,
    )
    assert (made.creates, made.tables, made.changes, made.drops) == ((), (), (), ())
    assert made.data == (("inserts into", "app.step"),)


def test_what_is_dropped_to_be_made_anew_is_created_not_dropped(tmp_path: Path) -> None:
    made = effects(
        tmp_path,
        """
        DROP TRIGGER IF EXISTS touch ON app.users;
        CREATE TRIGGER touch BEFORE UPDATE ON app.users FOR EACH ROW EXECUTE FUNCTION app.touch();
        DROP INDEX app.users_name;
        ALTER TABLE app.users ADD x int;
        DROP TABLE app.users;
        """,
    )
    assert made.creates == (Thing("trigger", "touch", "app.users"),)
    assert made.drops == (Thing("index", "app.users_name"), Thing("table", "app.users"))
    assert made.changes == ()


def test_a_renamed_new_table_has_its_new_name(tmp_path: Path) -> None:
    made = effects(tmp_path, "CREATE TABLE app.new_users (LIKE app.users); ALTER TABLE app.new_users RENAME TO people;")
    assert made.creates == (Thing("table", "app.people"),)
    assert [(table.name, table.complete) for table in made.tables] == [("app.people", False)]


def test_data_is_said_once_for_each_table(tmp_path: Path) -> None:
    made = effects(
        tmp_path,
        """
        INSERT INTO app.users VALUES (1); INSERT INTO app.users VALUES (2);
        UPDATE app.users SET age = 1; DELETE FROM app.users; TRUNCATE app.users; REFRESH MATERIALIZED VIEW app.sums;
        COPY app.users FROM STDIN;
1	a	2
\\.
        """,
    )
    assert made.data == (
        ("inserts into", "app.users"),
        ("updates", "app.users"),
        ("deletes from", "app.users"),
        ("empties", "app.users"),
        ("refreshes", "app.sums"),
    )


def test_what_nobody_looked_into_is_said(tmp_path: Path) -> None:
    made = effects(
        tmp_path, "DO $$ BEGIN END $$;\nDO $$ BEGIN END $$;\nCREATE NONSENSE x;\nCREATE VIEW app.v AS SELECT 1;\n\\i other.sql\n"
    )
    assert made.creates == (Thing("view", "app.v"),)
    assert [text.partition(":")[0] for text in made.unread] == ["2 DO blocks", "line 3", "the file from line 5 on"]


def test_a_file_that_needs_no_transaction_says_so(tmp_path: Path) -> None:
    made = effects(tmp_path, "CREATE INDEX CONCURRENTLY users_age ON app.users (age);")
    assert made.creates == (Thing("index", "users_age", "app.users"),)
    assert not made.transactional
