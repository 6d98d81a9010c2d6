"""Which backups stay."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from dbmigration.backup.record import Backup, record_path
from dbmigration.backup.retention import Retention, find_backups, outdated, remove
from dbmigration.cli.main import main

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)


def stored(folder: Path, days_old: float, *, database: str = "studio", verified: bool = True, damage: str = "") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    at = NOW - timedelta(days=days_old)
    dump = folder / f"{database}-{at:%Y%m%dT%H%M%SZ}.dump"
    dump.write_bytes(b"x" * 100)
    record = Backup(
        uri=dump.as_uri(), bytes=100, sha256="0" * 64, server_version="15.1", dump_version="15.1", database=database, snapshot_lsn=None,
        started_at=at, completed_at=at, verified=verified,
    )  # fmt: skip
    record_path(dump).write_text(record.to_json())
    if damage == "gone":
        dump.unlink()
    elif damage == "cut":
        dump.write_bytes(b"x")
    return dump


def let_go(folder: Path, keep_last: int | None = None, keep_days: int | None = None) -> list[Path]:
    return [each.dump for each in outdated(find_backups(folder), Retention(keep_last, keep_days), NOW)]


def test_what_either_keeps_stays(tmp_path: Path) -> None:
    dumps = [stored(tmp_path, days) for days in (0.5, 3, 10, 40)]
    assert let_go(tmp_path, keep_last=3) == dumps[3:]
    assert let_go(tmp_path, keep_days=5) == dumps[2:]
    assert let_go(tmp_path, keep_last=1, keep_days=20) == dumps[3:]
    assert let_go(tmp_path) == []


def test_the_newest_stays_however_old_it_is(tmp_path: Path) -> None:
    """retention-eats-last-good"""
    dump = stored(tmp_path, 400)
    assert let_go(tmp_path, keep_days=1) == []
    assert dump.is_file()


@pytest.mark.parametrize(("damage", "verified"), [("cut", True), ("", False)])
def test_a_bad_backup_takes_no_good_ones_place(tmp_path: Path, damage: str, verified: bool) -> None:
    stored(tmp_path, 1, damage=damage, verified=verified)
    good = [stored(tmp_path, days) for days in (2, 3)]
    assert let_go(tmp_path, keep_last=1) == good[1:]


def test_a_record_without_its_dump_goes(tmp_path: Path) -> None:
    gone = stored(tmp_path, 1, damage="gone")
    kept = stored(tmp_path, 2)
    assert let_go(tmp_path, keep_last=1) == [gone]
    remove([each for each in find_backups(tmp_path) if each.dump == gone])
    assert sorted(tmp_path.iterdir()) == sorted([kept, record_path(kept)])


def test_a_dump_that_is_a_folder_counts_like_a_file_and_goes_as_a_whole(tmp_path: Path) -> None:
    dumps = [stored(tmp_path, days) for days in (1, 2, 3)]
    for dump in dumps:
        dump.unlink()
        dump.mkdir()
        (dump / "toc.dat").write_bytes(b"x" * 40)
        (dump / "1.dat").write_bytes(b"x" * 60)
        (dump / "SHA256SUMS").write_text("of no weight")
    assert let_go(tmp_path, keep_last=1) == dumps[1:]
    (dumps[1] / "1.dat").unlink()
    found = {each.dump: each for each in find_backups(tmp_path)}
    assert found[dumps[1]].state == "damaged: 40 bytes"
    assert let_go(tmp_path, keep_last=1) == dumps[2:]
    remove([found[dumps[2]]])
    assert sorted(tmp_path.iterdir()) == sorted([*dumps[:2], *(record_path(dump) for dump in dumps[:2])])


def test_databases_and_folders_are_counted_apart(tmp_path: Path) -> None:
    for folder, database in (("a", "studio"), ("a", "shop"), ("b", "studio")):
        stored(tmp_path / folder, 5, database=database)
    assert let_go(tmp_path, keep_last=1, keep_days=1) == []


def test_other_files_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "package.json").write_text("{}")
    (tmp_path / "notes.json").write_text("no JSON")
    stored(tmp_path, 1)
    assert len(find_backups(tmp_path)) == 1


def run(*words: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["backups", *words])
    return int(ended.value.code or 0)


def test_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dumps = [stored(tmp_path / "studio", days) for days in (1, 2, 3)]
    assert run(str(tmp_path)) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["TAKEN", "(UTC)", "DATABASE", "MB", "STATE", "FILE"]
    assert [line.split()[-1] for line in lines[1:4]] == [str(dump.relative_to(tmp_path)) for dump in dumps]
    assert lines[-1] == "3 backups, 0.0 MB."
    assert run(str(tmp_path), "--keep-last", "2") == 0
    assert "outdated" in capsys.readouterr().out
    assert all(dump.is_file() for dump in dumps)
    assert run(str(tmp_path), "--keep-last", "2", "--prune", "--json") == 0
    report = json.loads(capsys.readouterr().out)
    assert [each["removed"] for each in report] == [False, False, True]
    assert [dump.is_file() for dump in dumps] == [True, True, False]
    assert not record_path(dumps[2]).exists()


@pytest.mark.parametrize("words", [("--prune",), ("--keep-last", "0"), ("--keep-days", "-1", "--prune")])
def test_bad_words(tmp_path: Path, words: tuple[str, ...]) -> None:
    assert run(str(tmp_path), *words) == 2
    assert run(str(tmp_path / "absent")) == 2
