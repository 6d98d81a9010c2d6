"""An artifact of Flux is downloaded, compared with its digest and unpacked: nothing of it is believed."""

import gzip
import hashlib
import os
import resource
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from dbmigration.api.reasons import Reason
from dbmigration.api.request import ArtifactRequest
from dbmigration.errors import DbmigrationError, Transient
from dbmigration.run import artifact, fetched
from dbmigration.run.artifact import fetch_artifact
from dbmigration.run.fetched import Fetched
from tests.engine.archives import FileServer, file_server, tar_of

FILES = {"migrations/001_first.sql": b"SELECT 1;", "app/main.py": b"pass"}


@dataclass
class Store:
    """source-controller's file server."""

    server: FileServer

    def get(self, data: bytes, **changes: Any) -> Fetched:
        self.server.held["/a.tar.gz"] = data
        given = {
            "url": f"http://127.0.0.1:{self.server.port}/a.tar.gz",
            "digest": f"sha256:{hashlib.sha256(data).hexdigest()}",
            "revision": "main@sha1:4d",
            "path": "migrations",
            "source": "GitRepository flux-system/app",
        }
        return fetch_artifact(ArtifactRequest(**(given | changes)), lambda _: None)

    def refused(self, data: bytes, **changes: Any) -> DbmigrationError:
        with pytest.raises(DbmigrationError) as error:
            self.get(data, **changes)
        return error.value


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with file_server() as server:
        yield Store(server)


def names(found: Fetched) -> list[str]:
    return sorted(str(path.relative_to(found.directory.parent)) for path in found.directory.parent.rglob("*.*") if path.is_file())


def test_the_folder_is_got_and_the_revision_is_told(store: Store) -> None:
    found = store.get(tar_of(FILES))
    assert (names(found), found.revision) == (["migrations/001_first.sql"], "main@sha1:4d")


def test_seeds_beside_it_are_got_too(store: Store) -> None:
    toml = b'[seeds]\ndirectory = "../seeds"\n'
    found = store.get(tar_of({"seeds/seed-a.sql": b"SELECT 1;", **FILES, "migrations/dbmigration.toml": toml}))
    assert names(found) == ["migrations/001_first.sql", "migrations/dbmigration.toml", "seeds/seed-a.sql"]


@pytest.mark.parametrize("prefix", ["", "./"])
def test_the_whole_artifact(store: Store, prefix: str) -> None:
    assert (store.get(tar_of({f"{prefix}001_a.sql": b"SELECT 1;"}), path=".").directory / "001_a.sql").is_file()


def test_other_bytes_than_the_digest_names_are_not_used(store: Store) -> None:
    error = store.refused(tar_of(FILES), digest=f"sha256:{'0' * 64}")
    assert isinstance(error, Transient)
    assert error.reason is Reason.SOURCE_CHANGING


def test_an_artifact_that_is_gone_is_looked_up_again(store: Store) -> None:
    error = store.refused(tar_of(FILES), url=f"http://127.0.0.1:{store.server.port}/b.tar.gz")
    assert isinstance(error, Transient)
    assert error.reason is Reason.SOURCE_UNAVAILABLE
    assert store.refused(tar_of(FILES), url="http://127.0.0.1:1/a.tar.gz").reason is Reason.SOURCE_UNAVAILABLE


@pytest.mark.parametrize(
    "data", [b"no archive", gzip.compress(b"no archive"), tar_of(FILES)[:60], b""], ids=["text", "gzip of text", "cut", "empty"]
)
def test_what_is_no_archive_is_refused(store: Store, data: bytes) -> None:
    assert store.refused(data).reason is Reason.SOURCE_INVALID


@pytest.mark.parametrize("name", ["../001_a.sql", "/001_a.sql", "migrations/../../001_a.sql"])
def test_a_name_that_leads_out_is_refused(store: Store, name: str) -> None:
    assert store.refused(tar_of({**FILES, name: b"SELECT 1;"})).reason is Reason.SOURCE_INVALID


def test_links_are_left_out(store: Store) -> None:
    link, hard = tarfile.TarInfo("migrations/002_b.sql"), tarfile.TarInfo("migrations/003_c.sql")
    link.type, link.linkname = tarfile.SYMTYPE, "/run/dbmigration/secret/uri"
    hard.type, hard.linkname = tarfile.LNKTYPE, "/etc/passwd"
    assert names(store.get(tar_of(FILES, link, hard))) == ["migrations/001_first.sql"]


def test_a_folder_that_is_not_there(store: Store) -> None:
    assert store.refused(tar_of(FILES), path="migration").reason is Reason.SOURCE_MISSING


@pytest.mark.parametrize("text", [b"-" * 200_000, os.urandom(200_000)], ids=["unpacked", "as it is"])
def test_a_disk_without_room_for_it_is_no_fault_of_the_files(store: Store, text: bytes) -> None:
    data = tar_of({**FILES, "migrations/002_b.sql": text})
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))  # the kernel refuses the write as it does on a full disk
    try:
        error = store.refused(data)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert isinstance(error, Transient)
    assert error.reason is Reason.SOURCE_UNAVAILABLE


def test_too_large_a_folder_is_refused(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetched, "MOST_BYTES", 4000)
    bomb = tar_of({"migrations/001_a.sql": b"-" * 100_000})
    assert len(bomb) < 4000
    assert store.refused(bomb).reason is Reason.SOURCE_TOO_LARGE


def test_a_bomb_beside_the_folder_is_not_unpacked_to_its_end(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(artifact, "_MOST_UNPACKED", 4000)
    assert store.refused(tar_of({"bomb": b"-" * 100_000, **FILES})).reason is Reason.SOURCE_TOO_LARGE
