"""Files that the pod got itself: nothing of them is believed, and what one run was given the next is given too."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from dbmigration.api.reasons import Reason
from dbmigration.api.request import FetchRequest
from dbmigration.api.status import SourceStatus, Status
from dbmigration.decide import keys
from dbmigration.decide.observed import Blocked, FetchedSource, Observed, PodSeen, PodState
from dbmigration.decide.rules import decide
from dbmigration.errors import Permanent
from dbmigration.run import fetched
from dbmigration.run.fetched import Fetched, look_through
from dbmigration.run.options import RunOptions
from dbmigration.run.source import read_source
from tests.unit.observing import NOW, ended, failure_report, job, report, run, seen, spec, waiting

IMAGE = spec(source={"image": {"reference": "app:1"}})
SOURCE = FetchedSource("image app:1 /migrations", FetchRequest(image="app:1"))
KEY = keys.run_key(IMAGE, SOURCE.identity, None)


def resource(status: Status, **changes: object) -> Observed:
    return replace(seen(spec=IMAGE, source=SOURCE, status=status), **changes)  # type: ignore[arg-type]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "001_a.sql").write_text("SELECT 1;")
    return tmp_path


def refused(folder: Path) -> Reason:
    with pytest.raises(Permanent) as error:
        look_through(folder, "image app:1")
    return error.value.reason


def test_files_and_folders_are_taken(folder: Path) -> None:
    (folder / "seeds").mkdir()
    (folder / "seeds" / "seed-a.sql").write_text("SELECT 1;")
    look_through(folder, "image app:1")


def test_a_link_is_refused_wherever_it_leads(folder: Path) -> None:
    """It could lead to the Secret that is mounted beside the files."""
    (folder / "002_b.sql").symlink_to("/run/dbmigration/secret/uri")
    assert refused(folder) is Reason.SOURCE_INVALID


def test_a_linked_folder_is_refused(folder: Path) -> None:
    (folder / "seeds").symlink_to("/run/dbmigration/secret", target_is_directory=True)
    assert refused(folder) is Reason.SOURCE_INVALID


def test_what_is_no_file_is_refused(folder: Path) -> None:
    os.mkfifo(folder / "002_b.sql")
    assert refused(folder) is Reason.SOURCE_INVALID


def test_a_folder_without_a_migration_is_the_wrong_one(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("")
    (tmp_path / "dbmigration.toml").write_text("")
    assert refused(tmp_path) is Reason.SOURCE_INVALID


@pytest.mark.parametrize("limit", ["MOST_BYTES", "MOST_FILES"])
def test_too_much_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch, limit: str) -> None:
    (folder / "002_b.sql").write_text("SELECT 1;")
    monkeypatch.setattr(fetched, limit, 1)
    assert refused(folder) is Reason.SOURCE_TOO_LARGE


def test_other_files_under_the_same_name_are_refused(folder: Path) -> None:
    options = RunOptions(folder, "run", fetch=lambda _: Fetched(folder, "app@sha256:1"))
    files, revision = read_source(options, lambda _: None)
    assert revision == "app@sha256:1"
    assert read_source(replace(options, expected_digest=files.digest), lambda _: None)[0].digest == files.digest
    (folder / "001_a.sql").write_text("SELECT 2;")
    with pytest.raises(Permanent) as error:
        read_source(replace(options, expected_digest=files.digest), lambda _: None)
    assert error.value.reason is Reason.SOURCE_MOVED


def test_the_first_run_takes_what_it_finds_and_the_next_attempt_the_same() -> None:
    first = decide(resource(Status()), NOW)
    assert first.start is not None
    assert (first.start.request.source_digest, first.start.request.fetch) == (None, FetchRequest(image="app:1"))
    assert first.status.source is None
    tried = ended(
        failure_report(Reason.DATABASE_UNAVAILABLE, transient=True, source_digest="sha256:1"),
        run_key=KEY,
        spec_hash=keys.spec_hash(IMAGE),
        pod=PodSeen(PodState.TERMINATED, exit_code=1, source_image="app@sha256:2"),
    )
    stored = decide(resource(Status(run=run(key=KEY)), jobs=(tried,)), NOW).status
    assert stored.source == SourceStatus(digest="sha256:1", revision="app@sha256:2")
    due = stored.model_copy(update={"run": waiting(0, key=KEY, spec_hash=keys.spec_hash(IMAGE))})
    again = decide(resource(due), NOW)
    assert again.start is not None
    assert again.start.request.source_digest == "sha256:1"
    assert again.status.source == stored.source


def test_a_new_question_takes_what_it_finds() -> None:
    """The retry annotation is the way out of SourceMoved."""
    before = Status(run=waiting(0, key=KEY), source=SourceStatus(digest="sha256:1"))
    asked = decide(resource(before, retry="now"), NOW)
    assert asked.start is not None
    assert asked.start.request.source_digest is None
    assert asked.status.source is None


def test_what_moved_does_not_become_what_was_given() -> None:
    before = Status(run=run(key=KEY), source=SourceStatus(digest="sha256:1"))
    moved = ended(failure_report(Reason.SOURCE_MOVED, transient=False, source_digest="sha256:2"), run_key=KEY)
    assert decide(resource(before, jobs=(moved,)), NOW).status.source == before.source


def test_a_success_is_final_until_the_spec_changes() -> None:
    done = ended(report(source_digest="sha256:1"), run_key=KEY, spec_hash=keys.spec_hash(IMAGE))
    status = decide(resource(Status(run=run(key=KEY)), jobs=(done,)), NOW).status
    assert decide(resource(status), NOW).start is None


@pytest.mark.parametrize(("reason", "again"), [(Reason.SOURCE_MISSING, True), (Reason.SOURCE_INVALID, False)])
def test_files_that_could_not_be_copied(reason: Reason, again: bool) -> None:
    """Nothing was executed, so no attempt counts."""
    pod = PodSeen(PodState.TERMINATED, disrupted=True, source_failed=Blocked(reason, "cp: no"))
    after = decide(resource(Status(run=run(key=KEY)), jobs=(job(pod=pod, run_key=KEY),)), NOW).status
    assert after.run is not None
    assert (after.run.reason, after.run.counted, after.run.next_retry_at is not None) == (reason, 0, again)
