"""One commit is got from git's own server, over https and ssh: what was asked for, whole, and from whom it is to be."""

import gc
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from dbmigration.api.reasons import Reason
from dbmigration.api.request import GitRequest
from dbmigration.errors import DbmigrationError, Permanent, Transient
from dbmigration.run import fetched
from dbmigration.run.fetched import Fetched
from dbmigration.run.git import fetch_git
from tests.cluster.local.certificates import Authority
from tests.engine.git_server import PASSWORD, USER, HttpsServer, Repository, git, https_server, ssh_server

# dulwich leaves the connection of a server that refuses or hangs up to the garbage collector: in a pod the process ends then.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning")

FILES = {
    "migrations/001_first.sql": "CREATE TABLE first (id int);",
    "migrations/dbmigration.toml": '[seeds]\ndirectory = "../seeds"\n',
    "seeds/seed-a.sql": "SELECT 1;",
    "app/main.py": "pass",
    "README.md": "",
}


@dataclass
class Place:
    """A repository, its server, and the folders that a pod has mounted."""

    repository: Repository
    server: HttpsServer
    secret: Path
    ca: Path

    def get(self, **changes: Any) -> Fetched:
        given: dict[str, Any] = {"url": self.server.url, "path": "migrations", "ca_key": "ca.crt", **changes}
        return fetch_git(GitRequest(**given), self.secret, self.ca, lambda _: None)

    def refused(self, **changes: Any) -> DbmigrationError:
        with pytest.raises(DbmigrationError) as error:
            self.get(**changes)
        assert PASSWORD not in str(error.value)
        return error.value

    def put_secret(self, **keys: str) -> None:
        self.secret.mkdir(exist_ok=True)
        for name, text in keys.items():
            (self.secret / name).write_text(text)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    repository = Repository.made(tmp_path / "app", FILES)
    (tmp_path / "ca").mkdir()
    with https_server(tmp_path, tmp_path) as server:
        (tmp_path / "ca" / "ca.crt").write_bytes(server.authority.certificate.read_bytes())
        yield Place(repository, server, tmp_path / "secret", tmp_path / "ca")
    gc.collect()


def names(found: Fetched) -> list[str]:
    return sorted(str(path.relative_to(found.directory.parent)) for path in found.directory.parent.rglob("*") if path.is_file())


def test_a_pinned_commit_is_got_also_when_the_branch_has_moved_on(place: Place) -> None:
    pinned = git("rev-parse", "HEAD", cwd=place.repository.root)
    place.repository.commit({"migrations/002_second.sql": "SELECT 2;"})
    found = place.get(commit=pinned)
    assert found.revision == f"sha1:{pinned}"
    assert names(found) == ["migrations/001_first.sql", "migrations/dbmigration.toml", "seeds/seed-a.sql"]
    assert (found.directory / "001_first.sql").read_text() == FILES["migrations/001_first.sql"]


def test_the_history_is_not_got(place: Place) -> None:
    place.repository.commit({"migrations/big.bin": bytes(range(256)) * 4096})
    git("rm", "-q", "migrations/big.bin", cwd=place.repository.root)
    head = place.repository.commit({"migrations/002_second.sql": "SELECT 2;"})
    place.get(commit=head)
    packs = list(Path(place.secret.parent / "tmp").rglob("*.pack"))
    assert [pack.stat().st_size < 5000 for pack in packs] == [True]


def test_a_branch_is_what_it_is_now_and_another_attempt_gets_the_same(place: Place) -> None:
    first = place.get(branch="main")
    place.repository.commit({"migrations/002_second.sql": "SELECT 2;"})
    again = place.get(branch="main", revision=first.revision)
    assert (again.revision, names(again)) == (first.revision, names(first))
    newer = place.get(branch="main")
    assert newer.revision != first.revision
    assert "migrations/002_second.sql" in names(newer)


@pytest.mark.parametrize("words", [("tag", "v1"), ("tag", "-a", "-m", "one", "v1")])
def test_a_tag_leads_to_its_commit(place: Place, words: tuple[str, ...]) -> None:
    git(*words, cwd=place.repository.root)
    assert place.get(tag="v1").revision == f"v1@sha1:{git('rev-parse', 'HEAD', cwd=place.repository.root)}"


@pytest.mark.parametrize("asked", [{"branch": "mian"}, {"tag": "v9"}, {"commit": "0" * 39 + "1"}, {"branch": "main", "path": "migration"}])
def test_what_is_not_there_may_come(place: Place, asked: dict[str, str]) -> None:
    error = place.refused(**asked)
    assert isinstance(error, Transient)
    assert error.reason is Reason.SOURCE_MISSING


def test_a_repository_that_is_not_there(place: Place) -> None:
    assert place.refused(branch="main", url=place.server.url.replace("/app/", "/ap/")).reason is Reason.SOURCE_MISSING


def test_a_server_of_another_authority_is_not_talked_to(place: Place, tmp_path: Path) -> None:
    (place.ca / "ca.crt").write_bytes(Authority(tmp_path / "another").certificate.read_bytes())
    assert place.refused(branch="main").reason is Reason.SOURCE_UNAVAILABLE
    assert place.server.asked == []


def test_a_server_that_is_down(place: Place) -> None:
    assert place.refused(branch="main", url="https://localhost:1/app").reason is Reason.SOURCE_UNAVAILABLE


def test_password_and_user_come_from_the_secret(place: Place) -> None:
    place.server.user = USER
    assert place.refused(branch="main").reason is Reason.SOURCE_DENIED
    assert place.refused(branch="main", secret_name="git").reason is Reason.SOURCE_DENIED
    place.put_secret(username=USER, password="wrong")
    assert place.refused(branch="main", secret_name="git").reason is Reason.SOURCE_DENIED
    place.put_secret(password=PASSWORD)
    assert place.get(branch="main", secret_name="git").revision


def test_a_redirect_to_another_host_is_not_followed(place: Place) -> None:
    """The host that was named is the one that the operator's allow-list let through."""
    place.server.send_to = "https://127.0.0.1:9"
    assert place.refused(branch="main").reason is Reason.SOURCE_UNAVAILABLE


def test_a_link_in_the_repository_is_not_followed(place: Place) -> None:
    (place.repository.root / "migrations" / "002_b.sql").symlink_to("/etc/passwd")
    assert "migrations/002_b.sql" not in names(place.get(commit=place.repository.commit({})))


def test_a_repository_that_is_too_large(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetched, "MOST_BYTES", 100)
    error = place.refused(branch="main")
    assert isinstance(error, Permanent)
    assert error.reason is Reason.SOURCE_TOO_LARGE


def test_a_file_in_lfs_is_refused(place: Place) -> None:
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:4d\nsize 1\n"
    head = place.repository.commit({"migrations/002_b.sql": pointer})
    assert place.refused(commit=head).reason is Reason.SOURCE_INVALID


def test_seeds_outside_of_the_repository_are_refused(place: Place) -> None:
    head = place.repository.commit({"migrations/dbmigration.toml": '[seeds]\ndirectory = "../../seeds"\n'})
    assert place.refused(commit=head).reason is Reason.SOURCE_INVALID


def test_over_ssh_with_a_key_and_a_known_host(place: Place, tmp_path: Path) -> None:
    with ssh_server(tmp_path, tmp_path / "ssh") as server:
        place.secret = server.secret
        found = place.get(url=server.url, branch="main", secret_name="git")
        assert names(found) == ["migrations/001_first.sql", "migrations/dbmigration.toml", "seeds/seed-a.sql"]

        (server.secret / "known_hosts").write_text(f"[localhost]:{server.port} ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIC\n")
        assert place.refused(url=server.url, branch="main", secret_name="git").reason is Reason.SOURCE_DENIED
        (server.secret / "identity").unlink()
        assert place.refused(url=server.url, branch="main", secret_name="git").reason is Reason.SOURCE_DENIED
