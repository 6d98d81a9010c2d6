"""What lint knows of the whole set, of the scripts beside a migration, and of a database."""

from pathlib import Path

import pytest

from dbmigration.errors import Transient
from dbmigration.lint import Catalog, Finding, Relation, TableFacts, check, check_folder
from dbmigration.lint.catalog import LARGE_BYTES, SMALL_BYTES
from dbmigration.migrations.folder import read_set
from dbmigration.migrations.template import new_migration

HOUSE = ("missing-header", "missing-rollback", "missing-transaction", "not-idempotent")
ROOT = Path(__file__).resolve().parents[2]


def write(folder: Path, **files: str) -> None:
    """`_001_x="SELECT 1;"` writes 001_x.sql, `rollback_001` rollback-001.sql."""
    for name, text in files.items():
        name = name.removeprefix("_")
        kind, _, rest = name.partition("_")
        (folder / (f"{kind}-{rest}.sql" if kind in ("rollback", "verify") else f"{name}.sql")).write_text(text)


def found(folder: Path, *names: str) -> list[tuple[str, str, int | None]]:
    return [(f.rule, f.file, f.line) for f in check_folder(folder, names) if f.rule not in HOUSE]


def with_catalog(folder: Path, catalog: Catalog, pending: str) -> list[Finding]:
    files = read_set(folder)
    return [f for f in check(files, [file for file in files.files if file.name == pending], catalog=catalog) if f.rule not in HOUSE]


def test_the_platforms_own_files_are_clean() -> None:
    assert check_folder(ROOT / "migrations") == ()


def test_the_house_template_is_clean(tmp_path: Path) -> None:
    """As `dbmigration new` writes it, with the requirements' example in it."""
    from datetime import UTC, datetime

    new_migration(tmp_path, "add_project_limits", datetime(2025, 11, 21, tzinfo=UTC))
    example = (
        "ALTER TABLE platform.projects\nADD COLUMN max_databases INTEGER DEFAULT 10,\nADD COLUMN max_storage_gb INTEGER DEFAULT 100;\n"
        "CREATE TABLE IF NOT EXISTS platform.project_limits (\n    id UUID PRIMARY KEY DEFAULT uuid_generate_v4(),\n"
        "    project_id UUID REFERENCES platform.projects(id) ON DELETE CASCADE,\n    resource_type TEXT NOT NULL,\n"
        "    limit_value INTEGER NOT NULL,\n    current_usage INTEGER DEFAULT 0,\n    created_at TIMESTAMPTZ NOT NULL DEFAULT NOW(),\n"
        "    updated_at TIMESTAMPTZ NOT NULL DEFAULT NOW()\n);\n"
        "CREATE INDEX idx_project_limits_project_id\nON platform.project_limits(project_id);\n"
        "CREATE INDEX idx_project_limits_resource_type\nON platform.project_limits(resource_type);\n"
    )
    back = (
        "DROP TABLE IF EXISTS platform.project_limits;\nALTER TABLE platform.projects\nDROP COLUMN IF EXISTS max_databases,\n"
        "DROP COLUMN IF EXISTS max_storage_gb;\n"
    )
    for name, body in (("001_add_project_limits.sql", example), ("rollback-001.sql", back)):
        path = tmp_path / name
        text = path.read_text()
        assert "COMMIT;" in text
        path.write_text(text.replace("COMMIT;", body + "COMMIT;"))
    assert check_folder(tmp_path) == ()


def test_the_house_template_as_it_is_written_only_lacks_its_sql(tmp_path: Path) -> None:
    from datetime import UTC, datetime

    new_migration(tmp_path, "add_project_limits", datetime(2025, 11, 21, tzinfo=UTC))
    assert {f.rule for f in check_folder(tmp_path)} <= {"empty-migration", "missing-header"}


def test_object_made_by_a_later_file_is_an_error(tmp_path: Path) -> None:
    write(tmp_path, _001_a="ALTER TABLE orders ADD x int;", _002_b="CREATE TABLE orders (id bigint);")
    assert found(tmp_path) == [("unknown-object", "001_a.sql", 1)]


def test_foreign_key_indexed_by_a_later_file_is_fine(tmp_path: Path) -> None:
    write(
        tmp_path,
        _001_a="CREATE TABLE a (id bigint PRIMARY KEY); CREATE TABLE b (a_id bigint REFERENCES a);",
        _002_b="-- Dependencies: 001\nCREATE INDEX CONCURRENTLY ON b (a_id);",
    )
    assert found(tmp_path, "001_a.sql") == []


def test_not_valid_that_a_later_file_validates_is_fine(tmp_path: Path) -> None:
    write(
        tmp_path,
        _001_a="CREATE TABLE a (id bigint);",
        _002_b="-- Dependencies: 001\nALTER TABLE a ADD CONSTRAINT c CHECK (id > 0) NOT VALID;",
        _003_c="-- Dependencies: 002\nALTER TABLE a VALIDATE CONSTRAINT c;",
    )
    assert found(tmp_path) == []


def test_use_without_dependency_is_reported_where_it_is(tmp_path: Path) -> None:
    write(
        tmp_path,
        _001_a="CREATE TABLE a (id bigint);",
        _002_b="CREATE TABLE b (id bigint);",
        _003_c="-- Dependencies: 002\nALTER TABLE b ADD x int;\nALTER TABLE a ADD x int;",
        _004_d="-- Dependencies: 003\nALTER TABLE b ADD y int;",
    )
    assert found(tmp_path) == [("undeclared-dependency", "003_c.sql", 3)]


def test_without_the_field_dependencies_are_a_matter_of_the_header(tmp_path: Path) -> None:
    write(tmp_path, _001_a="CREATE TABLE a (id bigint);", _002_b="ALTER TABLE a ADD x int;")
    assert found(tmp_path) == []


def test_only_the_named_files_are_reported(tmp_path: Path) -> None:
    write(tmp_path, _001_a="DROP TABLE IF EXISTS a;", _002_b="DROP TABLE IF EXISTS b;", rollback_002="SELECT 1;")
    assert found(tmp_path, "rollback-002.sql") == [("drop-table", "002_b.sql", 1)]


def test_rollback_drops_what_its_file_made(tmp_path: Path) -> None:
    """Destructive is what a rollback is for; what the file did not make is still not there to be dropped."""
    write(
        tmp_path,
        _001_a="CREATE SCHEMA app; CREATE TABLE app.users (id bigint);",
        _002_b="-- Dependencies: 001\nALTER TABLE app.users ADD x int;",
        rollback_002="ALTER TABLE app.users DROP COLUMN x;",
        _003_c="-- Dependencies: 002\nUPDATE app.users SET x = 1 WHERE id = 2;",
        rollback_001="BEGIN;\nDROP TABLE app.users;\nDROP TABLE app.user;\nCOMMIT;",
    )
    assert found(tmp_path) == [("unknown-object", "rollback-001.sql", 3)]


def test_verify_script_is_only_parsed(tmp_path: Path) -> None:
    write(tmp_path, _001_a="CREATE TABLE a (id bigint);", verify_001="SELECT count(*) = 0 FORM a;\nDELETE FROM a; SELECT true;")
    assert found(tmp_path) == [("syntax-error", "verify-001.sql", 1)]


def test_verify_script_that_no_run_takes_is_found(tmp_path: Path) -> None:
    write(tmp_path, _001_a="CREATE TABLE a (id bigint);", verify_001="BEGIN;\nSELECT true;\nROLLBACK;\n")
    assert found(tmp_path) == []
    write(tmp_path, verify_001="SELECT true;\nCOMMIT;\n")
    assert found(tmp_path) == [("not-runnable", "verify-001.sql", None)]


def test_folder_that_is_no_set_is_one_finding(tmp_path: Path) -> None:
    write(tmp_path, _001_a="SELECT 1;", _001_b="SELECT 2;")
    (finding,) = check_folder(tmp_path)
    assert (finding.rule, str(finding.severity), finding.file) == ("invalid-set", "error", "001_b.sql")


def test_missing_folder_is_no_finding(tmp_path: Path) -> None:
    with pytest.raises(Transient) as missing:
        check_folder(tmp_path / "nowhere")
    assert missing.value.reason == "SourceMissing"


def test_a_name_that_is_not_in_the_folder(tmp_path: Path) -> None:
    write(tmp_path, _001_a="SELECT 1;")
    with pytest.raises(KeyError, match=r"009_z\.sql"):
        check_folder(tmp_path, ["009_z.sql"])


def test_upper_case_file_name_is_a_note(tmp_path: Path) -> None:
    write(tmp_path, _001_AddUsers="SELECT 1;")
    assert found(tmp_path) == [("file-name-style", "001_AddUsers.sql", None)]


USERS = Relation("app", "users")


@pytest.mark.parametrize(
    ("facts", "severity"),
    [
        (TableFacts(rows=100, bytes=SMALL_BYTES), "note"),
        (TableFacts(rows=-1, bytes=8192), "note"),
        (TableFacts(rows=1_000_000, bytes=SMALL_BYTES), "warning"),
        (TableFacts(rows=1_000_000, bytes=LARGE_BYTES), "error"),
    ],
)
def test_size_of_the_table_moves_the_severity(tmp_path: Path, facts: TableFacts, severity: str) -> None:
    write(tmp_path, _001_a="CREATE INDEX ON app.users (name);", _002_b="CREATE INDEX ON users (name);")
    catalog = Catalog({USERS: facts})
    assert [(f.rule, str(f.severity)) for f in with_catalog(tmp_path, catalog, "001_a.sql")] == [
        ("create-index-not-concurrently", severity)
    ]
    assert [str(f.severity) for f in with_catalog(tmp_path, catalog, "002_b.sql")] == [severity]


def test_destruction_is_as_bad_on_a_small_table(tmp_path: Path) -> None:
    write(tmp_path, _001_a="DROP TABLE app.users;")
    assert [str(f.severity) for f in with_catalog(tmp_path, Catalog({USERS: TableFacts(1, 8192)}), "001_a.sql")] == ["error"]


def test_table_of_an_earlier_pending_file_is_a_note(tmp_path: Path) -> None:
    """The first install: what 001 makes is empty when 002 comes, and the database does not have it yet."""
    write(tmp_path, _001_a="CREATE TABLE a (id bigint);", _002_b="-- Dependencies: 001\nCREATE INDEX ON a (id);")
    assert [str(f.severity) for f in with_catalog(tmp_path, Catalog(), "002_b.sql")] == ["note"]


def destroyed(folder: Path, catalog: Catalog) -> dict[str, list[str]]:
    """What is found of what is lost, each severity by its file, when every file of the folder is pending."""
    rules = ("drop-table", "drop-column", "truncate", "delete-without-where", "update-without-where")
    found: dict[str, list[str]] = {}
    for finding in check(read_set(folder), read_set(folder).files, catalog=catalog):
        if finding.rule in rules:
            found.setdefault(finding.file, []).append(f"{finding.rule} {finding.severity}")
    return found


LOSSES = "UPDATE {0} SET y = 1;\nDELETE FROM {0};\nTRUNCATE {0};\nALTER TABLE {0} DROP y;\nDROP TABLE {0};\n"


def test_nothing_is_lost_with_what_the_same_run_made(tmp_path: Path) -> None:
    """A whole set goes into a database that has something else in it: what its files take back is only what they made."""
    write(tmp_path, _001_a="CREATE TABLE a (y int);", _002_b="ALTER TABLE a RENAME TO b;", _003_c=LOSSES.format("b"))
    catalog = Catalog({USERS: TableFacts(1, 8192, ("id",))})
    assert {finding.split()[-1] for finding in destroyed(tmp_path, catalog)["003_c.sql"]} == {"note"}
    assert {
        finding.split()[-1] for finding in destroyed(tmp_path, Catalog({Relation("public", "a"): TableFacts(1, 8192, ("y",))}))["003_c.sql"]
    } == {"error"}, "it was there before"


def test_a_first_install_drops_what_is_not_there(tmp_path: Path) -> None:
    write(tmp_path, _001_a="DROP TABLE IF EXISTS a;\nDROP VIEW IF EXISTS v;\nCREATE TABLE a (id int);")
    assert destroyed(tmp_path, Catalog({USERS: TableFacts(1, 8192)})) == {}
    assert destroyed(tmp_path, Catalog({Relation("public", "a"): TableFacts(1, 8192)})) == {"001_a.sql": ["drop-table error"]}
    write(tmp_path, _001_a="ALTER TABLE app.users RENAME TO a;", _002_b="DROP TABLE IF EXISTS app.a;")
    assert destroyed(tmp_path, Catalog({USERS: TableFacts(1, 8192)})) == {"002_b.sql": ["drop-table error"]}


def test_a_table_that_the_run_only_renames_is_lost_all_the_same(tmp_path: Path) -> None:
    write(tmp_path, _001_a="ALTER TABLE app.users RENAME TO old;", _002_b=LOSSES.format("app.old"))
    catalog = Catalog({USERS: TableFacts(1, 8192, ("id", "y"))})
    assert {finding.split()[-1] for finding in destroyed(tmp_path, catalog)["002_b.sql"]} == {"error"}


def test_a_column_that_an_earlier_file_of_the_run_added_holds_nothing_yet(tmp_path: Path) -> None:
    loss = "UPDATE app.users SET y = 1;\nALTER TABLE app.users DROP y;\n"
    write(tmp_path, _001_a="ALTER TABLE app.users ADD y int;", _002_b=loss)
    assert destroyed(tmp_path, Catalog({USERS: TableFacts(1, 8192, ("id",))})) == {"002_b.sql": ["update-without-where note"]}
    there = destroyed(tmp_path, Catalog({USERS: TableFacts(1, 8192, ("id", "y"))}))
    assert there == {"002_b.sql": ["update-without-where error", "drop-column error"]}
    write(tmp_path, _001_a="ALTER TABLE app.users RENAME z TO y;")
    assert destroyed(tmp_path, Catalog({USERS: TableFacts(1, 8192, ("id", "z"))})) == there
    write(tmp_path, _001_a="ALTER TABLE app.users ADD w int;\nALTER TABLE app.users RENAME w TO y;")
    assert destroyed(tmp_path, Catalog({USERS: TableFacts(1, 8192, ("id",))})) == {"002_b.sql": ["update-without-where note"]}


def test_with_a_database_what_neither_has_is_an_error(tmp_path: Path) -> None:
    write(tmp_path, _001_a="ALTER TABLE nowhere ADD x int; ALTER TABLE app.users ADD y int; SELECT * FROM v;")
    catalog = Catalog({USERS: TableFacts(1, 8192)}, frozenset({Relation("app", "v")}))
    assert [(f.rule, str(f.severity), f.message.split()[-1]) for f in with_catalog(tmp_path, catalog, "001_a.sql")] == [
        ("unknown-object", "error", "nowhere")
    ]


def test_index_of_the_database_serves_a_foreign_key(tmp_path: Path) -> None:
    write(tmp_path, _001_a="ALTER TABLE app.users ADD org_id bigint, ADD FOREIGN KEY (org_id) REFERENCES app.users NOT VALID;")
    without = Catalog({USERS: TableFacts(1, 8192)})
    indexed = Catalog({USERS: TableFacts(1, 8192, indexes=(("org_id", "name"),))})
    assert "foreign-key-without-index" in {f.rule for f in with_catalog(tmp_path, without, "001_a.sql")}
    assert "foreign-key-without-index" not in {f.rule for f in with_catalog(tmp_path, indexed, "001_a.sql")}


def test_nothing_pending_reads_nothing(tmp_path: Path) -> None:
    write(tmp_path, _001_a="SELECT 1;")
    files = read_set(tmp_path)
    (tmp_path / "001_a.sql").unlink()
    assert check(files, ()) == ()
