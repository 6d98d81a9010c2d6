"""A database that somebody else protects: nothing is dumped, it is said who that is and to where one would have to go back."""

from datetime import date
from pathlib import Path

import psycopg
import pytest

from dbmigration.api.reasons import Reason
from dbmigration.errors import Transient
from dbmigration.postgres.recovery_point import RecoveryPoint, read_recovery_point
from dbmigration.run.engine import Engine
from dbmigration.run.options import ExternalBackup, RunOptions
from dbmigration.run.reporting import build_report
from dbmigration.run.result import RunResult
from dbmigration.run.stop import StopRequest
from tests.engine.command_line import dbmigration, succeeds
from tests.engine.conftest import Database
from tests.engine.server import OWNER, running_server, wait_until
from tests.engine.support import write_files

FIRST = {"001_first.sql": "CREATE TABLE first (id int);", "rollback-001.sql": "DROP TABLE first;"}
EXTERNAL = ExternalBackup("pgBackRest, stanza studio", "5m", date(2026, 11, 1), "wiki/restore")


def apply(database: Database, folder: Path) -> RunResult:
    write_files(folder, FIRST)
    options = RunOptions(directory=folder, run_id="external", environment="production", external=EXTERNAL)
    return Engine(options, database.conninfo(), lambda _: None, StopRequest()).run()


def test_what_protects_the_database_is_declared_with_the_place_before_the_change(database: Database, tmp_path: Path) -> None:
    before = database.psql("SELECT pg_current_wal_lsn()")
    report = build_report(apply(database, tmp_path / "migrations"), environment="production")
    after = database.psql("SELECT pg_current_wal_lsn()")
    assert (report.reason, report.backup, report.backup_reason) == (Reason.UP_TO_DATE, None, Reason.BACKUP_DECLARED)
    declared = report.declared_backup
    assert declared is not None
    assert (declared.provider, declared.recovery_point, declared.restore_guide) == ("pgBackRest, stanza studio", "5m", "wiki/restore")
    assert declared.restore_tested_on == date(2026, 11, 1)
    assert declared.lsn is not None
    assert database.psql(f"SELECT '{declared.lsn}'::pg_lsn >= '{before}' AND '{declared.lsn}'::pg_lsn < '{after}'") == "t"
    assert report.warnings == ()


def test_a_server_that_fails_to_archive_its_log_is_warned_of(tmp_path: Path) -> None:
    with running_server(settings={"archive_mode": "on", "archive_command": "false"}) as server:
        server.psql(f"CREATE DATABASE studio OWNER {OWNER}")
        database = Database(server, "studio")
        with psycopg.connect(database.dsn, autocommit=True) as connection:
            connection.execute("CREATE TABLE note (id int)")
        database.psql("SELECT pg_switch_wal()")
        wait_until(lambda: database.psql("SELECT failed_count > 0 FROM pg_stat_archiver") == "t", "a failed attempt", 120)
        result = apply(database, tmp_path / "migrations")
    assert (result.error, result.backup_reason) == (None, Reason.BACKUP_DECLARED)
    assert any("could not archive" in warning for warning in result.warnings)


def test_the_command_line_takes_the_words_and_says_that_nothing_was_proved(database: Database, tmp_path: Path) -> None:
    write_files(tmp_path / "migrations", FIRST)
    words = ("--dir", str(tmp_path / "migrations"), "--environment", "production", "--external-backup", "nightly snapshots")
    assert dbmigration(database, "apply", *words, "--no-backup").status == 2
    assert dbmigration(database, "apply", *words[:-1], " ").status == 2
    report = succeeds(database, "apply", *words, "--json").report()
    assert report.declared_backup is not None
    assert report.declared_backup.provider == "nightly snapshots"
    assert report.backup_reason is Reason.BACKUP_DECLARED
    rolled_back = succeeds(database, "rollback", "001", "--yes", *words)
    assert "declared, not proved: nightly snapshots" in rolled_back.out


def test_a_server_that_does_not_tell_where_it_is_holds_nothing_up_and_one_that_is_gone_is_said(database: Database) -> None:
    database.psql("REVOKE EXECUTE ON FUNCTION pg_current_wal_lsn() FROM PUBLIC")
    with database.connect() as session:
        assert read_recovery_point(session) == RecoveryPoint()
        assert session.query("SELECT 1") == [(1,)]
        database.psql(f"SELECT pg_terminate_backend({session.pid}, 5000)")
        with pytest.raises(Transient) as caught:
            read_recovery_point(session)
    assert caught.value.reason is Reason.CONNECTION_LOST
