"""What stands in a run's way is found before it starts: named, and with its way out."""

import os
import threading
from pathlib import Path

import pytest

from dbmigration.api.reasons import Reason
from dbmigration.api.report import Report
from dbmigration.backup import space
from dbmigration.backup.space import check_space
from dbmigration.errors import Transient
from dbmigration.postgres import precheck
from dbmigration.postgres.conninfo import ConnInfo
from dbmigration.postgres.precheck import Concern, Kind, look_before
from dbmigration.postgres.session import connect
from dbmigration.postgres.settings import Settings
from dbmigration.run.engine import Engine
from dbmigration.run.options import BackupTarget, RunOptions
from dbmigration.run.progress import Progress, Step
from dbmigration.run.reporting import build_report
from dbmigration.run.stop import StopRequest
from tests.engine.conftest import Database
from tests.engine.server import SUPERUSER
from tests.engine.support import wait_for, write_files


@pytest.fixture
def any_age(monkeypatch: pytest.MonkeyPatch) -> None:
    """A transaction is long as soon as it has begun."""
    monkeypatch.setattr(precheck, "_LOOK", precheck._LOOK.replace(f">= {precheck.OLD_S}", ">= 0").replace(f"=> {precheck.OLD_S}", "=> 0"))


def found(database: Database, *, user: str = SUPERUSER) -> list[Concern]:
    with database.connect("dbmigration/looks", user=user) as session:
        return list(look_before(session))


def of(kind: Kind, concerns: list[Concern]) -> list[str]:
    return [concern.message for concern in concerns if concern.kind is kind]


def test_a_quiet_database_has_nothing_to_warn_of(database: Database) -> None:
    assert found(database) == []
    assert found(database, user="platform_owner") == []


@pytest.mark.usefixtures("any_age")
def test_a_long_transaction_with_a_lock_or_a_snapshot_is_named(database: Database) -> None:
    database.psql("CREATE TABLE t (id int); GRANT ALL ON t TO platform_owner")
    with database.connect("reporting") as reader, database.connect("idle") as idle:
        reader.query("BEGIN ISOLATION LEVEL REPEATABLE READ")
        reader.query("SELECT count(*) FROM t WHERE 'customer secret' <> ''")
        idle.query("BEGIN")
        (message,) = of(Kind.LONG_TRANSACTION, found(database))
        for part in (f"process {reader.pid}", "platform_owner", "reporting", "idle in transaction", f"pg_terminate_backend({reader.pid})"):
            assert part in message
        assert "customer secret" not in message
        reader.query("COMMIT")
        assert of(Kind.LONG_TRANSACTION, found(database)) == []


def test_a_young_transaction_is_nothing_to_warn_of(database: Database) -> None:
    with database.connect("quick") as session:
        session.query("BEGIN")
        session.query("LOCK pg_class IN ACCESS SHARE MODE")
        session.query("CREATE TABLE t (id int)")
        assert found(database) == []


def test_somebody_elses_pg_dump_is_named_however_young(database: Database) -> None:
    database.psql("CREATE TABLE t (id int)")
    with database.connect("pg_dump", user=SUPERUSER) as dump:
        dump.query("BEGIN")
        dump.query("LOCK t IN ACCESS SHARE MODE")
        concerns = found(database)
        assert [concern.kind for concern in concerns] == [Kind.FOREIGN_DUMP]
        assert f"process {dump.pid}" in concerns[0].message
        assert of(Kind.FOREIGN_DUMP, found(database, user="platform_owner"))


@pytest.mark.usefixtures("any_age")
def test_a_forgotten_prepared_transaction_is_named(database: Database) -> None:
    gid = f"{database.name}-forgotten"
    database.psql(f"BEGIN; CREATE TABLE t (id int); PREPARE TRANSACTION '{gid}'")
    try:
        (message,) = of(Kind.PREPARED_TRANSACTION, found(database))
        assert gid in message
        assert SUPERUSER in message
    finally:
        database.psql(f"ROLLBACK PREPARED '{gid}'")


def test_locks_of_sessions_that_the_role_may_not_look_into_are_said_to_be_hidden(database: Database) -> None:
    database.psql("CREATE TABLE t (id int)")
    with database.connect("other", user=SUPERUSER) as other:
        other.query("BEGIN")
        other.query("LOCK t IN ACCESS SHARE MODE")
        assert found(database) == []
        (message,) = of(Kind.HIDDEN_SESSIONS, found(database, user="platform_owner"))
        assert "GRANT pg_read_all_stats TO platform_owner" in message
        assert message.startswith("1 session of")


def test_invalid_indexes_are_named_and_partitioned_ones_are_not(database: Database) -> None:
    database.psql('CREATE TABLE t (id int); INSERT INTO t VALUES (1), (1); CREATE SCHEMA "odd name"')
    for number in range(7):
        database.psql(f'CREATE TABLE "odd name".t{number} (id int); INSERT INTO "odd name".t{number} VALUES (1), (1)')
        with pytest.raises(AssertionError):
            database.psql(f'CREATE UNIQUE INDEX CONCURRENTLY broken_{number} ON "odd name".t{number} (id)')
    database.psql("CREATE TABLE p (id int) PARTITION BY LIST (id); CREATE INDEX only_p ON ONLY p (id)")
    concerns = found(database)
    assert [concern.kind for concern in concerns] == [Kind.INVALID_INDEX]
    assert '"odd name".broken_0' in concerns[0].message
    assert "and 2 more" in concerns[0].message
    assert "only_p" not in concerns[0].message


def test_an_index_that_is_being_built_is_not_called_invalid(database: Database) -> None:
    database.psql("CREATE TABLE t (id int); ALTER TABLE t OWNER TO platform_owner")
    with database.connect("writer") as writer, database.connect("builder") as builder:
        writer.query("BEGIN")
        writer.query("INSERT INTO t VALUES (1)")
        builder.query("SET lock_timeout = 0")
        build = threading.Thread(target=lambda: builder.query("CREATE INDEX CONCURRENTLY slow ON t (id)"))
        build.start()
        wait_for(database, "EXISTS (SELECT FROM pg_index WHERE indexrelid = to_regclass('slow') AND NOT indisvalid)", "it is being built")
        assert of(Kind.INVALID_INDEX, found(database)) == []
        writer.query("COMMIT")
        build.join()


def test_too_few_connections_left_for_backup_and_monitor_are_said(database: Database) -> None:
    for limit, unlimited in (("DATABASE {0} CONNECTION LIMIT 3", "DATABASE {0} CONNECTION LIMIT -1"),
                             ("ROLE platform_owner CONNECTION LIMIT 2", "ROLE platform_owner CONNECTION LIMIT -1")):  # fmt: skip
        database.psql(f"ALTER {limit.format(database.name)}")
        try:
            concerns = found(database, user="platform_owner")
            assert [concern.kind for concern in concerns] == [Kind.CONNECTION_SLOTS]
            assert concerns[0].message.startswith(("1 more connection can", "2 more connections can"))
            assert found(database) == []  # a superuser's are not limited
        finally:
            database.psql(f"ALTER {unlimited.format(database.name)}")


@pytest.mark.parametrize(("setting", "what"), [("vacuum_failsafe_age", "transactions"), ("vacuum_multixact_failsafe_age", "multixacts")])
def test_a_database_that_is_far_behind_in_being_frozen_is_named(database: Database, setting: str, what: str) -> None:
    """The server's own threshold, set to nothing for this session."""
    parameters = dict(database.conninfo(SUPERUSER).parameters) | {"options": f"-c {setting}=0"}
    with connect(ConnInfo(parameters), application_name="dbmigration/looks", settings=Settings()) as session:
        messages = of(Kind.WRAPAROUND, list(look_before(session)))
    assert any(f"database {database.name} is " in message and what in message for message in messages)


@pytest.mark.usefixtures("any_age")
def test_of_many_long_transactions_the_oldest_five_are_named_and_the_rest_counted(database: Database) -> None:
    database.psql("CREATE TABLE t (id int); GRANT ALL ON t TO platform_owner")
    sessions = [database.connect(f"reader-{number}") for number in range(7)]
    try:
        for session in sessions:
            session.query("BEGIN")
            session.query("SELECT count(*) FROM t")
        messages = of(Kind.LONG_TRANSACTION, found(database))
        assert [f"reader-{number}" in message for number, message in enumerate(messages[:5])] == [True] * 5
        assert messages[5:] == ["and 2 more of these: long transaction"]
    finally:
        for session in sessions:
            session.close()


def free(directory: Path) -> int:
    found = os.statvfs(directory)
    return found.f_bavail * found.f_frsize


def test_a_backup_that_cannot_fit_is_refused_and_one_that_may_not_is_a_warning(tmp_path: Path) -> None:
    room = free(tmp_path)
    with pytest.raises(Transient) as caught:
        check_space(tmp_path / "made later", "a/b", database="studio", database_bytes=room * 20)
    assert (caught.value.reason, caught.value.after_sql) == (Reason.BACKUP_SPACE_LOW, False)
    assert check_space(tmp_path, "", database="studio", database_bytes=room * 5)
    assert check_space(tmp_path, "", database="studio", database_bytes=room // 2) is None
    assert list(tmp_path.iterdir()) == []


def test_the_newest_backup_of_the_same_database_is_the_better_measure(tmp_path: Path) -> None:
    room = free(tmp_path)

    def record(database: str, at: str, size: int) -> None:
        (tmp_path / f"{database}-{at}-run.json").write_text(
            f'{{"uri": "file:///x", "bytes": {size}, "sha256": "0", "serverVersion": "15.1", "dumpVersion": "15.1",'
            f' "database": "{database}",'
            ' "startedAt": "2026-01-01T00:00:00Z", "completedAt": "2026-01-01T00:00:00Z", "verified": true}'
        )

    record("studio", "20260101T000000Z", room * 2)
    record("studio", "20260102T000000Z", 1000)
    record("studio-2", "20260103T000000Z", room * 2)
    (tmp_path / "studio-20260104T000000Z-run.json").write_text("{")
    assert check_space(tmp_path, "", database="studio", database_bytes=room * 20) is None
    record("studio", "20260105T000000Z", room * 2)
    with pytest.raises(Transient) as caught:
        check_space(tmp_path, "", database="studio", database_bytes=room * 20)
    assert caught.value.reason is Reason.BACKUP_SPACE_LOW
    assert check_space(tmp_path, "", database="studio", database_bytes=1000) is None


def engine(database: Database, directory: Path, told: list[Progress], *, backup: Path | None = None) -> Engine:
    options = RunOptions(directory, "run-1", environment="production", backup=BackupTarget(backup) if backup else None)
    return Engine(options, database.conninfo(SUPERUSER), told.append, StopRequest())


def test_a_run_says_what_it_found_before_its_backup_and_reports_it(database: Database, tmp_path: Path) -> None:
    write_files(tmp_path / "m", {"001_a.sql": "CREATE TABLE a (id int);\n"})
    told: list[Progress] = []
    with database.connect("pg_dump", user=SUPERUSER) as dump:
        dump.query("BEGIN")
        dump.query("SELECT count(*) FROM pg_class")
        result = engine(database, tmp_path / "m", told, backup=tmp_path / "backups").run()
        assert result.error is None
        found = [index for index, progress in enumerate(told) if f"process {dump.pid}" in progress.message]
        assert [told[index].step for index in found] == [Step.CHECK]
        assert found[0] < next(index for index, progress in enumerate(told) if progress.step is Step.BACKUP)
        assert told[found[0]].finished
        report = build_report(result, environment=None)
        assert [f"process {dump.pid}" in warning for warning in report.warnings] == [True]
        assert Report.model_validate_json(report.to_json()).warnings == report.warnings


def test_a_run_with_nothing_to_do_looks_for_nothing(database: Database, tmp_path: Path) -> None:
    write_files(tmp_path / "m", {"001_a.sql": "CREATE TABLE a (id int);\n"})
    assert engine(database, tmp_path / "m", []).run().error is None
    assert database.server.log.read_text(errors="replace").count("datfrozenxid") > 0
    before = database.server.log.read_text(errors="replace").count("datfrozenxid")
    assert engine(database, tmp_path / "m", []).run().error is None
    assert database.server.log.read_text(errors="replace").count("datfrozenxid") == before


def test_a_run_whose_backup_cannot_fit_ends_before_the_dump(database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(space, "_BEST_RATIO", 1e-9)
    write_files(tmp_path / "m", {"001_a.sql": "CREATE TABLE a (id int);\n"})
    backups = tmp_path / "backups"
    backups.mkdir()
    result = engine(database, tmp_path / "m", [], backup=backups).run()
    assert result.error is not None
    assert (result.error.reason, result.executed_sql, result.backup_reason) == (Reason.BACKUP_SPACE_LOW, False, Reason.BACKUP_FAILED)
    assert list(backups.iterdir()) == []
    assert database.psql("SELECT to_regclass('a') IS NULL") == "t"


def test_what_cannot_be_looked_for_is_a_warning_and_stops_nothing(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(precheck, "_LOOK", "SELECT no_such_column")
    write_files(tmp_path / "m", {"001_a.sql": "CREATE TABLE a (id int);\n"})
    result = engine(database, tmp_path / "m", []).run()
    assert result.error is None
    assert len(result.warnings) == 1
    assert [done.name for done in result.applied] == ["001_a.sql"]
