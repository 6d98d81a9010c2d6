"""The files are in a git repository behind TLS and a password: the run's pod fetches one commit."""

import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest

from dbmigration.api.reasons import Reason
from tests.cluster.local.certificates import Authority
from tests.e2e.file_server import SERVE_GIT, files_below, start_server
from tests.e2e.studio import Studio
from tests.engine.git_server import Repository, git

PASSWORD: Final = secrets.token_hex(20)
FIRST: Final = {"db/migrations/001_first.sql": "CREATE TABLE first (id int);", "README.md": ""}
SECOND: Final = {"db/migrations/002_second.sql": "CREATE TABLE second (id int);"}


@dataclass(frozen=True)
class Commits:
    first: str
    second: str


@pytest.fixture
def commits(studio: Studio, tmp_path: Path) -> Commits:
    """A server `git` with the repository /app: branch main at the second commit, tag v1 at the first. ConfigMap `authority`."""
    authority = Authority(tmp_path / "authority")
    identity = authority.issue("git", common_name="git", alternative_names=("DNS:git",))
    repository = Repository.made(tmp_path / "app", FIRST)
    first = git("rev-parse", "HEAD", cwd=repository.root)
    git("tag", "v1", cwd=repository.root)
    second = repository.commit(SECOND)
    files = {
        **files_below(repository.root / ".git", "app/.git"),
        "serve.py": SERVE_GIT.encode(),
        "login": f"deploy:{PASSWORD}".encode(),
        "tls.crt": identity.certificate.read_bytes(),
        "tls.key": identity.key.read_bytes(),
    }
    start_server(studio, "git", ("python3", "/data/serve.py"), 8443, files)
    studio.put_files({"ca.crt": authority.certificate.read_text()}, name="authority")
    return Commits(first, second)


def source(**ref: str) -> dict[str, Any]:
    return {
        "git": {
            "url": "https://git:8443/app",
            "ref": ref,
            "path": "db/migrations",
            "secretRef": {"name": "studio-git"},
            "caRef": {"configMap": {"name": "authority"}},
        }
    }


def put_login(studio: Studio, password: str) -> None:
    login = {"username": "deploy", "password": password}
    studio.put({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "studio-git"}, "stringData": login})


def test_a_commit_is_applied_and_the_password_stays_where_it_is(studio: Studio, commits: Commits) -> None:
    studio.put_secret(studio.database.secret_keys())
    put_login(studio, "wrong")
    studio.put_resource(source=source(tag="v1"))
    assert studio.wait_reason(Reason.SOURCE_DENIED, stalled=False).status.source is None
    assert studio.database.tables() == []

    put_login(studio, PASSWORD)
    studio.retry("the password is right now")
    first = studio.wait_ready(version="001")
    assert first.status.source is not None
    assert first.status.source.revision == f"v1@sha1:{commits.first}"

    studio.put_resource(source=source(commit=commits.second))
    second = studio.wait_ready(version="002")
    assert second.status.source is not None
    assert second.status.source.revision == f"sha1:{commits.second}"
    assert studio.database.history() == ["001_first.sql", "002_second.sql"]

    studio.put_resource(source=source(branch="mian"))
    assert "refs/heads/mian" in studio.wait_reason(Reason.SOURCE_MISSING, stalled=False).message
    logs = "".join(studio.kubectl("logs", f"job/{name}") for name in studio.jobs())
    assert PASSWORD not in logs + studio.kubectl("get", "dbm,events,jobs,pods", "-o", "yaml")
