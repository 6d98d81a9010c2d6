"""Backups at the command line: asked for, taken, failed, checked."""

import json
import os
from pathlib import Path

import pytest

from tests.engine.command_line import dbmigration, staging, succeeds, tables, three_migrations
from tests.engine.conftest import Database


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return three_migrations(tmp_path)


@pytest.mark.parametrize("command", [["apply"], ["rollback", "--to", "000", "--yes"]])
def test_production_without_a_word_about_backup_is_refused_before_connecting(database: Database, folder: Path, command: list[str]) -> None:
    nowhere = {"PGPORT": "1"}
    ended = dbmigration(database, *command, "--dir", str(folder), "--environment", "production", changes=nowhere)
    assert ended.status == 2
    assert "--no-backup" in ended.err


def test_backup_dir_gets_a_proven_dump_before_the_first_file(database: Database, folder: Path, tmp_path: Path) -> None:
    words = ["--dir", str(folder), "--environment", "production", "--backup-dir", str(tmp_path / "b")]
    report = dbmigration(database, "apply", *words, "--json").report()
    (dump,) = (tmp_path / "b").glob("*.dump")
    assert report.backup is not None
    assert (report.backup.uri, report.backup.verified) == (dump.as_uri(), True)
    succeeds(database, "backup", "--check", str(dump))
    succeeds(database, "apply", *words)
    assert len(list((tmp_path / "b").glob("*.dump"))) == 1, "nothing to do: no backup"


def test_a_backup_that_fails_keeps_every_migration_from_running(database: Database, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "in-the-way").write_text("a file")
    ended = dbmigration(database, "apply", *staging(folder), "--backup-dir", str(tmp_path / "in-the-way"))
    assert ended.status == 3
    assert "BackupFailed" in ended.err
    assert str(tmp_path / "in-the-way") in ended.err
    assert tables(database) == ""


def test_backup_takes_a_dump_and_check_catches_a_truncated_one(database: Database, tmp_path: Path) -> None:
    succeeds(database, "backup", "--backup-dir", str(tmp_path))
    (dump,) = tmp_path.glob("*.dump")
    whole = dbmigration(database, "backup", "--check", str(dump), "--json")
    assert (whole.status, json.loads(whole.out)["bytes"]) == (0, dump.stat().st_size)
    os.truncate(dump, dump.stat().st_size // 2)
    cut = dbmigration(database, "backup", "--check", str(dump))
    assert cut.status == 1
    assert cut.err.startswith(str(dump))
