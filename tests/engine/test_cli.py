"""The command as a person and a script see it: one process and one real database."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from dbmigration.api.states import State
from dbmigration.kube.promotion import stage_of_evidence
from dbmigration.migrations.mask import mask_literals
from dbmigration.postgres import lock
from tests.engine.command_line import COMMAND, WITHIN_S, dbmigration, environment_of, staging, succeeds, tables, three_migrations
from tests.engine.conftest import Database

PLATFORM = Path(__file__).parents[2] / "migrations"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return three_migrations(tmp_path)


def test_apply_says_each_file_and_a_second_apply_has_nothing_to_do(database: Database, folder: Path) -> None:
    first = dbmigration(database, "apply", *staging(folder))
    assert first.status == 0, first.err
    assert [line.split()[1].rstrip(":") for line in first.out.splitlines() if line.startswith("applied")] == ["001_one.sql", "002_two.sql"]
    assert tables(database) == "one two"
    second = dbmigration(database, "apply", *staging(folder))
    assert (second.status, second.err) == (0, "")
    assert not any(line.startswith("applied") for line in second.out.splitlines())


def test_json_is_the_report_and_nothing_else(database: Database, folder: Path) -> None:
    plan = dbmigration(database, "plan", *staging(folder), "--json")
    assert plan.report().pending_names == ("001_one.sql", "002_two.sql")
    applied = dbmigration(database, "apply", *staging(folder), "--json")
    assert applied.report().applied_now == ("001_one.sql", "002_two.sql")
    status = dbmigration(database, "status", *staging(folder), "--json").report()
    assert [each.state for each in status.migrations] == [State.APPLIED, State.APPLIED, State.SKIPPED]
    assert (plan.status, applied.status) == (0, 0)


def test_plan_changes_nothing_shows_how_each_file_runs_and_can_exit_with_4(database: Database, folder: Path) -> None:
    (folder / "002_two.sql").write_text("CREATE TABLE two (id int);\nCREATE INDEX CONCURRENTLY ON two (id);\n")
    plan = dbmigration(database, "plan", *staging(folder), "--exit-code")
    assert plan.status == 4
    rows = [line.split(maxsplit=5) for line in plan.out.splitlines()[:3]]
    assert [row[:3] for row in rows] == [
        ["001", "001_one.sql", "Pending"],
        ["002", "002_two.sql", "Pending"],
        ["003", "003_three.sql", "Skipped"],
    ]
    assert rows[0][5] == "1 statement in one transaction"
    assert "no transaction: line 2" in rows[1][5]
    assert tables(database) == ""
    assert database.psql("SELECT count(*) FROM pg_namespace WHERE nspname = 'dbmigration'") == "0"
    succeeds(database, "plan", *staging(folder))


def test_a_set_of_hundreds_is_not_named_file_by_file_in_one_line(database: Database, tmp_path: Path) -> None:
    for number in range(1, 41):
        (tmp_path / f"{number:03}_file.sql").write_text("SELECT 1;\n" if number < 40 else "SELECT nothing;\n")
    ended = dbmigration(database, "apply", "--dir", str(tmp_path))
    assert (ended.status, "40 pending: 001_file.sql, " in ended.out, "010_file.sql and 30 more\n" in ended.out) == (1, True, True)
    assert "applied in this run: 001_file.sql" in ended.err
    assert "and 29 more" in ended.err


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("002_two.sql", "SELECT 1;\n\\copy two from stdin\n", ":2: error: MetaCommand"),
        ("verify-002.sql", "SELECT true;\nCOMMIT;\n", ": error: SourceInvalid"),
    ],
)
def test_plan_refuses_what_apply_would_refuse_before_any_sql(database: Database, folder: Path, name: str, text: str, said: str) -> None:
    (folder / name).write_text(text)
    for command in ("plan", "apply"):
        ended = dbmigration(database, command, *staging(folder))
        assert ended.status == 1
        assert ended.err.startswith(f"{folder / name}{said}")
    assert tables(database) == ""


@pytest.mark.parametrize("command", ["plan", "apply", "status", "verify"])
def test_environment_is_required_when_a_header_names_one(database: Database, folder: Path, command: str) -> None:
    for words in ([], ["--environment", "prod"]):
        ended = dbmigration(database, command, "--dir", str(folder), *words)
        assert ended.status == 2
        assert "--environment" in ended.err
        assert ended.out.count("Skipped") == 0
    assert tables(database) == ""


@pytest.mark.parametrize(
    "words",
    [
        ["apply", "--no-such-option"],
        ["apply", "--lock-timeout", "2"],
        ["apply", "--history", "schema_migrations"],
        ["backup"],
        ["backup", "--backup-dir", "x", "--check", "y"],
        ["rollback", "--yes"],
        ["rollback", "001", "--to", "000", "--yes"],
        ["rollback", "--last-run", "--to", "000", "--yes"],
        ["rollback", "001"],
        ["apply", "--dir", "no-such-folder"],
        ["status", "--dsn", "postgresql://u:secret@h:not a port/d"],
        ["status", "--dsn", "mysql://h/d"],
        ["nonsense"],
        ["new", "Not Snake"],
    ],
)
def test_wrong_words_exit_with_2_and_touch_nothing(database: Database, words: list[str], tmp_path: Path) -> None:
    ended = dbmigration(database, *words, cwd=tmp_path)
    assert ended.status == 2, ended.err
    assert ended.err
    assert "secret" not in ended.err
    assert database.psql("SELECT count(*) FROM pg_namespace WHERE nspname = 'dbmigration'") == "0"


def test_bad_sql_names_file_line_state_and_statement_and_hides_values(database: Database, folder: Path) -> None:
    statement = "INSERT INTO one VALUES (1), (1 / 0 + length('geheim'));"
    (folder / "002_two.sql").write_text(f"-- comment\n\n{statement}\n")
    ended = dbmigration(database, "apply", *staging(folder))
    assert ended.status == 1
    lines = ended.err.splitlines()
    assert lines[0].startswith(f"{folder / '002_two.sql'}:3: error: SqlFailed (SQLSTATE 22012)")
    assert f"  statement: {mask_literals(statement)}" in lines
    assert "  applied in this run: 001_one.sql" in lines
    assert "  not applied: 002_two.sql" in lines
    assert "geheim" not in ended.err + ended.out
    failure = dbmigration(database, "apply", *staging(folder), "--json").report().failure
    assert failure is not None
    assert (failure.file, failure.line, failure.sqlstate) == ("002_two.sql", 3, "22012")


def test_a_file_that_lacks_a_right_is_told_to_have_it_granted_and_need_not_change(database: Database, folder: Path) -> None:
    (folder / "002_two.sql").write_text("ALTER TABLE pg_catalog.pg_class ADD COLUMN x int;\n")
    ended = dbmigration(database, "apply", *staging(folder))
    assert ended.status == 1
    lines = ended.err.splitlines()
    assert lines[0].startswith(f"{folder / '002_two.sql'}:1: error: SqlFailed (SQLSTATE 42501): must be owner of ")
    assert "(for the role that runs migrations: grant it that right, or make it the owner)" in lines[0]
    assert lines[-1] == "  next: have that right granted and run the same command again; mend the file if it should not need it"


def test_values_are_shown_only_with_show_values(database: Database, folder: Path) -> None:
    (folder / "002_two.sql").write_text("INSERT INTO one VALUES (4711), (4711);\n")
    hidden = dbmigration(database, "apply", *staging(folder))
    assert "4711" not in hidden.err + hidden.out
    shown = dbmigration(database, "apply", *staging(folder), "--show-values")
    assert "(id)=(4711)" in shown.err
    assert (hidden.status, shown.status) == (1, 1)


def test_status_shows_an_edited_file_and_what_apply_would_say_of_it(database: Database, folder: Path) -> None:
    succeeds(database, "apply", *staging(folder))
    with (folder / "001_one.sql").open("a") as file:
        file.write("SELECT 2;\n")
    status = dbmigration(database, "status", *staging(folder))
    assert status.status == 0
    assert [line.split()[2] for line in status.out.splitlines()[:3]] == ["Applied", "Applied", "Skipped"]
    assert "ChecksumMismatch" in status.err
    for command in ("plan", "apply"):
        assert dbmigration(database, command, *staging(folder)).status == 1


def test_status_prints_evidence_that_the_operator_believes(database: Database, folder: Path) -> None:
    succeeds(database, "apply", *staging(folder))
    manifest = json.loads(succeeds(database, "status", *staging(folder), "--evidence", "studio-staging").out)
    assert (manifest["kind"], manifest["metadata"]) == ("ConfigMap", {"name": "studio-staging"})
    stage = stage_of_evidence("x", manifest["data"]["evidence.json"])
    assert (stage.problem, stage.not_ready, stage.environment, stage.complete) == (None, None, "staging", True)
    assert [state for state, _ in stage.files.values()] == ["Applied", "Applied", "Skipped"]
    with (folder / "001_one.sql").open("a") as file:
        file.write("SELECT 2;\n")
    edited = json.loads(dbmigration(database, "status", *staging(folder), "--evidence", "studio-staging").out)
    assert "ChecksumMismatch" in (stage_of_evidence("x", edited["data"]["evidence.json"]).not_ready or "")


@pytest.mark.parametrize("changes", [{"PGPORT": "1"}, {"PGPASSWORD": "wrong"}, {"PGDATABASE": "no_such_database"}])
def test_a_database_that_cannot_be_reached_exits_with_3(database: Database, folder: Path, changes: dict[str, str]) -> None:
    ended = dbmigration(database, "apply", *staging(folder), changes=changes)
    assert ended.status == 3
    assert "next: " in ended.err


def test_dsn_wins_over_database_url_which_wins_over_pg_variables(database: Database, folder: Path) -> None:
    nowhere = {"PGPORT": "1", "DATABASE_URL": "postgresql://127.0.0.1:1/x"}
    succeeds(database, "status", *staging(folder), "--dsn", database.dsn, changes=nowhere)
    succeeds(database, "status", *staging(folder), changes={"PGPORT": "1", "DATABASE_URL": database.dsn})
    assert dbmigration(database, "status", *staging(folder), changes=nowhere).status == 3


def test_another_run_on_the_database_is_named_and_wait_0_gives_up_at_once(database: Database, folder: Path) -> None:
    with database.connect("dbmigration/the-other-run") as other:
        lock.acquire(other, wait_s=0, on_wait=lambda _: None)
        ended = dbmigration(database, "apply", *staging(folder), "--wait", "0")
    assert ended.status == 3
    assert "the-other-run" in ended.err
    assert tables(database) == ""


def test_rollback_undoes_and_reapply_brings_back(database: Database, folder: Path) -> None:
    succeeds(database, "apply", *staging(folder))
    assert dbmigration(database, "rollback", "001", "--yes", *staging(folder)).status == 1, "002 came after it"
    assert tables(database) == "one two"
    succeeds(database, "rollback", "002", "--yes", *staging(folder))
    assert tables(database) == "one"
    succeeds(database, "rollback", "--to", "000", "--yes", *staging(folder))
    assert tables(database) == ""
    again = dbmigration(database, "rollback", "--to", "000", "--yes", *staging(folder), "--json").report()
    assert (again.executed_sql, [each.state for each in again.migrations[:2]]) == (False, [State.ROLLED_BACK, State.ROLLED_BACK])
    refused = dbmigration(database, "apply", *staging(folder))
    assert refused.status == 1
    assert "--reapply" in refused.err
    succeeds(database, "apply", "--reapply", *staging(folder))
    assert tables(database) == "one two"


def test_rollback_shows_its_plan_and_takes_no_other(database: Database, folder: Path) -> None:
    succeeds(database, "apply", *staging(folder))
    shown = succeeds(database, "rollback", "--last-run", "--dry-run", *staging(folder))
    assert "table two: 0 rows" in shown.out
    plan_hash = shown.out.splitlines()[-1].removeprefix("plan hash: ")
    assert tables(database) == "one two"
    refused = dbmigration(database, "rollback", "--last-run", "--yes", "--plan-hash", "0" * 64, *staging(folder))
    assert (refused.status, tables(database)) == (1, "one two")
    assert plan_hash in refused.err
    report = dbmigration(database, "rollback", "--to", "000", "--yes", "--plan-hash", plan_hash, *staging(folder), "--json").report()
    assert (report.rolled_back_now, report.losses[0][:17], tables(database)) == (("002_two.sql", "001_one.sql"), "table two: 0 rows", "")


def test_verify_runs_the_newest_files_script_again(database: Database, folder: Path) -> None:
    succeeds(database, "apply", *staging(folder))
    succeeds(database, "verify", *staging(folder))
    database.psql("INSERT INTO two VALUES (1)")
    failed = dbmigration(database, "verify", *staging(folder))
    assert failed.status == 1
    assert "VerifyFailed" in failed.err


def test_target_and_out_of_order(database: Database, folder: Path) -> None:
    succeeds(database, "apply", "--target", "001", *staging(folder))
    assert tables(database) == "one"
    (folder / "002_two.sql").rename(folder / "004_four.sql")
    (folder / "verify-002.sql").unlink()
    (folder / "rollback-002.sql").unlink()
    succeeds(database, "apply", *staging(folder))
    (folder / "002_late.sql").write_text("CREATE TABLE late ();\n")
    refused = dbmigration(database, "apply", *staging(folder))
    assert refused.status == 1
    assert "--out-of-order" in refused.err
    succeeds(database, "apply", "--out-of-order", *staging(folder))
    assert tables(database) == "late one two"


def test_history_option_and_dbmigration_toml_name_the_table(database_factory: Callable[[], Database], folder: Path) -> None:
    by_option, by_file = database_factory(), database_factory()
    succeeds(by_option, "apply", *staging(folder), "--history", "ops.done")
    assert by_option.psql("SELECT count(*) FROM ops.done") == "2"
    (folder / "dbmigration.toml").write_text('[history]\nschema = "audit"\ntable = "applied"\n')
    succeeds(by_file, "apply", *staging(folder))
    assert by_file.psql("SELECT count(*) FROM audit.applied") == "2"


def test_new_writes_the_next_numbers_files_which_apply_and_roll_back(database: Database, tmp_path: Path) -> None:
    for name in ("migrations", "seeds"):
        shutil.copytree(PLATFORM.parent / name, tmp_path / name)
    written = dbmigration(database, "new", "add_project_limits", cwd=tmp_path)
    assert written.status == 0
    assert written.out.split() == ["migrations/005_add_project_limits.sql", "migrations/rollback-005.sql"]
    applied = dbmigration(database, "apply", "--environment", "development", cwd=tmp_path)
    assert applied.status == 0, applied.err
    assert database.psql("SELECT max(migration_name) FROM platform.schema_migrations") == "005_add_project_limits.sql"
    succeeds(database, "rollback", "005", "--yes", "-e", "development", cwd=tmp_path)


def test_a_graph_has_the_states_of_the_database_that_is_asked(database: Database, folder: Path, tmp_path: Path) -> None:
    succeeds(database, "apply", *staging(folder), "--target", "001")
    drawn = succeeds(database, "graph", "--states", *staging(folder)).out
    assert re.findall(r'"(\d+) \w+<br/>(\w+)', drawn) == [("001", "Applied"), ("002", "Pending"), ("003", "Skipped")]
    picture = tmp_path / "state.svg"
    succeeds(database, "graph", "--dsn", database.dsn, "--output", str(picture), *staging(folder))
    assert "1 Applied, 1 Pending, 1 Skipped" in picture.read_text()
    assert "<br/>" not in succeeds(database, "graph", "--dir", str(folder)).out.replace("<br/>only in production", "")
    away = dbmigration(database, "graph", "--states", *staging(folder), changes={"PGPORT": "1"})
    assert (away.status, away.out) == (3, "")


def test_nothing_to_do_imports_neither_parser_nor_models_nor_tables(database: Database, folder: Path) -> None:
    succeeds(database, "apply", *staging(folder))
    done = subprocess.run(
        [sys.executable, "-X", "importtime", *COMMAND[1:], "apply", *staging(folder)],
        env=environment_of(database),
        capture_output=True,
        text=True,
        timeout=WITHIN_S,
        check=True,
    )
    imported = {line.rpartition("|")[2].strip().partition(".")[0] for line in done.stderr.splitlines()}
    assert {"psycopg", "argparse"} <= imported
    assert imported.isdisjoint({"postgast", "pydantic", "rich", "kubernetes", "kopf", "structlog"})


def test_run_without_a_request_reports_why(database: Database) -> None:
    ended = dbmigration(database, "run")
    assert ended.status == 1
    report = json.loads(ended.out.splitlines()[-1])["report"]
    assert report["reason"] == "SpecInvalid"
