"""What the command line makes of words, errors and results, without a database."""

import io
import re
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from dbmigration.api.reasons import Reason
from dbmigration.api.states import State
from dbmigration.cli.exits import Exit, exit_of
from dbmigration.cli.failure import failure_lines, wants_colour
from dbmigration.cli.live import Lines, Silent, display
from dbmigration.cli.options import Asked, read_backup, read_duration_ms, read_history
from dbmigration.cli.tables import Row, print_rows, rows_of, show_ms, table_lines
from dbmigration.cli.words import BadParameter
from dbmigration.cli.write import Confirmation
from dbmigration.errors import DbmigrationError, Permanent, Place, Transient, Usage
from dbmigration.migrations.model import Header, HistoryTable, MigrationFile, Plan, PlannedMigration
from dbmigration.run.losses import Loss
from dbmigration.run.options import BackupTarget
from dbmigration.run.progress import Progress, Step
from dbmigration.run.result import Done, RunResult
from dbmigration.run.rollback import RollbackPlan, story_of

AT = datetime(2026, 2, 3, 4, 5, 6, tzinfo=UTC)


def file(version: str, name: str) -> MigrationFile:
    return MigrationFile(int(version), version, f"{version}_{name}.sql", Path(f"{version}_{name}.sql"), "c", 1, Header())


ONE, TWO, THREE = file("001", "one"), file("002", "two"), file("003", "three")
BACK = RollbackPlan((TWO, ONE), "000", "the-hash", (Loss("rollback-002.sql", 1, "table two: 3 rows"),))
PENDING = Plan(tuple(PlannedMigration(each.name, each.version, State.PENDING, each) for each in (ONE, TWO, THREE)), None, "hash")


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (None, Exit.OK),
        (Permanent(Reason.SQL_FAILED, "x"), Exit.FAILED),
        (Permanent(Reason.CHECKSUM_MISMATCH, "x"), Exit.FAILED),
        (Usage(Reason.SPEC_INVALID, "x"), Exit.USAGE),
        (Permanent(Reason.ENVIRONMENT_REQUIRED, "x", place=Place("004_x.sql", 7)), Exit.USAGE),
        (Permanent(Reason.UNKNOWN_ENVIRONMENT, "x"), Exit.USAGE),
        (Permanent(Reason.UNKNOWN_ENVIRONMENT, "x", place=Place("004_x.sql", 7)), Exit.FAILED),
        (Transient(Reason.SOURCE_MISSING, "x"), Exit.USAGE),
        (Transient(Reason.DATABASE_UNAVAILABLE, "x"), Exit.TRY_AGAIN),
        (Transient(Reason.LOCK_HELD, "x"), Exit.TRY_AGAIN),
        (Transient(Reason.BACKUP_FAILED, "x"), Exit.TRY_AGAIN),
        (Permanent(Reason.BACKUP_FAILED, "x"), Exit.FAILED),
    ],
)
def test_exit_status_says_who_has_to_act(error: DbmigrationError | None, status: Exit) -> None:
    assert exit_of(error) == status


def test_a_run_that_a_signal_ended_exits_as_shells_expect() -> None:
    assert exit_of(Transient(Reason.INTERRUPTED, "x"), 15) == 143
    assert exit_of(Transient(Reason.INTERRUPTED, "x"), 2) == 130
    assert exit_of(Permanent(Reason.SQL_FAILED, "x"), 2) == Exit.FAILED


@pytest.mark.parametrize(
    ("text", "milliseconds"),
    [("0", 0), ("500ms", 500), ("2s", 2000), ("1.5s", 1500), ("5m", 300_000), ("5min", 300_000), ("1h", 3_600_000)],
)
def test_times_have_units(text: str, milliseconds: int) -> None:
    assert read_duration_ms(text, "--wait") == milliseconds


@pytest.mark.parametrize("text", ["", "2", "-1s", "s", "2 days", "1e3s", "٣s"])
def test_a_time_without_a_known_unit_is_refused(text: str) -> None:
    with pytest.raises(BadParameter):
        read_duration_ms(text, "--wait")


def test_history_is_schema_and_table() -> None:
    assert read_history("platform.schema_migrations") == HistoryTable("platform", "schema_migrations")
    assert read_history(None) is None
    for text in ("schema_migrations", ".x", "x.", "a.b.c", ""):
        with pytest.raises(BadParameter):
            read_history(text)


def test_production_goes_on_only_with_a_backup_or_an_explicit_no() -> None:
    with pytest.raises(BadParameter):
        read_backup("production", None, no_backup=False)
    assert read_backup("production", None, no_backup=True) is None
    assert read_backup("production", "b", no_backup=False) == BackupTarget(Path("b"))
    assert read_backup("staging", None, no_backup=False) is None
    with pytest.raises(BadParameter):
        read_backup("staging", "b", no_backup=True)


def test_what_was_asked_never_shows_the_connection_string() -> None:
    asked = Asked("postgresql://u:s3cr3t@h/d", Path("m"), None, None, as_json=False, show_values=False)
    assert "s3cr3t" not in f"{asked!r} {asked}"


def failed_midway(tmp_path: Path) -> tuple[RunResult, list[str]]:
    (tmp_path / TWO.name).write_text("nonsense")
    error = Permanent(
        Reason.SQL_FAILED, "no such column", place=Place(TWO.name, 12, "42703", "UPDATE t SET c = '***'"), values="DETAIL: (secret)"
    )
    result = RunResult("r", AT, error=error, plan=PENDING, executed_sql=True, working_on=TWO.name)
    result.applied.append(Done(ONE.name, AT, 5, 1, 1, transactional=True, verified=False))
    return result, list(failure_lines(error, result=result, directory=tmp_path))


def test_bad_sql_in_second_of_three_is_told_with_place_state_statement_and_standing(tmp_path: Path) -> None:
    _, lines = failed_midway(tmp_path)
    assert lines[0] == f"{tmp_path / TWO.name}:12: error: SqlFailed (SQLSTATE 42703): no such column"
    assert "statement: UPDATE t SET c = '***'" in lines
    assert f"applied in this run: {ONE.name}" in lines
    assert f"not applied: {TWO.name}, {THREE.name}" in lines
    assert any(line.startswith("next: ") for line in lines)


def test_values_in_errors_are_shown_only_when_asked_for(tmp_path: Path) -> None:
    result, lines = failed_midway(tmp_path)
    assert not any("secret" in line for line in lines)
    assert any("--show-values" in line for line in lines)
    assert result.error is not None
    assert "| DETAIL: (secret)" in list(failure_lines(result.error, result=result, show_values=True))


def test_a_pipe_gets_one_aligned_line_a_migration_with_the_note_last(capsys: pytest.CaptureFixture[str]) -> None:
    print_rows(
        rows_of(
            [
                PlannedMigration(ONE.name, "001", State.APPLIED, ONE, AT, 61_000),
                PlannedMigration("002_a_longer_name.sql", "002", State.PENDING, TWO, note="a note of words"),
            ],
            {"002_a_longer_name.sql": "3 statements"},
        )
    )
    assert capsys.readouterr().out == (
        "001  001_one.sql            Applied  2026-02-03T04:05:06Z  1m01s  -\n"
        "002  002_a_longer_name.sql  Pending  -                     -      a note of words; 3 statements\n"
    )


LINES = (
    Row("001", "001_create_platform_schema.sql", State.APPLIED, "2026-02-03T04:05:06Z", "27ms", ""),
    Row("002", "002_x.sql", State.SKIPPED, "", "", "only in production"),
    Row("003", "003_x.sql", State.PENDING, "", "", "2 statements, no transaction: line 2: CREATE INDEX CONCURRENTLY cannot run in one"),
)


def test_a_wide_terminal_gets_a_line_for_each_migration() -> None:
    assert list(table_lines(LINES, 140, colour=False, signs=True)) == [
        "✓ 001_create_platform_schema.sql  Applied  2026-02-03 04:05 UTC, 27ms",
        "- 002_x.sql                       Skipped  only in production",
        "• 003_x.sql                       Pending  2 statements, no transaction: line 2: CREATE INDEX CONCURRENTLY cannot run in one",
    ]


def test_where_a_detail_does_not_fit_it_is_wrapped_in_its_column() -> None:
    assert list(table_lines(LINES[2:], 60, colour=False, signs=False)) == [
        "003_x.sql  Pending  2 statements, no transaction: line 2:",
        "                    CREATE INDEX CONCURRENTLY cannot run in",
        "                    one",
    ]


def test_a_narrow_terminal_gets_details_on_lines_of_their_own() -> None:
    assert list(table_lines(LINES[:2], 50, colour=False, signs=True)) == [
        "✓ 001_create_platform_schema.sql  Applied",
        "    2026-02-03 04:05 UTC, 27ms",
        "- 002_x.sql                       Skipped",
        "    only in production",
    ]


@pytest.mark.parametrize("columns", range(50, 200, 7))
def test_no_line_is_wider_than_the_terminal(columns: int) -> None:
    assert max(map(len, table_lines(LINES, columns, colour=False, signs=True))) <= columns


def test_colour_changes_no_character() -> None:
    painted = "\n".join(table_lines(LINES, 100, colour=True, signs=True))
    assert re.sub(r"\x1b\[\d+m", "", painted) == "\n".join(table_lines(LINES, 100, colour=False, signs=True))
    assert "\x1b[32mApplied" in painted


def applied(number: int, note: str = "") -> Row:
    return Row(f"{number:03}", f"{number:03}_x.sql", State.APPLIED, "2026-02-03T04:05:06Z", "27ms", note)


def test_of_a_long_past_the_newest_rows_are_shown() -> None:
    lines = list(table_lines([*(applied(number) for number in range(1, 41)), *LINES[2:]], 140, colour=False, signs=False))
    assert lines[0] == "… 35 applied before these, 001 to 035 (a pipe gets all)"
    assert [line[:3] for line in lines[1:]] == ["036", "037", "038", "039", "040", "003"]


def test_a_row_with_something_to_say_is_never_hidden() -> None:
    rows = [applied(number, "applied, but not in the folder" if number == 3 else "") for number in range(1, 41)]
    assert len(list(table_lines(rows, 140, colour=False, signs=False))) == 40


@pytest.mark.parametrize(
    ("milliseconds", "shown"), [(0, "0ms"), (999, "999ms"), (1000, "1.0s"), (59_949, "59.9s"), (60_000, "1m00s"), (3_599_600, "60m00s")]
)
def test_durations_are_short(milliseconds: int, shown: str) -> None:
    assert show_ms(milliseconds) == shown


def test_a_pipe_hears_of_finished_work_and_of_waiting_only(capsys: pytest.CaptureFixture[str]) -> None:
    show = display(silent=False)
    assert isinstance(show, Lines)
    with show:
        show(Progress(Step.CONNECT, "connecting"))
        show(Progress(Step.LOCK, "waiting for pid 7"))
        show(Progress(Step.PLAN, "nothing is pending", finished=True))
        show(Progress(Step.APPLY, "applying", file=ONE.name, done=0, total=1))
        show(Progress(Step.APPLY, "applied", file=ONE.name, done=1, total=1, finished=True))
    assert capsys.readouterr().out == "waiting for pid 7\napplied\n"
    assert type(display(silent=True)) is Silent


def test_to_which_database_is_said_once_until_it_is_another(capsys: pytest.CaptureFixture[str]) -> None:
    show = display(silent=False)
    for message in ("connected to a", "connected to a", "connected to b", "connected to a"):
        show(Progress(Step.CONNECT, message, finished=True))
        show(Progress(Step.REHEARSE, "done", finished=True))
    assert capsys.readouterr().out == "connected to a\ndone\ndone\nconnected to b\ndone\nconnected to a\ndone\n"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_colours_are_for_terminals_that_want_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    assert wants_colour(Terminal())
    assert not wants_colour(io.StringIO())
    monkeypatch.setenv("NO_COLOR", "1")
    assert not wants_colour(Terminal())


@pytest.mark.parametrize(("answer", "agreed"), [("y\n", True), ("YES\n", True), ("n\n", False), ("\n", False), ("", False)])
def test_a_rollback_takes_only_yes_for_yes(answer: str, agreed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(answer))
    confirmation = Confirmation(ask=True, expected=None)
    assert confirmation(BACK) is agreed
    assert confirmation.declined is not agreed


def test_nobody_is_asked_with_yes_or_about_another_plan_than_the_expected_one(monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody(_: str) -> str:
        raise AssertionError("asked")

    monkeypatch.setattr("builtins.input", nobody)
    assert Confirmation(ask=False, expected=BACK.hash)(BACK)
    with pytest.raises(Permanent) as refused:
        Confirmation(ask=True, expected="another")(BACK)
    assert refused.value.reason is Reason.PLAN_CHANGED


def test_the_story_of_a_rollback_has_files_in_order_what_is_lost_and_the_hash() -> None:
    story = story_of(BACK)
    positions = [story.index(text) for text in ("down to 000", TWO.name, ONE.name, "table two: 3 rows (rollback-002.sql:1)", "the-hash")]
    assert positions == sorted(positions)


def test_a_place_without_a_file_in_the_folder_keeps_its_own_name(tmp_path: Path) -> None:
    error = Permanent(Reason.MISSING_FILES, "gone", place=Place("009_gone.sql"))
    assert next(failure_lines(error, directory=tmp_path)) == "009_gone.sql: error: MissingFiles: gone"
