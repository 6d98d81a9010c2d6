"""Backups in a bucket, on a real S3 server: what is proved, and what every kind of failure leaves behind (nothing)."""

import hashlib
import json
import os
import resource
import shutil
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from dbmigration.api.reasons import Reason
from dbmigration.backup.record import Backup
from dbmigration.backup.s3 import Bucket
from dbmigration.backup.to_s3 import fetch, take_backup_to_s3
from dbmigration.errors import Transient
from tests.engine.command_line import Ended, dbmigration, succeeds
from tests.engine.conftest import Database
from tests.engine.dumps import server_of
from tests.engine.s3 import ACCESS_KEY, BUCKET, SECRET_KEY, Proxy, S3Server, running_s3
from tests.engine.support import PLATFORM

MEGABYTES = 60


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with running_s3(tmp_path_factory.mktemp("s3")) as server:
        yield server


@pytest.fixture
def s3(shared: S3Server) -> Iterator[S3Server]:
    """With nothing in it, and nothing half done left."""
    yield shared
    assert shared.parts() == []
    for name in shared.objects():
        (shared.root / BUCKET / name).unlink()


@pytest.fixture
def filled(database: Database) -> Database:
    """A dump of several parts, that does not compress away."""
    with psycopg.connect(database.dsn, autocommit=True) as connection:
        connection.execute("CREATE TABLE note (id int, body bytea)")
        random = "decode(string_agg(md5(random()::text), ''), 'hex')"
        connection.execute(
            f"INSERT INTO note SELECT g, (SELECT {random} FROM generate_series(1, 65536) WHERE g > 0) FROM generate_series(1, %s) AS g",
            (MEGABYTES,),
        )
    return database


def back_up(database: Database, bucket: Bucket, stop: threading.Event | None = None) -> Backup:
    return take_backup_to_s3(
        database.conninfo(), server_of(database), bucket, run_id="run-1", stop=stop or threading.Event(), name_prefix="studio"
    )


def fails(database: Database, bucket: Bucket, stop: threading.Event | None = None) -> Transient:
    with pytest.raises(Transient) as caught:
        back_up(database, bucket, stop)
    assert SECRET_KEY not in caught.value.message
    return caught.value


def test_what_the_store_holds_is_what_the_record_says(filled: Database, s3: S3Server) -> None:
    backup = back_up(filled, s3.bucket)
    dump, roles, record = s3.objects()
    assert backup.uri == f"s3://{BUCKET}/{dump}"
    assert dump.startswith(f"db/studio/{filled.name}-")
    content = (s3.root / BUCKET / dump).read_bytes()
    assert (backup.bytes, backup.sha256) == (len(content), hashlib.sha256(content).hexdigest())
    assert len(content) > 2 * 16 * 2**20, "several parts"
    assert (s3.root / BUCKET / record).read_text() == backup.to_json()
    assert backup.globals_uri == f"s3://{BUCKET}/{roles}"
    assert hashlib.sha256((s3.root / BUCKET / roles).read_bytes()).hexdigest() == backup.globals_sha256
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024 < 400


def test_a_cut_connection(filled: Database, s3: S3Server) -> None:
    """For ever, after 20 MB: the client tries again and gives up."""
    sent = 0

    def cut(direction: str, data: bytes) -> bytes | None:
        nonlocal sent
        sent += len(data) if direction == "up" else 0
        return None if sent > 20_000_000 else data

    with Proxy(s3.port, cut).running() as proxy:
        error = fails(filled, s3.through(proxy.port))
    assert error.reason is Reason.BACKUP_FAILED
    assert "cannot be reached or used" in error.message
    assert s3.objects() == []
    for part in s3.parts():  # nobody could tell the store to forget them: a lifecycle rule of the bucket does
        part.unlink()


def test_a_connection_that_is_cut_once_is_no_failure(filled: Database, s3: S3Server) -> None:
    cuts: list[int] = []

    def once(direction: str, data: bytes) -> bytes | None:
        if direction == "up" and not cuts and len(data) > 30_000:
            cuts.append(1)
            return None
        return data

    with Proxy(s3.port, once).running() as proxy:
        back_up(filled, s3.through(proxy.port))
    assert cuts
    assert len(s3.objects()) == 3


def test_wrong_bytes_are_found_when_the_object_is_read_back(filled: Database, s3: S3Server) -> None:
    """One bit of what comes back: a store, a disk or a wire that lies."""
    seen = 0

    def flip(direction: str, data: bytes) -> bytes:
        nonlocal seen
        if direction == "down":
            seen += len(data)
            if seen > 10_000_000 and len(data) > 10_000:
                return data[:-1] + bytes([data[-1] ^ 1])
        return data

    with Proxy(s3.port, flip).running() as proxy:
        error = fails(filled, s3.through(proxy.port))
    assert "does not hold what was written" in error.message
    assert s3.objects() == []


def test_an_object_that_cannot_be_removed_is_named(filled: Database, s3: S3Server) -> None:
    """Everything that comes back is cut from some point on: the read, and the order to remove."""
    seen = 0

    def cut(direction: str, data: bytes) -> bytes | None:
        nonlocal seen
        seen += len(data) if direction == "down" else 0
        return None if seen > 10_000_000 else data

    with Proxy(s3.port, cut).running() as proxy:
        error = fails(filled, s3.through(proxy.port))
    assert "It is no backup, and could not be removed" in error.message
    assert [name.rsplit(".")[-1] for name in s3.objects()] in ([], ["dump"]), "never a record"


def test_a_full_store(filled: Database, tmp_path: Path) -> None:
    with running_s3(tmp_path, file_limit=8_000_000) as full:
        error = fails(filled, full.bucket)
        assert error.reason is Reason.BACKUP_FAILED
        assert full.objects() == []


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"secrets": {"access_key_id": ACCESS_KEY, "secret_access_key": "wrong"}}, "SignatureDoesNotMatch"),
        ({"secrets": {"access_key_id": "AKIANOBODY", "secret_access_key": SECRET_KEY}}, "correct the access key id"),
        ({"name": "absent"}, "NoSuchBucket"),
        ({"endpoint": "http://127.0.0.1:9"}, "cannot be reached"),
        ({"endpoint": "no url"}, "cannot be reached or used"),
    ],
)
def test_refused(database: Database, s3: S3Server, changes: dict[str, str], words: str) -> None:
    error = fails(database, replace(s3.bucket, **changes))  # type: ignore[arg-type]
    assert words in error.message
    assert s3.objects() == []


def test_stop(filled: Database, tmp_path: Path) -> None:
    """In the middle of a part. S3 promises nothing of parts that are on their way when their upload is given up: they may stay."""
    stop = threading.Event()

    def after_a_while(direction: str, data: bytes) -> bytes:
        if direction == "up" and len(data) > 30_000:
            stop.set()
        return data

    with running_s3(tmp_path) as own, Proxy(own.port, after_a_while).running() as proxy:
        error = fails(filled, own.through(proxy.port), stop)
        assert own.objects() == []
    assert error.reason is Reason.INTERRUPTED
    assert len(own.parts()) <= 2, "as many as are sent at once"


def test_a_dump_that_fails(database: Database, s3: S3Server) -> None:
    database.psql("CREATE TABLE theirs (id int)")
    error = fails(database, s3.bucket)
    assert "permission denied" in error.message
    assert s3.objects() == []


def keys(s3: S3Server) -> dict[str, str]:
    return {
        "AWS_ACCESS_KEY_ID": ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": SECRET_KEY, "AWS_ENDPOINT_URL": s3.endpoint, "AWS_REGION": "us-east-1",
    }  # fmt: skip


def command(database: Database, s3: S3Server, *words: str) -> Ended:
    return succeeds(database, *words, changes=keys(s3))


def test_the_command_line(database: Database, s3: S3Server) -> None:
    """Back up while applying, list, check, lose data, restore, prune: all in the bucket."""
    place, words = f"s3://{BUCKET}/prod", ("--dir", str(PLATFORM), "--environment", "production")
    first = command(database, s3, "apply", *words, "--target", "003", "--backup-dir", place)
    assert f"backed up and read to the end: {place}/" in first.out
    command(database, s3, "apply", *words, "--backup-dir", place)
    found = json.loads(command(database, s3, "backups", place, "--json").out)
    assert [each["state"] for each in found] == ["verified", "verified"]
    uri = found[0]["record"]["uri"]
    assert "is whole" in command(database, s3, "backup", "--check", uri).out
    name = f"{database.name}_restored"
    try:
        assert f"fetched {uri}" in command(database, s3, "restore", uri, "--into", name).out
    finally:
        database.psql(f"DROP DATABASE IF EXISTS {name}")
    assert "1 removed" in command(database, s3, "backups", place, "--keep-last", "1", "--prune").out
    assert [f"s3://{BUCKET}/{each}" for each in s3.objects() if each.endswith(".dump")] == [uri]
    assert len(s3.objects()) == 3
    wrong = dbmigration(database, "backup", "--backup-dir", "ftp://x/y")
    assert (wrong.status, "s3://BUCKET" in wrong.err) == (2, True)


def test_a_dump_that_is_larger_than_the_disk_is_not_begun_to_be_fetched(database: Database, s3: S3Server, tmp_path: Path) -> None:
    place = f"s3://{BUCKET}/prod"
    command(database, s3, "backup", "--backup-dir", place)
    (dump,) = (each for each in s3.objects() if each.endswith(".dump"))
    os.truncate(s3.root / BUCKET / dump, shutil.disk_usage(tmp_path).free * 2)  # sparse: it takes no room there
    (tmp_path / "tmp").mkdir()
    small = keys(s3) | {"TMPDIR": str(tmp_path / "tmp")}
    ended = dbmigration(database, "restore", f"s3://{BUCKET}/{dump}", "--into", "never", changes=small)
    assert ended.status == 3
    assert f"RestoreSpaceLow: s3://{BUCKET}/{dump}" in ended.err
    assert "TMPDIR" in ended.err
    assert list((tmp_path / "tmp").iterdir()) == []
    with pytest.raises(Transient) as caught:
        fetch(f"s3://{BUCKET}/{dump}", replace(s3.bucket, prefix=""), tmp_path / "tmp", threading.Event())
    assert caught.value.reason is Reason.RESTORE_SPACE_LOW


def test_a_rehearsal_of_a_backup_in_a_bucket(database: Database, s3: S3Server, tmp_path: Path) -> None:
    (tmp_path / "001_first.sql").write_text("CREATE TABLE first (id int);")
    ended = command(database, s3, "apply", "--dir", str(tmp_path), "--rehearse", "--backup-dir", f"s3://{BUCKET}/prod", "--json")
    report = ended.report()
    assert report.backup is not None
    assert report.rehearsal is not None
    assert report.backup.uri.startswith(f"s3://{BUCKET}/prod/")
    assert report.rehearsal.backup_uri == report.backup.uri
    assert report.backup.restored_at is not None
    assert report.applied_now == ("001_first.sql",)
